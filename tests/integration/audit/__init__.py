"""Sealing, receipts and their failures."""
