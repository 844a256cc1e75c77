"""Receipts: the tree, the notes, the builder, and both verifiers."""
