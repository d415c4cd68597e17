"""Floor 5: functions that make the page's Dash components from labels."""
