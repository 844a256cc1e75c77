"""Lane `runtime`: conversations, their items, runs and the runs' stream events."""
