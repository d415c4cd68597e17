"""Floor 2: runs the VM under a clock. run.py tells the way from a Scenario to its Recording."""
