"""Page sets as 64-bit words, in compiled code: one bit per page, the same size as QEMU's bitmaps."""

from __future__ import annotations

from typing import Final

from mmuviz.core.jit import jit, jit_inline_llvm
from mmuviz.core.pages import BITS_PER_LONG, WORD_SHIFT
from mmuviz.mmu.counting import bits_of
from mmuviz.mmu.dirty_log import lowest_bit
from mmuviz.mmu.state import I64

LAST_BIT: Final = BITS_PER_LONG - 1
ALL_BITS: Final = -1


@jit_inline_llvm
def high_bits(word: int, count: int) -> int:
    """Return the `count` highest bits of a word (1 to 63), shifted down to bit 0."""
    return (word >> (BITS_PER_LONG - count)) & ((1 << count) - 1)


@jit_inline_llvm
def mask_of(first: int, stop: int) -> int:
    """Return a word with the bits in [first, stop) set; 0 to 64."""
    above = -1 if stop >= BITS_PER_LONG else (1 << stop) - 1
    return above & ~((1 << first) - 1)


@jit
def merge(words: I64, first: int, others: I64) -> int:
    """Set the bits of `others`, shifted up by `first`; return how many were clear before."""
    at, shift, came = first >> WORD_SHIFT, first & LAST_BIT, 0
    for each in range(others.shape[0]):
        other = others[each]
        if other == 0:
            continue
        low = other << shift
        came += bits_of(low & ~words[at + each])
        words[at + each] |= low
        high = 0 if shift == 0 else high_bits(other, shift)
        if high != 0:
            came += bits_of(high & ~words[at + each + 1])
            words[at + each + 1] |= high
    return came


@jit
def extract(words: I64, first: int, out: I64) -> None:
    """Fill `out` with the bits from `first` on; bits beyond the end are 0."""
    at, shift = first >> WORD_SHIFT, first & LAST_BIT
    for each in range(out.shape[0]):
        low = words[at + each] if at + each < words.shape[0] else 0
        if shift != 0:
            high = words[at + each + 1] if at + each + 1 < words.shape[0] else 0
            low = high_bits(low, BITS_PER_LONG - shift) | (high << (BITS_PER_LONG - shift))
        out[each] = low


@jit
def clear_range(words: I64, first: int, stop: int) -> None:
    """Clear the bits in [first, stop)."""
    while first < stop:
        at, bit = first >> WORD_SHIFT, first & LAST_BIT
        here = min(BITS_PER_LONG - bit, stop - first)
        words[at] &= ~mask_of(bit, bit + here)
        first += here


@jit
def next_set(words: I64, first: int) -> int:
    """Return the lowest set bit at or above `first`, or -1."""
    at = first >> WORD_SHIFT
    if at >= words.shape[0]:
        return -1
    word = words[at] & ~((1 << (first & LAST_BIT)) - 1)
    while word == 0:
        at += 1
        if at >= words.shape[0]:
            return -1
        word = words[at]
    return (at << WORD_SHIFT) + lowest_bit(word)


@jit
def take(words: I64, first: int, stop: int, out: I64) -> int:
    """Clear the lowest set bits in [first, stop), at most as many as `out` holds, and list them in `out`.

    Returns:
        The number of bits cleared.
    """
    found, room = 0, out.shape[0]
    while first < stop and found < room:
        at, bit = first >> WORD_SHIFT, first & LAST_BIT
        here = min(BITS_PER_LONG - bit, stop - first)
        word = words[at] & mask_of(bit, bit + here)
        if word == ALL_BITS and room - found >= BITS_PER_LONG:
            for each in range(BITS_PER_LONG):
                out[found + each] = (at << WORD_SHIFT) + each
            words[at] = word = 0
            found += BITS_PER_LONG
        while word != 0 and found < room:
            lowest = word & -word
            out[found] = (at << WORD_SHIFT) + bits_of(lowest - 1)
            words[at] &= ~lowest
            word &= ~lowest
            found += 1
        first += here
    return found


@jit
def set_pages(words: I64, pages: I64) -> None:
    """Set the bits of these pages."""
    for each in range(pages.shape[0]):
        page = pages[each]
        words[page >> WORD_SHIFT] |= 1 << (page & LAST_BIT)


@jit
def clear_pages(words: I64, pages: I64) -> None:
    """Clear the bits of these pages."""
    for each in range(pages.shape[0]):
        page = pages[each]
        words[page >> WORD_SHIFT] &= ~(1 << (page & LAST_BIT))


@jit
def count_of(words: I64, pages: I64, add: int) -> int:
    """Count how many of these pages have their bit set; if `add` is 1, set all of them."""
    found = 0
    for each in range(pages.shape[0]):
        page = pages[each]
        at, bit = page >> WORD_SHIFT, page & LAST_BIT
        found += (words[at] >> bit) & 1
        if add != 0:
            words[at] |= 1 << bit
    return found


@jit
def count_range(words: I64, first: int, stop: int) -> int:
    """Count the set bits in [first, stop)."""
    found = 0
    while first < stop:
        at, bit = first >> WORD_SHIFT, first & LAST_BIT
        here = min(BITS_PER_LONG - bit, stop - first)
        found += bits_of(words[at] & mask_of(bit, bit + here))
        first += here
    return found


@jit
def count_in_groups(words: I64, first: int, stop: int, group: int, groups: int) -> int:
    """Count the set bits in [first, stop) that lie in the first `groups` nonempty groups of `group` bits."""
    found, page = 0, next_set(words, first)
    while 0 <= page < stop and groups > 0:
        end = min((page // group + 1) * group, stop)
        found += count_range(words, page, end)
        page = next_set(words, end)
        groups -= 1
    return found
