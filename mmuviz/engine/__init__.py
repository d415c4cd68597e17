"""Floor 2: from what is asked for to a Recording."""
