"""Frozen types of a Scenario, with the field names of scenario files."""
