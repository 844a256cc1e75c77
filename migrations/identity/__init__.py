"""Lane `identity`: tenants, people, passwords, setup links, sessions, refresh tokens and API keys."""
