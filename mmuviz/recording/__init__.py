"""Floor 1: the result of a run, as columns; the only connection between the machine and everything that shows it."""
