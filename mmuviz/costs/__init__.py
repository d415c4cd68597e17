"""Costs of each path of the kernel: every number with its unit, its range and its source."""
