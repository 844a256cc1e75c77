"""Schemathesis over the whole OpenAPI document: whatever is sent, the answer is one that the document describes."""
