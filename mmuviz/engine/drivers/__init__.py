"""The drivers, which model userspace's calls: one frozen type per file."""
