"""Floor 0: levels and gfn arithmetic, units, errors, the compiler's configuration."""
