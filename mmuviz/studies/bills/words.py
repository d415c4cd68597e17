"""The bills of GET, CLEAR, ring_collect and ring_reset: word by word of 64 pages."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import numpy as np

from mmuviz.ground.pages import BITS_PER_LONG, PG_LEVEL_1G, PG_LEVEL_4K
from mmuviz.recording.columns import I64, PRESENT, SPLIT, SPTE, Runs
from mmuviz.studies.bills.follow import Flags, Followed, Standing

Bill = Counter[str]
LEGACY: Final = "legacy"


class Walk(NamedTuple):
    """What the walks over some words come by.

    Attributes:
        words: words over 4K tables.
        words_2m: words below a table at 1G, where no 4K table stands.
        words_1g: words where no table at 1G stands.
        present: present 4K entries walked past, beyond the first of each word.
        holes: entries walked past that are not present.
    """

    words: int
    words_2m: int
    words_1g: int
    present: int
    holes: int


def walk_of(standing: Standing, starts: I64, lows: I64, highs: I64) -> Walk:
    """Walk each word from its lowest dirty page to the next present entry behind its highest.

    Args:
        standing: how the slot is mapped while the words are walked.
        starts: int64[words], page of bit 0 of each word.
        lows: int64[words], lowest dirty page.
        highs: int64[words], highest dirty page.

    Returns:
        The sums.

    Kernel: clear_dirty_pt_masked(), arch/x86/kvm/mmu/tdp_mmu.c
    """
    over = standing.tables[lows] | standing.tables[highs]
    below_1g = ~over & standing.below_1g[lows]
    before = np.concatenate([[0], np.cumsum(standing.present)])
    pages = len(standing.present)
    ends = np.minimum(starts + BITS_PER_LONG, pages)
    stops = np.minimum(_next_present(standing.present)[np.minimum(highs + 1, pages)], ends)
    present = before[highs + 1] - before[lows]
    holes = (highs + 1 - lows) - present + np.maximum(stops - highs - 1, 0)
    return Walk(
        words=int(over.sum()),
        words_2m=int(below_1g.sum()),
        words_1g=int((~over & ~below_1g).sum()),
        present=int(np.maximum(present - 1, 0)[over].sum()),
        holes=int(holes[over].sum()),
    )


def _next_present(present: Flags) -> I64:
    """First present page at or behind each page, the number of pages where there is none: int64[pages + 1]."""
    pages = len(present)
    at = np.where(np.append(present, [True]), np.arange(pages + 1), pages)
    found: I64 = np.minimum.accumulate(at[::-1])[::-1]
    return found


def words_of(pages: I64) -> tuple[I64, I64, I64]:
    """Words of the bitmap that hold ascending pages: start, lowest and highest page of each."""
    word = pages // BITS_PER_LONG
    first = np.flatnonzero(np.diff(word, prepend=-1))
    last = np.append(first[1:], len(pages))[: len(first)] - 1
    return word[first] * BITS_PER_LONG, pages[first], pages[last]


def groups_of(entries: list[int]) -> list[tuple[int, int, int]]:
    """Ring entries as the kernel puts them together: start, lowest and highest page of each group.

    Kernel: kvm_dirty_ring_reset(), virt/kvm/dirty_ring.c
    """
    found: list[tuple[int, int, int]] = []
    start, mask = 0, 0
    for page in entries:
        delta = page - start
        if mask and 0 <= delta < BITS_PER_LONG:
            mask |= 1 << delta
        elif mask and -BITS_PER_LONG < delta < 0 and mask.bit_length() - delta <= BITS_PER_LONG:
            start, mask = page, mask << -delta | 1
        else:
            found += _group(start, mask)
            start, mask = page, 1
    return found + _group(start, mask)


def _group(start: int, mask: int) -> list[tuple[int, int, int]]:
    low = (mask & -mask).bit_length() - 1
    return [(start, start + low, start + mask.bit_length() - 1)] if mask else []


def protected_of(rows: Runs) -> tuple[int, int]:
    """Leaves that an ioctl armed, without those that it split: 4K ones, and huge ones."""
    leaf = (rows.kind == SPTE) & (rows.old & PRESENT != 0) & (rows.new & PRESENT != 0)
    small = leaf & (rows.level == PG_LEVEL_4K)
    return int(rows.entries[small].sum()), int(rows.entries[leaf & ~small].sum())


def get_bill(followed: Followed, op: int) -> Bill:
    """What KVM_GET_DIRTY_LOG costs; `followed.told` becomes what it told."""
    ranges = followed.recording.ranges_of_op(op)
    followed.told[:] = False
    for page, pages in zip(ranges.page.tolist(), ranges.pages.tolist(), strict=True):
        followed.told[page : page + pages] = True
    words = -(-len(followed.told) // BITS_PER_LONG)
    if followed.recording.config.dirty_log_mode != LEGACY:
        return Bill({"get_manual": 1, "get_copy_word": words})
    found = Bill({"get": 1, "get_idle_word": words})
    pages = np.flatnonzero(followed.told)
    followed.dirty[:] = False
    if len(pages):
        walk = walk_of(followed.standing(), *words_of(pages))
        protected, _ = protected_of(followed.rows(op))
        found.update(get_flush=1, get_word=walk.words + walk.words_2m + walk.words_1g, get_page=protected)
        found.update(walk=walk.present, hole=walk.holes)
    return found


def asked_of(followed: Followed, op: int, listed: I64 | None) -> Flags:
    """The bits that userspace gives with a CLEAR, bool[pages].

    Args:
        followed: before the op.
        op: index of the op.
        listed: pages of a CLEAR with bits=list; None for no such op.

    Returns:
        Bits inside the op's range.
    """
    asked = followed.recording.ops[op]
    first = int(asked.field("first_page"))
    inside = slice(first, first + int(asked.field("num_pages")))
    bits = np.zeros_like(followed.told)
    if asked.field("bits") == "last":
        bits[inside] = followed.told[inside]
    elif asked.field("bits") == "all":
        bits[inside] = True
    elif listed is not None:
        bits[listed[(listed >= inside.start) & (listed < inside.stop)]] = True
    return bits


def clear_bill(followed: Followed, op: int, listed: I64 | None) -> Bill:
    """What KVM_CLEAR_DIRTY_LOG costs; `followed` must stand behind the op's rows, its bitmap before them."""
    asked = asked_of(followed, op, listed)
    cleared = asked & followed.dirty
    followed.dirty &= ~cleared
    pages = np.flatnonzero(cleared)
    words = -(-int(followed.recording.ops[op].field("num_pages")) // BITS_PER_LONG)
    wanted, some = len(words_of(np.flatnonzero(asked))[0]), words_of(pages)
    found = Bill({"clear": 1, "clear_idle_word": words, "clear_clean_word": wanted - len(some[0])})
    if len(pages):
        found["clear_flush"] = 1
        found.update(_cleared_words(followed, walk_of(followed.standing(), *some)))
        found.update(_armed_in_clear(followed, op))
    return found


def _cleared_words(followed: Followed, walk: Walk) -> Bill:
    """Words by the walks that CLEAR makes over each: it arms, and under initially-all-set protects and splits first."""
    found = Bill({"walk": walk.present, "hole": walk.holes})
    if not followed.initially_set:
        found["clear_word"] = walk.words + walk.words_2m + walk.words_1g
        return found
    found["clear_huge_word_2m"], found["clear_huge_word_1g"] = walk.words_2m, walk.words_1g
    if followed.eager and followed.recording.config.tdp_mmu:
        found["clear_initset_word"] = walk.words
        found["clear_walk_down"] = walk.words_2m + walk.words_1g
    else:
        found["clear_word"] = found["clear_walk_down"] = walk.words
    return found


def _armed_in_clear(followed: Followed, op: int) -> Bill:
    rows = followed.rows(op)
    small, huge = protected_of(rows)
    splits = int(rows.entries[rows.kind == SPLIT].sum())
    of_1g = int(rows.entries[(rows.kind == SPLIT) & (rows.level == PG_LEVEL_1G)].sum())
    page = "clear_initset_page" if followed.initially_set else "clear_page"
    return Bill({page: small, "protect_huge": huge, "split_clear_2m": splits - of_1g, "split_clear_1g": of_1g})


def collect_bill(followed: Followed) -> Bill:
    """What harvesting every ring costs; `followed` has them harvested then."""
    first = 0 if followed.collected else 1
    followed.collected = True
    return Bill({"collect_entry": followed.harvest(), "collect_first": first})


def reset_bill(followed: Followed, protected: int) -> Bill:
    """What KVM_RESET_DIRTY_RINGS costs; the rings are reset then.

    Args:
        followed: its rings change.
        protected: 4K leaves that the reset armed.

    Returns:
        The bill.
    """
    groups = [group for ring in followed.reset() for group in groups_of(ring)]
    found = Bill({"ring_reset": 1})
    if groups:
        starts, lows, highs = np.array(groups, dtype=np.int64).T
        walk = walk_of(followed.standing(), starts, lows, highs)
        found.update(ring_flush=1, ring_word=len(groups), ring_page=protected, walk=walk.present, hole=walk.holes)
    return found


def ring_reset_bill(followed: Followed, op: int) -> Bill:
    """The bill of a ring_reset op."""
    small, _ = protected_of(followed.rows(op))
    return reset_bill(followed, small)
