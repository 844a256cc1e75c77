"""Random schedules of failing providers against a whole AIBox: `make faults`; its short form runs in `make test`."""
