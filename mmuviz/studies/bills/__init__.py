"""What each op of a Recording costs: which entries of the ledger it takes, and how many of each."""
