"""The port Cache and its backends."""
