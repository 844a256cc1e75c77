"""Tests of knowledge without a database."""
