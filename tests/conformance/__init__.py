"""The recorded interactions, replayed through every pair of a client's dialect and a provider's adapter."""
