"""Vectors: one contract, kept by pgvector and by Qdrant."""
