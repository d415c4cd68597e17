"""What userspace does, one frozen type a file."""
