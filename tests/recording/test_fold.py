"""The fold against one dict entry a page: the plainest reading of its rules."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.recording.columns import CPU_DIRTY, DIRTY, FAST, PRESENT, SPLIT, SPTE, TABLE, UNTRACED, WRITABLE, Slot
from mmuviz.recording.fold import PageMap, fold, leaves, map_after, map_after_op, start_map
from tests.recording.samples import LEAF, recording

BASE = 3 << 18
SLOT = Slot(BASE, 1 << 18, "hugetlb_1g", 0, host_populated=True)
WORDS = st.sampled_from([0, PRESENT, LEAF, LEAF & ~WRITABLE, LEAF & ~DIRTY])
SPAN = {1: 1, 2: 512, 3: 1 << 18}
PAGES = [0, 1, 511, 512, 513, 1024, 262_143]

Entries = dict[tuple[int, int], int]


def plain_leaf(entries: Entries, page: int) -> tuple[int, int]:
    for level in (3, 2, 1):
        word = entries.get((level, page // SPAN[level]), 0)
        if word != TABLE:
            return (level if word & PRESENT else 0), word
    raise AssertionError("a 4K entry is no table")


def plain_apply(entries: Entries, row: tuple[int, ...]) -> None:
    kind, level, _, new, detail, _, _, gfn, _, _ = row
    page = gfn - BASE
    if kind in (SPTE, UNTRACED):
        at = page // SPAN[level]
        old = entries.get((level, at), 0)
        if new == TABLE:
            for child in range(at * 512, (at + 1) * 512):
                entries[level - 1, child] = old if old & PRESENT else 0
        entries[level, at] = new
    elif kind == CPU_DIRTY or (kind == FAST and detail == 0):
        level, word = plain_leaf(entries, page)
        if level:
            entries[level, page // SPAN[level]] = word | (DIRTY if kind == CPU_DIRTY else WRITABLE)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, ...]]:
    """Events as a machine could log them: an entry changes only where tables lead to it."""
    entries: Entries = {}
    rows: list[tuple[int, ...]] = []
    for _ in range(draw(st.integers(1, 25))):
        page = draw(st.sampled_from(PAGES))
        reachable = [3]
        while reachable[-1] > 1 and entries.get((reachable[-1], page // SPAN[reachable[-1]]), 0) == TABLE:
            reachable.append(reachable[-1] - 1)
        kind = draw(st.sampled_from([SPTE, SPTE, SPTE, UNTRACED, FAST, CPU_DIRTY, SPLIT]))
        if kind in (FAST, CPU_DIRTY) and not plain_leaf(entries, page)[0]:
            continue
        level = draw(st.sampled_from(reachable))
        at = page // SPAN[level]
        old = entries.get((level, at), 0)
        new = draw(WORDS) if level == 1 or old == TABLE else draw(WORDS | st.just(TABLE))
        rows.append((kind, level, old, new, 0, 0, 0, BASE + at * SPAN[level] if kind < 3 else BASE + page, 0, 1))
        plain_apply(entries, rows[-1])
    return rows


@given(histories(), st.data())
def test_the_map_at_any_cursor_is_what_the_rules_say(rows: list[tuple[int, ...]], data: st.DataObject) -> None:
    made = recording(SLOT, rows, [])
    cursor = data.draw(st.integers(0, len(rows)))
    entries: Entries = {}
    for row in rows[:cursor]:
        plain_apply(entries, row)
    levels, words = leaves(map_after(made, cursor), SLOT)
    for page in PAGES:
        level, word = plain_leaf(entries, page)
        assert (levels[page], words[page]) == (level, word)


@given(histories(), st.data())
def test_folding_in_parts_is_folding_at_once(rows: list[tuple[int, ...]], data: st.DataObject) -> None:
    made = recording(SLOT, rows, [])
    middle = data.draw(st.integers(0, len(rows)))
    page_map = map_after(made, middle)
    fold(page_map, made, middle, len(rows))
    for part, whole in zip(page_map[1:], map_after_op(made, 0)[1:], strict=True):
        assert np.array_equal(part, whole)


def test_a_split_hands_the_word_down_and_a_new_table_is_empty() -> None:
    word = LEAF & ~WRITABLE
    rows = [(SPTE, 3, 0, word, 0, 0, 0, BASE, 0, 1), (SPTE, 3, word, TABLE, 0, 0, 0, BASE, 0, 1)]
    rows += [(SPTE, 2, word, TABLE, 0, 0, 0, BASE, 0, 1), (SPTE, 2, word, 0, 0, 0, 0, BASE + 512, 0, 1)]
    rows += [(SPTE, 2, 0, TABLE, 0, 0, 0, BASE + 512, 0, 1)]
    levels, words = leaves(map_after(recording(SLOT, rows, []), len(rows)), SLOT)
    assert set(levels[:512]) == {1}
    assert set(words[:1024].tolist()) == {word, 0}
    assert set(levels[512:1024]) == {0}
    assert set(levels[1024:]) == {2}


def test_leaves_may_stand_before_the_first_op() -> None:
    start = [(2, LEAF, BASE, 512, 3), (1, PRESENT, BASE + 2048, 1, 4)]
    levels, words = leaves(start_map(recording(SLOT, [], start)), SLOT)
    assert set(levels[:1536]) == {2}
    assert set(words[:1536]) == {LEAF}
    assert set(levels[2048:2052]) == {1}
    assert not levels[2052:].any()


def test_the_shadow_mmu_s_map_changes_by_what_was_found() -> None:
    rows = [(UNTRACED, 3, 0, LEAF & ~WRITABLE, 0, 0, 0, BASE, 0, 1), (FAST, 0, 0, 0, 0, 0, 0, BASE, 0, 1)]
    plain = recording(SLOT, rows, [])
    shadow = recording(SLOT, rows, [], config=plain.config._replace(tdp_mmu=False))
    assert leaves(map_after(plain, 2), SLOT)[1][0] == LEAF
    assert leaves(map_after(shadow, 2), SLOT)[1][0] == LEAF & ~WRITABLE


def test_entries_above_1g_are_beyond_the_map() -> None:
    made = recording(SLOT, [(SPTE, 4, 0, TABLE, 0, 0, 0, 0, 0, 1)], [])
    page_map: PageMap = map_after(made, 1)
    assert not any(part.any() for part in page_map[1:])
