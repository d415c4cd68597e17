"""Floor 1: the result of a run as columns, the only data that passes from the simulation to whatever shows it."""
