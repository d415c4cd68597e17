"""Page sets in the form of KVM recordings: lists, strides, accesses of several vCPUs, bitmaps and ranges."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmuviz.core.pages import BITS_PER_LONG
from mmuviz.mmu.state import I64


def pages_of(spec: list[int] | dict[str, int]) -> I64:
    """Return the pages of an access, given as a list, or as start, stride and count.

    Returns:
        int64[n] offsets in the slot.
    """
    if isinstance(spec, dict):
        return spec["start"] + spec["stride"] * np.arange(spec["count"], dtype=np.int64)
    return np.array(spec, dtype=np.int64)


def parallel_turns(how: str, pages: I64, vcpus: int) -> tuple[I64, I64]:
    """Return the order of a parallel op's accesses: the vCPUs alternate, one access each, from vCPU 0.

    Args:
        how: contig, interleave or same.
        pages: int64[n] offsets in the slot.
        vcpus: number of vCPUs.

    Returns:
        The vCPU and the page of each access, int64 each.
    """
    if how == "same":
        return np.tile(np.arange(vcpus), len(pages)), np.repeat(pages, vcpus)
    share = len(pages) // vcpus
    turns = np.tile(np.arange(vcpus), share)
    if how == "interleave":
        return turns, pages[: share * vcpus]
    return turns, pages[: share * vcpus].reshape(vcpus, share).T.ravel()


def bitmap_ranges(words: I64) -> list[list[int]]:
    """Set bits of a bitmap as maximal ascending [first, count] ranges.

    Args:
        words: int64[words], 64 pages a word, lowest bit first.

    Returns:
        The ranges.
    """
    bits = np.ascontiguousarray(words).view(np.uint64)
    below = bits << np.uint64(1)
    below[1:] |= bits[:-1] >> np.uint64(BITS_PER_LONG - 1)
    first = _set_bits(bits & ~below)
    end = _set_bits(below & ~bits)
    if len(end) < len(first):  # the last range ends with the bitmap
        end = np.append(end, len(bits) * BITS_PER_LONG)
    ranges: list[list[int]] = np.stack([first, end - first], axis=1).tolist()
    return ranges


def _set_bits(words: npt.NDArray[np.uint64]) -> I64:
    """Return the positions of set bits, ascending; optimized for few nonzero words."""
    some = np.flatnonzero(words)
    bits = np.unpackbits(words[some].view(np.uint8), bitorder="little").reshape(-1, BITS_PER_LONG)
    at, bit = np.nonzero(bits)
    positions: I64 = some[at] * BITS_PER_LONG + bit
    return positions


def bitmap_of(offsets: I64, words: int) -> I64:
    """A bitmap with these bits set.

    Args:
        offsets: int64[n] page offsets below 64 * words.
        words: number of words.

    Returns:
        int64[words].
    """
    bits = np.zeros(words * BITS_PER_LONG, dtype=np.uint8)
    bits[offsets] = 1
    return np.packbits(bits, bitorder="little").view(np.int64)


def ranges_of(offsets: I64) -> list[list[int]]:
    """Maximal ascending [first, count] ranges of ascending, distinct pages."""
    if len(offsets) == 0:
        return []
    starts = np.concatenate([[0], np.flatnonzero(np.diff(offsets) != 1) + 1])
    counts = np.diff(np.concatenate([starts, [len(offsets)]]))
    return [[int(offsets[start]), int(count)] for start, count in zip(starts, counts, strict=True)]
