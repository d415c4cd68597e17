"""QEMU's side of a migration: what it asks of KVM, in its order, one function for each function of QEMU."""
