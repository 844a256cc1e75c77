"""Lane `guardrail`: what tenants scan and mask, and the vault of masked values."""
