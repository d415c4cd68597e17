"""Entries of the machine's work: places and names belong together, though each is written by hand."""

from __future__ import annotations

from typing import Final

import pytest

from mmuviz.mmu import work

COSTS_OF_OTHERS: Final = {
    "unmap_table": "zap_table",
    "unmap_child": "zap_child",
    "split_enable_2m": "split_enable",
    "split_enable_1g": "split_enable",
    "recovered": "",
    "rmap_walked": "",
    "rmap_heads": "",
    "get_line": "",
    "get_buffer": "",
}
"""Entries that another one's cost prices, or the host alone."""
ENDS: Final = [name for name in vars(work) if name.startswith("WORK_") and name.endswith("_END")]
ENTRIES: Final = {
    name.removeprefix("WORK_").lower(): value
    for name, value in vars(work).items()
    if name.startswith("WORK_") and name not in (*ENDS, "WORK_SHADOW", "WORK_ENTRIES", "WORK_NAMES")
}
WORDS: Final = [name for name in ENTRIES if f"{name.removesuffix('_word')}_page" in ENTRIES and name.endswith("_word")]


def test_every_place_has_one_entry() -> None:
    assert sorted(ENTRIES.values()) == list(range(work.WORK_ENTRIES - len(work.WALK_NAMES)))


def test_the_shadow_mmus_walks_follow_all_others() -> None:
    assert len(work.WALK_NAMES) == work.WORK_SHADOW
    assert len(work.WORK_NAMES) == work.WORK_ENTRIES
    assert work.WORK_NAMES[-2 * work.WORK_SHADOW :] == work.WALK_NAMES * 2


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_stands_at_the_place_of_its_cost(name: str) -> None:
    past = {"past": "walk", "hole": "hole"}.get(name.rsplit("_", 1)[-1], name)
    assert work.WORK_NAMES[ENTRIES[name]] == COSTS_OF_OTHERS.get(name, past)


def test_the_pages_of_a_word_follow_it() -> None:
    assert len(WORDS) == 4
    for word in WORDS:
        stem = word.removesuffix("_word")
        found = [ENTRIES[f"{stem}_{part}"] - ENTRIES[word] for part in ("page", "past", "hole")]
        assert found == [work.PAGE, work.PAST, work.HOLE]


@pytest.mark.parametrize("name", ENDS)
def test_an_end_lies_between_two_groups(name: str) -> None:
    end = getattr(work, name)
    assert end in ENTRIES.values()
    assert end - 1 in ENTRIES.values()
