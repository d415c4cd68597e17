"""What each path of the kernel costs: every number with its unit, its range and where it comes from."""
