"""Identity: passwords, tokens, keys, sessions, roles and the turn middleware."""
