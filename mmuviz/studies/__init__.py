"""Floor 3: studies made of runs: comparisons of policies, advice for migrations, validation of the model."""
