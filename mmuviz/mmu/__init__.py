"""Floor 1: the kernel's MMU. No clock, no cost, no randomness."""
