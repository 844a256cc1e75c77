"""Every route of the API as a stranger: what is another's does not exist (P09)."""
