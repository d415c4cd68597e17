"""The frozen types of a Scenario: what is run, in the words of the scenario files."""
