"""QEMU's side of a migration: its KVM ioctls in QEMU's order, one function per QEMU function.

Each function is a generator. It yields a call (see `calls`) and is sent the answer: the bits of a GET, the entries of
the rings, or values that depend on time, such as the pages that fit before the rate limit and the bytes that may be
left for the downtime. So a recording, which contains the answers, and the simulated clock drive the same functions.
"""
