"""Mutation testing of the stand-alone verifier: the frozen receipts must notice each small change of its code."""
