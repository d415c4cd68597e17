"""A vCPU's stream of accesses: the columns that every pattern fills, and the access at a position.

A stream is a rule, not a list: the access at a position is worked out from the columns and the
position alone, so a vCPU can be looked ahead of and gone back on at no cost.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from mmuviz.ground.compiled import inlined

I64 = npt.NDArray[np.int64]

# Columns of a stream, one row a vCPU; periods are in ps, 0 for none.
KIND: Final = 0
FIRST_GFN: Final = 1
PAGES: Final = 2
STRIDE: Final = 3
ACCESSES: Final = 4
WRITE_PERMILLE: Final = 5
SEED: Final = 6
PERIOD: Final = 7
POSITION: Final = 8
PASS: Final = 9
EXIT_PERIOD: Final = 10
HOT_PAGES: Final = 11
HOT_PERMILLE: Final = 12
ZIPF_FIRST: Final = 13
OCTAVES: Final = 41
"""Columns from ZIPF_FIRST on: chances of the octaves of ranks, summed up, in 63 bits; enough for MOST pages."""
COLUMNS: Final = ZIPF_FIRST + OCTAVES

# Values of KIND.
STEPS: Final = 0
RANDOM: Final = 1
LISTED: Final = 2
HOT_SET: Final = 3
ZIPF: Final = 4

# Columns of the table of memslots, see gfn_at().
RAM_FIRST: Final = 0
RAM_MOVE: Final = 1
RAM_COLUMNS: Final = 2

ALWAYS: Final = 1000
"""WRITE_PERMILLE of a vCPU that only writes."""

GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
MIX_2: Final = np.uint64(0x94D049BB133111EB)


@inlined
def draw(seed: int, position: int) -> int:
    """A number of 31 bits for a position of a seed: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), upper bits."""
    z = np.uint64(seed) + GOLDEN * np.uint64(position + 1)
    z = (z ^ (z >> np.uint64(30))) * MIX_1
    z = (z ^ (z >> np.uint64(27))) * MIX_2
    return int(np.int64((z ^ (z >> np.uint64(31))) >> np.uint64(33)))


@inlined
def ram_row(ram: I64, index: int) -> int:
    """The row of `ram` that holds a page of the guest's RAM, counted over all its memslots."""
    row = ram.shape[0] - 1
    while row > 0 and index < ram[row, RAM_FIRST]:
        row -= 1
    return row


@inlined
def ram_row_of_gfn(ram: I64, gfn: int) -> int:
    """The row of `ram` that holds a gfn."""
    row = ram.shape[0] - 1
    while row > 0 and gfn < ram[row, RAM_FIRST] + ram[row, RAM_MOVE]:
        row -= 1
    return row


@inlined
def page_at(stream: I64, vcpu: int, position: int) -> int:
    """The page of RAM that a vCPU touches at a position of its pass, where its pages are not listed."""
    first, pages = stream[vcpu, FIRST_GFN], stream[vcpu, PAGES]
    if stream[vcpu, KIND] == RANDOM:
        seed = stream[vcpu, SEED] + stream[vcpu, PASS]
        return int(first + ((draw(seed, position) * pages) >> 31))
    offset = position * stream[vcpu, STRIDE]
    return int(first + (offset if offset < pages else offset % pages))  # a division costs more than all the rest


@inlined
def gfn_at(stream: I64, ram: I64, listed: I64, vcpu: int, position: int) -> int:
    """The gfn that a vCPU touches at a position of its pass.

    Args:
        stream: int64[vcpus, COLUMNS]; of a list, FIRST_GFN is where the vCPU's part of it begins.
        ram: int64[slots, 2], memslots in order of gfn: the first page of RAM in each, and what is added to a page's
            number to have its gfn.
        listed: int64[n], gfns of all lists.
        vcpu: row.
        position: 0 to ACCESSES - 1.
    """
    if stream[vcpu, KIND] == LISTED:
        return int(listed[stream[vcpu, FIRST_GFN] + position])
    page = page_at(stream, vcpu, position)
    return int(page + ram[ram_row(ram, page), RAM_MOVE])


@inlined
def is_write_at(stream: I64, vcpu: int, position: int) -> int:
    """1 where the access at a position writes."""
    share = stream[vcpu, WRITE_PERMILLE]
    if share >= ALWAYS or share <= 0:
        return 1 if share > 0 else 0
    return 1 if draw(~(stream[vcpu, SEED] + stream[vcpu, PASS]), position) * ALWAYS < (share << 31) else 0
