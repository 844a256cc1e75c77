"""The router against a real PostgreSQL, a stub provider and the real local model."""
