"""Recordings of real QEMU migrating, and the model's loop held against them."""
