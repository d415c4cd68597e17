"""Benchmarks: `python -m bench`. Speed lives here, never in timed tests."""
