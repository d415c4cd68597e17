"""Floor 3: comparing: the model with recordings of real KVM, policies with each other."""
