"""Floor 6: connects ids and routes with functions: the Dash app, its server and its page."""
