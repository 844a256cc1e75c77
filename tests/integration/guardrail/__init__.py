"""The guardrail: what it finds, masks, restores and refuses."""
