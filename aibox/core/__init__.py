"""The kernel: turns, events, the database, errors, keys, outgoing HTTP and telemetry; it knows no module."""
