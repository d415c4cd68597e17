"""Floor 3: comparisons: of the model with recordings of real KVM, and of policies with each other."""
