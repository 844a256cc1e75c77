"""All tests: unit, integration on a real PostgreSQL, end to end in Chromium, benchmarks."""
