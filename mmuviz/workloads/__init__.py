"""What the guest does: one access pattern a file."""
