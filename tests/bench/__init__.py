"""Benchmarks: ratios inside one run, never a test. `make bench`, or `make bench ONLY=pull_idle`."""
