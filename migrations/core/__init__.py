"""Lane `core`: the event log, turns with their leases, artifacts, delivery cursors and data keys."""
