"""The machine and the slow twin do the same where no recording can judge: other MMUs, series, 2M, pre-splitting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from mmuviz.core.pages import SHIFT_1G, SHIFT_2M
from mmuviz.mmu.features import SERIES as SERIES_ROWS
from mmuviz.mmu.state import DIRTY, I64, LEAF_BITS, MMU_WRITABLE, PRESENT, TABLE, WRITABLE, MmuState
from tests.mmu.families import (
    ROWS,
    FamilyDriver,
    FamilyReplay,
    families_of,
    family_documents,
    kinds_of,
    modes_of,
)
from tests.mmu.sequences import BACKINGS, SERIES, Document, gigantic_slots, op_kinds
from tests.mmu.test_twins import all_events, reproducible, same_answer
from tests.oracle_tables import Leaf
from tests.oracle_unrecorded import UnrecordedOracle

pytestmark = pytest.mark.xdist_group("twins of the rest")

LEAF_CHECKED = ("enable", "disable", "clear", "get", "ring_reset")

# What the examples met: (family, op kind, mode), (op kind, backing), (op kind, row).
seen: set[tuple[str, ...]] = set()
ran: list[int] = []
drawn: set[str] = set()


def tables_of(machine: FamilyReplay, twin: UnrecordedOracle) -> list[tuple[MmuState, UnrecordedOracle]]:
    """Each of the machine's tables beside the twin's, an L2's first."""
    return list(zip(machine.machine.tables, twin.everyone(), strict=True))


def codes_of(state: MmuState, gfns: I64) -> I64:
    """Level << 8 | bits of the leaf that maps each gfn, 0 for none: test_twins.leaf_of(), for many at once."""
    row = state.row_of[gfns >> SHIFT_1G].astype(np.int64)
    at = (row << SHIFT_2M) | (gfns >> SHIFT_2M) % 512
    sptes = [each.astype(np.int64) for each in (state.l3[row], state.l2[at], state.l1[(at << SHIFT_2M) | gfns % 512])]
    codes = [np.where(spte & PRESENT, (3 - depth) << 8 | spte & LEAF_BITS, 0) for depth, spte in enumerate(sptes)]
    below = np.where(sptes[1] & TABLE, codes[2], codes[1])
    return np.where(sptes[0] & TABLE, below, codes[0])


def code_of(leaf: Leaf) -> int:
    bits = WRITABLE * leaf.writable | MMU_WRITABLE * leaf.mmu_writable | DIRTY * leaf.dirty
    return leaf.level << 8 | PRESENT | bits


def same_leaves(state: MmuState, twin: UnrecordedOracle) -> None:
    """Every page (of a large slot, every 61st) is mapped alike."""
    gfns = np.arange(twin.base, twin.base + twin.pages, 1 if twin.pages < 4096 else 61, dtype=np.int64)
    found = [twin.leaf.get(gfn) for gfn in gfns.tolist()]
    code = {at: 0 if leaf is None else code_of(leaf) for at, leaf in {id(leaf): leaf for leaf in found}.items()}
    wanted = np.array([code[id(leaf)] for leaf in found], dtype=np.int64)
    differ = np.flatnonzero(codes_of(state, gfns) != wanted)
    assert not len(differ), f"gfn {gfns[differ[0]]}"


def run_both(document: Document) -> None:
    machine, twin = FamilyReplay(document), FamilyDriver(document)
    family, mode, backing = document["family"], document["config"]["dirty_log_mode"], document["ops"][0]["backing"]
    for op in document["ops"]:
        with all_events:
            mine = machine.step(op)
        same_answer(op, mine, twin.run(op))
        seen.update({(family, op["op"], mode), (op["op"], backing), (op["op"], document["kernel"])})
        if op["op"] == "delslot":
            break
        assert machine.extra() == twin.vm.extra(), op
        assert machine.machine.memory_overhead().split_cache_bytes == twin.vm.split_cache_bytes(), op
        if op["op"] in LEAF_CHECKED or op is document["ops"][-2] or op is document["ops"][-1]:
            for tables, beside in tables_of(machine, twin.vm):
                same_leaves(tables, beside)
    ran.append(len(document["ops"]))


def sequences_of(row: str) -> None:
    """Draw sequences for one kernel row, of each family."""
    for family in families_of(row):

        @seed(ROWS.index(row))
        @settings(reproducible, max_examples=10 if family == "direct_shadow" else 4)  # which four rows have
        @given(family_documents(family, row))
        def agree(document: dict[str, Any]) -> None:
            run_both(document)

        agree()
    drawn.add(row)


@pytest.mark.parametrize("row", ROWS)
def test_the_twins_agree_on_small_slots(row: str) -> None:
    sequences_of(row)


@st.composite
def on_1g_pages(draw: st.DrawFn) -> dict[str, Any]:
    row = draw(st.sampled_from(("5.19", "6.1", "6.5", "6.12", "6.18", *SERIES)))
    family = draw(st.sampled_from(families_of(row)))
    document: dict[str, Any] = draw(family_documents(family, row, gigantic_slots(), every=False))
    splits = family == "nested" and row not in ("5.19", "rfc-2021")
    splits |= family in ("direct_shadow", "shadow_paging") and row.startswith("shadow-eager")
    if splits and draw(st.booleans()):
        document["config"]["nr_mmu_pages"] = draw(st.sampled_from((64, 65, 100, 517, 520)))
    return document


@seed(0)
@settings(reproducible, max_examples=4)
@given(on_1g_pages())
def test_the_twins_agree_on_1g_pages(document: dict[str, Any]) -> None:
    run_both(document)


def test_the_sequences_met_every_op_everywhere() -> None:
    for row in set(ROWS) - drawn:  # those that another process has drawn, or all when run alone
        sequences_of(row)
    assert len(ran) >= 500
    wanted: set[tuple[str, ...]] = set()
    for family in {family for row in ROWS for family in families_of(row)}:
        wanted |= {(family, kind, mode) for mode in modes_of(family) for kind in kinds_of(family, mode)}
    kinds = {kind for mode in modes_of("nested") for kind in (*op_kinds(mode), "l2_read", "l2_write")}
    kinds.add("split_by_faulting")
    wanted |= {(kind, name) for name in (*BACKINGS, *ROWS) for kind in kinds}
    assert wanted - seen == set()


def test_every_series_is_drawn() -> None:
    assert tuple(SERIES_ROWS) == tuple(SERIES)
