"""Random pages by position: uniform over any number of pages, from a hot set, or by Zipf's law.

All arithmetic is in 64-bit integers, so a draw is the same on every machine, compiled or not.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.core.jit import jit_inline_llvm
from mmuviz.workloads.stream import ALWAYS, GOLDEN, HOT_PAGES, HOT_PERMILLE, I64, MIX_1, MIX_2, PAGES, ZIPF_FIRST

LOW_HALF: Final = np.uint64(0xFFFFFFFF)
SECOND: Final = 0x5DEECE66D
"""Constant added to a seed for the second random number of a position."""


@jit_inline_llvm
def bits64(seed: int, position: int) -> np.uint64:
    """Return 64 random bits for a position of a seed: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    z = np.uint64(np.int64(seed)) + GOLDEN * np.uint64(np.int64(position + 1))
    z = (z ^ (z >> np.uint64(30))) * MIX_1
    z = (z ^ (z >> np.uint64(27))) * MIX_2
    return z ^ (z >> np.uint64(31))


@jit_inline_llvm
def number_below(bits: np.uint64, count: int) -> int:
    """Scale 64 random bits to a number from 0 to count - 1: the upper 64 bits of the 128-bit product.

    Each number has 2**64 / count bit patterns, plus or minus one: for 4e8 pages the probabilities
    differ by a relative 2e-11 at most.

    Args:
        bits: 64 random bits.
        count: 1 to 2**63 - 1.
    """
    whole = np.uint64(np.int64(count))
    high, low = bits >> np.uint64(32), bits & LOW_HALF
    count_high, count_low = whole >> np.uint64(32), whole & LOW_HALF
    middle = high * count_low + ((low * count_low) >> np.uint64(32))
    other = low * count_high + (middle & LOW_HALF)
    return int(np.int64(high * count_high + (middle >> np.uint64(32)) + (other >> np.uint64(32))))


@jit_inline_llvm
def uniform(seed: int, position: int, count: int) -> int:
    """Return a uniformly distributed number from 0 to count - 1."""
    return number_below(bits64(seed, position), count)


@jit_inline_llvm
def hot_page(stream: I64, vcpu: int, seed: int, position: int) -> int:
    """Return a page of a part whose first HOT_PAGES pages get HOT_PERMILLE of the accesses.

    Args:
        stream: int64[vcpus, COLUMNS].
        vcpu: row of the stream.
        seed: seed of this pass.
        position: position of the access.

    Returns:
        0 to PAGES - 1.
    """
    pages, hot = stream[vcpu, PAGES], stream[vcpu, HOT_PAGES]
    bits = bits64(seed + SECOND, position)
    if hot >= pages or number_below(bits, ALWAYS) < stream[vcpu, HOT_PERMILLE]:
        return uniform(seed, position, min(hot, pages))
    return int(hot + uniform(seed, position, pages - hot))


@jit_inline_llvm
def zipf_page(stream: I64, vcpu: int, seed: int, position: int) -> int:
    """Return a page of a part by Zipf's law: draw the octave [2**k, 2**(k+1)) of its rank, then the rank inside it.

    Page p has rank p + 1. The row contains the octaves' cumulative probabilities in 63 bits; inside an
    octave every rank has the same probability.

    Args:
        stream: int64[vcpus, COLUMNS].
        vcpu: row of the stream.
        seed: seed of this pass.
        position: position of the access.

    Returns:
        0 to PAGES - 1.
    """
    bits = np.int64(bits64(seed + SECOND, position) >> np.uint64(1))
    octave = 0
    while bits > stream[vcpu, ZIPF_FIRST + octave]:
        octave += 1
    first = 1 << octave
    ranks = min(first, stream[vcpu, PAGES] + 1 - first)
    return int(first - 1 + uniform(seed, position, ranks))
