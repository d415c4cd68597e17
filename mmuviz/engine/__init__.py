"""Floor 2: runs the VM under a clock. run.py describes the path from a Scenario to its Recording."""
