"""Observability against a real PostgreSQL."""
