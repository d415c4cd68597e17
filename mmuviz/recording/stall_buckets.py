"""Buckets of the stall histogram: eight per octave above 8 ps, one per ps below."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

SUB_BITS: Final = 3
PER_OCTAVE: Final = 1 << SUB_BITS
PS_PER_NS: Final = 10**3


def bucket_end_ps(bucket: int) -> int:
    """The longest stall that falls in a bucket, ps."""
    if bucket < 2 * PER_OCTAVE:
        return bucket
    exponent = (bucket >> SUB_BITS) - 1
    return ((PER_OCTAVE + (bucket & (PER_OCTAVE - 1)) + 1) << exponent) - 1


def bucket_start_ps(bucket: int) -> int:
    """The shortest stall that falls in a bucket, ps."""
    return bucket_end_ps(bucket - 1) + 1 if bucket else 0


def bucket_of_ps(stall_ps: int) -> int:
    """The bucket of a stall."""
    if stall_ps < PER_OCTAVE:
        return stall_ps
    exponent = stall_ps.bit_length() - 1 - SUB_BITS
    return (exponent << SUB_BITS) + (stall_ps >> exponent)


def quantile_ns(hist: npt.NDArray[np.int64], percent: int, longest_ns: int) -> int:
    """A quantile of the stalls' lengths, with no more digits than its bucket allows.

    Args:
        hist: int64[buckets], stalls by length.
        percent: share of the stalls that do not exceed it.
        longest_ns: the longest stall; the result is never above it.

    Returns:
        The upper edge of the bucket, ns, rounded up to two significant digits; 0 if nothing stalled.
    """
    total = int(hist.sum())
    if total == 0:
        return 0
    wanted = -(-total * percent // 100)
    bucket = int(np.searchsorted(np.cumsum(hist), wanted))
    edge_ns = -(-bucket_end_ps(bucket) // PS_PER_NS)
    unit = int("1" + "0" * max(len(str(edge_ns)) - 2, 0))
    return min(-(-edge_ns // unit) * unit, longest_ns)
