"""The cost model: the cost of each kernel path with its unit, its range and its source."""
