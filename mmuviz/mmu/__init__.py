"""Floor 1: what the kernel does. No clock, no cost, no randomness."""
