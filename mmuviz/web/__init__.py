"""Where ids and routes meet functions: the Dash app, its server and its page."""
