"""Benchmarks: `python -m bench`. Speed is measured here; tests measure no times."""
