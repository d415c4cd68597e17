"""Floor 6: the Dash app, its routes, its queue of runs and its server."""
