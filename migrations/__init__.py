"""Alembic migrations, one lane per module."""
