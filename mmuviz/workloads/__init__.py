"""Access patterns of the guest, one per file."""
