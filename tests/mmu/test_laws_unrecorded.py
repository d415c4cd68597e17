"""Laws that hold for the other MMUs, the series, tracking at 2M and pre-splitting too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.mmu.state import PRESENT, TABLE, MmuState
from tests.mmu.families import FAMILIES, ROWS, FamilyReplay, families_of, family_documents
from tests.mmu.test_laws import laws, page_counts, reported, tables_implied, touched, writable_pages

ACCESSES = ("read", "write", "parallel_write", "l2_read", "l2_write")
some_laws = settings(laws, max_examples=40)


@st.composite
def any_document(draw: st.DrawFn) -> dict[str, Any]:
    row = draw(st.sampled_from(ROWS))
    document: dict[str, Any] = draw(family_documents(draw(st.sampled_from(families_of(row))), row))
    return document


def steps(document: dict[str, Any]) -> Iterator[tuple[FamilyReplay, dict[str, Any], dict[str, Any], bool]]:
    """The replay, the op, its answer, and whether the slot was logged before it; up to a deleted slot."""
    replay, logging = FamilyReplay(document), False
    for op in document["ops"]:
        after, was = replay.step(op), logging
        if op["op"] == "delslot":
            return
        logging = op["op"] == "enable" if op["op"] in ("enable", "disable") else logging
        yield replay, op, after, was


@some_laws
@given(any_document())
def test_huge_leaves_never_grow_while_logging(document: dict[str, Any]) -> None:
    before = (0, 0)
    for replay, op, after, was_logging in steps(document):
        now = page_counts(after)
        # Under 2M tracking a fault maps what was not present by 2M.
        may_map_2m = replay.machine.config.tracking.level == 2 and op["op"] in ACCESSES
        if was_logging and op["op"] != "disable":
            assert now[1] <= before[1]
            assert now[0] <= before[0] + 512 * (before[1] - now[1]) or may_map_2m
        before = now


@some_laws
@given(any_document())
def test_only_a_fault_grants_write(document: dict[str, Any]) -> None:
    slot = document["ops"][0]
    before: list[set[int]] = []
    for replay, op, _after, _was in steps(document):
        tables = replay.machine.tables
        now = [writable_pages(each, slot["base_gfn"], slot["pages"]) for each in tables]
        if op["op"] not in ("slot", "disable", "split_by_faulting", *ACCESSES):
            assert all(mine <= was for mine, was in zip(now, before, strict=True)), op
        before = now


@some_laws
@given(any_document())
def test_counters_are_what_the_levels_imply(document: dict[str, Any]) -> None:
    for replay, op, _after, _was in steps(document):
        now, found = replay.machine.counters(), [0, 0, 0, 0]
        for each in replay.machine.tables:
            found = [mine + more for mine, more in zip(found, tables_implied(each), strict=True)]
        tables, *leaves = found
        assert leaves == [now.pages_4k, now.pages_2m, now.pages_1g], op
        if replay.machine.config.mmu.shadows:  # the shadow MMU keeps tables that it unlinked
            assert tables <= now.table_pages, op
        else:
            assert tables == now.table_pages, op


def blocks(pages: set[int], state: MmuState, base: int) -> set[int]:
    """Every page that shares a 2M leaf with one of these, or is one."""
    found = set(pages)
    for gfn in {base + page for page in pages}:
        at = (int(state.row_of[gfn >> 18]) << 9) | (gfn >> 9) % 512
        if state.l2[at] & PRESENT and not state.l2[at] & TABLE:
            first = (gfn >> 9 << 9) - base
            found |= set(range(max(first, 0), first + 512))
    return found


@some_laws
@given(any_document())
def test_dirty_is_touched_or_its_block_is(document: dict[str, Any]) -> None:
    """arm64 reports no read at all; the others may, where a read maps a page that was not present."""
    if document["config"]["dirty_log_mode"].endswith("initially_set"):
        return
    base, may_be_dirty, stage2 = document["ops"][0]["base_gfn"], set[int](), document["config"]["mmu"] == "arm64_stage2"
    for replay, op, after, was_logging in steps(document):
        if op["op"] in ACCESSES and was_logging and not (stage2 and op["op"] == "read"):
            may_be_dirty |= blocks(touched(op), replay.machine.state, base)
        assert reported(after) <= may_be_dirty


@some_laws
@given(st.sampled_from(ROWS).flatmap(lambda row: family_documents("tracking", row)))
def test_tracking_at_2m_reports_whole_blocks(document: dict[str, Any]) -> None:
    """A legacy GET write-protects every page that it reports, so it reports all pages of a 2M leaf or none of them."""
    if document["config"]["dirty_log_mode"] != "legacy":
        return
    base, pages = document["ops"][0]["base_gfn"], document["ops"][0]["pages"]
    for replay, op, after, _was in steps(document):
        if op["op"] == "get":
            dirty, state = reported(after), replay.machine.state
            split = {page for page in range(pages) if page not in blocks({page}, state, base) - {page}}
            assert blocks(dirty, state, base) <= dirty | split


def test_every_family_is_drawn() -> None:
    assert {family for row in ROWS for family in families_of(row)} == set(FAMILIES)
