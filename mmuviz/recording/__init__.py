"""Floor 1: what happened, as columns; the one bridge between the machine and everything that shows it."""
