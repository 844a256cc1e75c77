"""Lane `observability`: one row per model call."""
