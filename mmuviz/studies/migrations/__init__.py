"""Recordings of migrations by real QEMU: their playback through the model's migration loop, and the comparison."""
