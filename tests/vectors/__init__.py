"""Frozen receipts that every verifier must accept or refuse, and what makes them."""
