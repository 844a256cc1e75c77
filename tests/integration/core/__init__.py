"""Tests: integration/core."""
