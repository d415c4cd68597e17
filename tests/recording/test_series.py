"""Figures at every step: sums of what the events change, held against the columns, the map and a plain walk."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.engine.replayed import record_file
from mmuviz.mmu.recordings import read_document
from mmuviz.recording.columns import FAST, FAULT, I64, PRESENT, SPLIT, SPTE, TABLE, Recording, Slot
from mmuviz.recording.fold import leaves, map_after
from mmuviz.recording.pending import pending_of
from mmuviz.recording.series import (
    FIGURES,
    MMU_FIGURES,
    PAGES,
    base_figures,
    changes_by_row,
    values_at,
    values_at_ops,
    values_by_row,
)
from mmuviz.recording.timeline import Timeline
from mmuviz.recording.totals import accesses_by_op, faults_by_op, huge_zaps_in_faults, splits_by_place
from tests.recording.samples import CONFIG, LEAF, recording

FOLDER = Path(__file__).parent.parent / "recordings"
TABLE_AND_HEADER = 4096 + 184
ACCESSES = ("read", "write", "parallel_write")

# One of each letter, mode, backing and kernel, all in slots of at most 64 MiB.
TDP = [
    *(f"A_2m_{mode}_{policy}__6.12" for mode in ("legacy", "manual_initset", "ring") for policy in ("lazy", "eager")),
    *(f"A_2m_legacy_lazy__{kernel}" for kernel in ("6.1", "6.18", "7.3", "6.12-intel-pml", "6.1-intel-nopml")),
    *(f"A_2m_manual_initset_lazy__{kernel}" for kernel in ("6.1", "6.18-intel-pml", "7.3-intel-pml")),
    *(f"A_2m_legacy_eager__{kernel}" for kernel in ("6.1-intel-pml", "6.18", "7.3-intel-pml")),
    "A_4k_legacy_eager__6.12-intel-pml",
    "B_2m_ring256_full_lazy__6.12",
    "B_2m_ring_initset_lazy__6.1",
    "B_2m_delslot_lazy__6.12",
    "B_2m_manual_initset_clearmasks_eager__6.1-intel-pml",
    "B_thp_dontneed_logging_eager__7.3",
    *(f"B_thp_toggle_x3_eager__{kernel}" for kernel in ("6.1", "6.12", "6.18", "7.3")),
    "C_2m_4vcpu_legacy_lazy__6.1",
    "C_2m_4vcpu_ring_lazy__6.18",
    *(f"D_thp_unpopulated_host_lazy__{kernel}" for kernel in ("6.1", "6.12", "7.3")),
    *(f"F_01_2m_manual_lazy__{kernel}" for kernel in ("6.1-intel-pml", "6.12", "6.18")),
    "G_clear_firstpage_of_2M_eager__6.1",
    "G_lostdirty_base32_lazy__6.12-intel-pml",
    "P_2m_ring1024_full_eager__7.3-intel-pml",
]
GIGABYTES = ["A_1g_legacy_lazy__6.1", "A_1g_manual_initset_lazy__6.12", "B_1g_manual_initset_partialpop_lazy__6.18"]
SHADOW = [f"S_shadow_2m_manual_initset_{policy}__{kernel}" for policy in ("lazy", "eager") for kernel in ("6.1", "7.3")]


@cache
def recorded(name: str) -> Recording:
    return record_file(FOLDER / f"{name}.json.gz")


def sums_at_op_ends(made: Recording, figure: str) -> I64:
    changes = changes_by_row(made)[figure]
    return np.concatenate([[0], np.cumsum(changes)])[made.op_columns.first_run]


def op_column(made: Recording, figure: str) -> I64:
    columns = made.op_columns
    return columns.table_bytes + columns.header_bytes if figure == "table_bytes" else getattr(columns, figure)


def test_every_kernel_and_mode_is_among_the_recordings() -> None:
    all_of = [recorded(name) for name in TDP]
    assert {made.kernel.split(".")[0] + "." + made.kernel.split(".")[1] for made in all_of} == {
        "6.1", "6.12", "6.18", "7.3",
    }  # fmt: skip
    assert {made.config.dirty_log_mode for made in all_of} == {
        "legacy", "manual", "manual_initially_set", "ring", "ring_initially_set",
    }  # fmt: skip
    assert {made.config.vendor for made in all_of} == {"amd", "intel"}
    assert {made.config.pml for made in all_of} == {False, True}


@pytest.mark.parametrize("name", TDP + GIGABYTES)
def test_what_the_events_change_adds_up_to_the_columns(name: str) -> None:
    made = recorded(name)
    # Deleting the slot drops the whole page table without an event of the TDP MMU: its op's end alone tells.
    told = len(made.ops) - (made.ops[-1].kind == "delslot")
    for figure in MMU_FIGURES:
        sums = sums_at_op_ends(made, figure)[1:] + base_figures(made)[figure]
        column = op_column(made, figure)
        if figure == "table_bytes":
            # The root and the tables of the control slot come with the op that adds the slot; no event tells of them.
            assert made.ops[0].kind == "slot"
            assert column[0] % TABLE_AND_HEADER == 0
            sums = sums + column[0]
        assert np.array_equal(sums[:told], column[:told]), figure
    assert values_at_ops(made)["pages_4k"][0] == 0


@pytest.mark.parametrize("name", TDP + GIGABYTES)
def test_tables_are_paid_for_in_pages_and_headers(name: str) -> None:
    made = recorded(name)
    told = len(made.ops) - (made.ops[-1].kind == "delslot")  # the tables above go too, but for the root
    grown = np.diff(op_column(made, "table_bytes")[:told])
    assert np.array_equal(grown, TABLE_AND_HEADER * np.diff(made.op_columns.table_pages[:told]))


@pytest.mark.parametrize("name", TDP + SHADOW)
def test_faults_are_kvm_s_own_count(name: str) -> None:
    """pf_taken as recorded in real KVM. It counts since the slot was made, so deleting the slot forgets it."""
    document = read_document(FOLDER / f"{name}.json.gz")
    made, at_ops = recorded(name), values_at_ops(recorded(name))
    faults = np.sum([at_ops[figure] for figure in ("faults_not_present", "faults_fast", "faults_slow")], axis=0)[1:]
    assert np.array_equal(np.diff(faults, prepend=0), faults_by_op(made))
    compared = 0
    for index, op in enumerate(document["ops"]):
        counters = op["after"].get("counters")
        # Who of several vCPUs faults first differs from run to run.
        if op["op"] == "delslot" or counters is None or made.config.vcpus > 1:
            continue
        compared += 1
        assert faults[index] == counters["pf_taken"], (index, op["op"])
        assert at_ops["faults_fast"][index + 1] == counters["pf_fast"], (index, op["op"])
    assert compared or made.config.vcpus > 1
    if made.config.vcpus > 1:
        assert np.array_equal(faults, made.op_columns.pf_taken)


@pytest.mark.parametrize("name", TDP + GIGABYTES + SHADOW)
def test_splits_and_zaps_are_the_totals(name: str) -> None:
    made = recorded(name)
    last = {figure: int(values[-1]) for figure, values in values_at_ops(made).items()}
    places = {place: last[f"splits_{place}"] for place in ("enable", "clear", "ring_reset", "fault")}
    assert {place: count for place, count in places.items() if count} == splits_by_place(made)
    assert last["zaps_fault"] == huge_zaps_in_faults(made)


def leaves_in(made: Recording, cursor: int) -> dict[str, int]:
    """Entries of each level that map a page of the slot: whole ones, as leaves never overlap."""
    levels, _ = leaves(map_after(made, cursor), made.slot)
    gfns = made.slot.base_gfn + np.arange(made.slot.pages)
    return {name: len(np.unique(gfns[levels == level] >> (9 * (level - 1)))) for name, level in PAGES.items()}


@pytest.mark.parametrize("name", TDP)
@settings(max_examples=4)
@given(data=st.data())
def test_pages_at_any_step_are_the_leaves_of_the_map(name: str, data: st.DataObject) -> None:
    made = recorded(name)
    by_row, first = values_by_row(made), made.op_columns.first_run
    stop = first[-2] if made.ops[-1].kind == "delslot" else first[-1]
    row = data.draw(
        st.integers(0, int(stop) - 1) | st.sampled_from((first[(first > 0) & (first <= stop)] - 1).tolist())
    )
    op = int(np.searchsorted(first, row, side="right")) - 1
    found = {figure: int(by_row[figure][row]) for figure in PAGES}
    mapped = leaves_in(made, row + 1)
    if made.ops[op].kind == "disable" and row + 1 < first[op + 1]:
        # KVM takes a table away first and its entries after: they still count, as in its pages_4k, and map nothing.
        assert all(found[figure] >= count for figure, count in mapped.items())
    else:
        assert found == mapped


def walked(made: Recording, timeline: Timeline, side: int, position: int) -> dict[str, int]:
    """Figures at a position, entry by entry from the first row."""
    place, cursor = timeline.place(position), timeline.cursors(position)[side]
    ended = int((timeline.op_ends <= position).sum())
    found = dict.fromkeys(FIGURES, 0)
    if ended:
        found.update({figure: int(op_column(made, figure)[ended - 1]) for figure in MMU_FIGURES})
    runs = made.runs
    for row in range(cursor):
        op = int(np.searchsorted(made.op_columns.first_run, row, side="right")) - 1
        n, level, old, new = (int(column[row]) for column in (runs.entries, runs.level, runs.old, runs.new))
        kind, detail = int(runs.kind[row]), int(runs.detail[row])
        access = made.ops[op].kind in ACCESSES
        if kind == FAULT:
            found["faults_not_present" if detail < 2 else "faults_slow"] += n
        elif kind == FAST and detail == 0:
            found["faults_fast"] += n
            found["faults_slow"] -= n
        elif kind == SPLIT:
            found[f"splits_{'fault' if access else made.ops[op].kind}"] += n
        elif kind == SPTE:
            huge = level > 1 and old & PRESENT and new == 0
            found["zaps_fault"] += n if huge and access and made.op_columns.logging[op] else 0
            if op == ended and made.config.tdp_mmu:
                change(found, n, level, old, new)
    found["pending"], found["told"] = walked_pending(made, place.op, place.access, position, timeline)
    return found


def change(found: dict[str, int], n: int, level: int, old: int, new: int) -> None:
    names = {1: "pages_4k", 2: "pages_2m", 3: "pages_1g"}
    if old & PRESENT:
        found[names[level]] -= n
    if new & PRESENT:
        found[names[level]] += n
    if new == TABLE and old & PRESENT:
        found[names[level - 1]] += 512 * n
    tables = n * ((new == TABLE) - (old == TABLE))
    found["table_pages"] += tables
    found["table_bytes"] += tables * TABLE_AND_HEADER


def walked_pending(made: Recording, op: int, access: int, position: int, timeline: Timeline) -> tuple[int, int]:
    pending = pending_of(made)
    if not position:
        return 0, 0
    if position in timeline.op_ends:
        return int(pending.before[op + 1]), int(pending.told[op + 1])
    whole = position in timeline.tick_ends
    done = range(access + 1 if whole else access)
    fresh = pending.fresh[pending.first_fresh[op] : pending.first_fresh[op + 1]].tolist()
    return int(pending.before[op]) + sum(each in done for each in fresh), int(pending.told[op])


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("G_lostdirty_base32_lazy__6.12", "G_lostdirty_base32_eager__6.12"),
        ("B_thp_toggle_x3_eager__6.12", "B_thp_toggle_x3_eager__6.18"),
        ("B_2m_ring256_full_lazy__6.12", "B_2m_ring256_full_eager__6.12"),
        ("D_thp_unpopulated_host_lazy__6.1", "D_thp_unpopulated_host_lazy__6.12"),
        ("B_2m_delslot_lazy__6.12", "B_2m_delslot_eager__6.12"),
        ("S_shadow_2m_manual_initset_lazy__6.1", "S_shadow_2m_manual_initset_lazy__6.12"),
    ],
)
@settings(max_examples=4)
@given(data=st.data())
def test_values_at_any_position_are_those_of_a_plain_walk(left: str, right: str, data: st.DataObject) -> None:
    sides = recorded(left), recorded(right)
    timeline = Timeline(*sides)
    drawn = st.integers(0, timeline.total) | st.sampled_from([0, *timeline.op_ends.tolist()])
    positions = data.draw(st.lists(drawn, min_size=1, max_size=3))
    for side, made in enumerate(sides):
        found = values_at(made, timeline, side, np.array(positions))
        for at, position in enumerate(positions):
            assert {name: int(column[at]) for name, column in found.items()} == walked(made, timeline, side, position)


@pytest.mark.parametrize("name", SHADOW)
def test_the_shadow_mmu_s_figures_change_where_ops_end(name: str) -> None:
    made = recorded(name)
    timeline = Timeline(made, made)
    every = np.arange(timeline.total + 1)
    values = values_at(made, timeline, 0, every)
    assert accesses_by_op(made).max() > 1
    ends = set(timeline.op_ends.tolist())
    for figure in MMU_FIGURES:
        steps = {int(at) for at in np.flatnonzero(np.diff(values[figure])) + 1}
        assert steps <= ends, figure
        assert np.array_equal(values[figure][timeline.op_ends], op_column(made, figure)), figure
        assert len(steps) > 1 or figure == "pages_1g"
    assert {int(at) for at in np.flatnonzero(np.diff(values["faults_slow"])) + 1} - ends


def test_figures_begin_with_the_leaves_that_stood_before() -> None:
    slot = Slot(0, 1 << 18, "hugetlb_1g", 0, host_populated=True)
    made = recording(slot, [(SPTE, 2, LEAF, TABLE, 0, 0, 0, 0, 0, 1)], [(2, LEAF, 0, 512, 3), (1, LEAF, 2048, 1, 4)])
    assert base_figures(made) == {"pages_4k": 4, "pages_2m": 3, "pages_1g": 0, "table_pages": 0, "table_bytes": 0}
    after = {figure: int(values[0]) for figure, values in values_by_row(made).items()}
    assert (after["pages_4k"], after["pages_2m"], after["table_pages"]) == (516, 2, 1)
    shadow = recording(slot, [(SPTE, 2, LEAF, TABLE, 0, 0, 0, 0, 0, 1)], [], config=CONFIG._replace(tdp_mmu=False))
    assert not any(changes_by_row(shadow)[figure].any() for figure in MMU_FIGURES)
