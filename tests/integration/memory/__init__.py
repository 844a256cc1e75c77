"""Memory: what is kept, what is found again, and who may see it."""
