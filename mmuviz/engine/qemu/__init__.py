"""QEMU's side of a migration: what it asks of KVM, in its order, one function for each function of QEMU.

Each function is a generator. It yields a call (see `calls`) and is sent the answer: the bits of a GET, the entries of
the rings, or what only time can say, namely how many pages fit before the rate limit and what may be left for the
downtime. So the same functions are driven by a recording, which has the answers, and by a clock, which makes them.
"""
