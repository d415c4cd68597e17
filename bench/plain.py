"""The plain compiled loop to which the machine is compared: it tests a bit and sets bits; and the indices for both."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

ROUNDS = 4
MULTIPLIERS = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], dtype=np.uint64
)
"""Odd 64-bit constants of common integer hashes; any odd ones would do."""


@numba.njit(nogil=True)
def plain_loop(plane: U8, bitmap: I64, indices: I64, tested: int, planes: int) -> int:
    """Touch bytes in order: if the tested bit is clear, set it, and with two planes a bit of the bitmap.

    Args:
        plane: uint8[pages], as large as the machine's 4K entries.
        bitmap: int64[pages / 64], as large as its dirty bitmap.
        indices: int64[n], pages.
        tested: the tested bit.
        planes: number of planes that a first touch sets, 1 or 2.

    Returns:
        Number of touches that found the bit clear.
    """
    found = 0
    for index in indices:
        if plane[index] & tested == 0:
            plane[index] |= tested
            found += 1
            if planes > 1:
                bitmap[index >> 6] |= 1 << (index & 63)
    return found


@numba.njit(nogil=True)
def shuffled(pages: int, start: int, count: int, half_bits: int, keys: npt.NDArray[np.uint64]) -> I64:
    """Return a part of a random permutation of all pages, by a Feistel network over the numbers from `start`.

    Args:
        pages: number of pages; the full domain gives each once.
        start: first number.
        count: number of numbers; those that map outside the pages are skipped.
        half_bits: half the bits of the network's domain.
        keys: uint64[ROUNDS].

    Returns:
        int64[up to count], distinct pages.
    """
    out = np.empty(count, dtype=np.int64)
    mask = np.uint64((1 << half_bits) - 1)
    shift = np.uint64(half_bits)
    found = 0
    for position in range(start, start + count):
        left, right = np.uint64(position) >> shift, np.uint64(position) & mask
        for key in keys:
            mixed = (right + key) * key
            mixed ^= mixed >> np.uint64(29)
            mixed *= key
            left, right = right, left ^ ((mixed >> np.uint64(32)) & mask)
        page = np.int64((left << shift) | right)
        if page < pages:
            out[found] = page
            found += 1
    return out[:found]


def random_pages(pages: int, count: int) -> I64:
    """Return `count` distinct pages in random order, the same at each call.

    Args:
        pages: number of pages.
        count: number of pages to return, at most `pages`.

    Returns:
        int64[count].
    """
    half_bits = (max(pages - 1, 1).bit_length() + 1) // 2
    domain = 1 << 2 * half_bits
    parts: list[I64] = []
    have, start, step = 0, 0, min(domain, 1 << 24)
    while have < count:
        part = shuffled(pages, start, step, half_bits, MULTIPLIERS)
        parts.append(part)
        have, start = have + len(part), start + step
    return np.concatenate(parts)[:count]
