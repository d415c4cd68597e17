"""Laws that hold for every VM, slot and order of calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmuviz.mmu.config import Backing
from mmuviz.mmu.kvm_recording import parse
from mmuviz.mmu.page_sets import pages_of
from mmuviz.mmu.replay import replay_of
from mmuviz.mmu.state import IN_1G, LEAF_BITS, PRESENT, TABLE, MmuState
from tests.mmu.machines import REGION_1G, gfns, machine, with_slot
from tests.mmu.sequences import KERNELS, documents, small_slots

laws = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
any_document = st.sampled_from(KERNELS).flatmap(lambda kernel: documents(small_slots(), kernel))


def touched(op: dict[str, Any]) -> set[int]:
    spec = op.get("pages", op)
    return set(pages_of(spec).tolist())


def reported(after: dict[str, Any]) -> set[int]:
    return {page for first, count in after.get("dirty_ranges", []) for page in range(first, first + count)}


def page_counts(after: dict[str, Any]) -> tuple[int, int]:
    return after["counters"]["pages_2m"], after["counters"]["pages_1g"]


@laws
@given(any_document)
def test_dirty_is_written_or_read_while_not_present(document: dict[str, Any]) -> None:
    """What is reported was touched by the guest since logging began; all ones under initially-all-set apart."""
    if document["config"]["dirty_log_mode"].endswith("initially_set"):
        return
    replay, logging, may_be_dirty = replay_of(parse(document)), False, set[int]()
    for op in document["ops"]:
        after = replay.step(op)
        if op["op"] in ("read", "write", "parallel_write"):
            faulted = {event[-1] for event in after["first_events_in_order"] if event[0] == "fault"}
            if op["op"] != "read":
                may_be_dirty |= touched(op)
            elif logging and (faulted or len(after["first_events_in_order"]) >= 120):
                may_be_dirty |= touched(op)  # a read of a page that is not present maps it writable
        logging = logging if op["op"] not in ("enable", "disable") else op["op"] == "enable"
        assert reported(after) <= may_be_dirty


@laws
@given(any_document)
def test_huge_leaves_never_grow_while_logging(document: dict[str, Any]) -> None:
    """A split turns one 1G leaf into 512 2M leaves; apart from that no huge leaf appears."""
    replay, logging, before = replay_of(parse(document)), False, (0, 0)
    for op in document["ops"]:
        was_logging = logging
        after = replay.step(op)
        if op["op"] == "delslot":
            break
        logging = logging if op["op"] not in ("enable", "disable") else op["op"] == "enable"
        now = page_counts(after)
        if was_logging and op["op"] != "disable":
            assert now[1] <= before[1]
            assert now[0] <= before[0] + 512 * (before[1] - now[1])
        before = now


def writable_pages(state: MmuState, base: int, pages: int) -> set[int]:
    found = set()
    for gfn in range(base, base + pages):
        row = int(state.row_of[gfn >> 18])
        at = (row << 9) | (gfn >> 9) % 512
        spte = state.l1[(at << 9) | gfn % 512] if state.l2[at] & TABLE else state.l2[at]
        if spte & PRESENT and spte & 2:
            found.add(gfn)
    return found


@laws
@given(any_document)
def test_only_a_fault_grants_write(document: dict[str, Any]) -> None:
    """Enabling, CLEAR with its splits, GET, reset and host changes leave no page writable that was not."""
    replay, slot = replay_of(parse(document)), document["ops"][0]
    before: set[int] = set()
    for op in document["ops"]:
        replay.step(op)
        if op["op"] == "delslot":
            break
        now = writable_pages(replay.vm.state, slot["base_gfn"], slot["pages"])
        # On disabling, a recovered huge page takes the bits of its first child.
        if op["op"] not in ("slot", "read", "write", "parallel_write", "disable"):
            assert now <= before, op
        before = now


def tables_implied(state: MmuState) -> tuple[int, int, int, int]:
    """Tables, 4K, 2M and 1G leaves, counted over the arrays."""
    rows = len(state.region_of)
    tables = int((state.l4[1:] != 0).sum()) + int(((state.l3 & TABLE) != 0).sum())
    leaves = [0, 0, int(((state.l3 & PRESENT) != 0).sum())]
    for row in range(rows):
        if not state.l3[row] & TABLE:
            continue
        l2 = state.l2[row * 512 : (row + 1) * 512]
        tables += int(((l2 & TABLE) != 0).sum())
        leaves[1] += int(((l2 & PRESENT) != 0).sum())
        for index in np.flatnonzero(l2 & TABLE):
            at = (row * 512 + int(index)) * 512
            leaves[0] += int(((state.l1[at : at + 512] & PRESENT) != 0).sum())
    return tables, leaves[0], leaves[1], leaves[2]


@laws
@given(any_document)
def test_counters_are_what_the_levels_imply(document: dict[str, Any]) -> None:
    replay = replay_of(parse(document))
    for op in document["ops"]:
        replay.step(op)
        now, state = replay.vm.counters(), replay.vm.state
        tables, *leaves = tables_implied(state)
        assert leaves == [now.pages_4k, now.pages_2m, now.pages_1g], op
        if document["config"]["tdp_mmu"]:  # the shadow MMU keeps tables that it unlinked
            assert tables == now.table_pages, op
        else:
            assert tables <= now.table_pages, op


def all_bytes(state: MmuState) -> list[bytes]:
    used = int(state.stat[11])  # rows of the log beyond the cursor are left over
    return [array.tobytes() for array in state._replace(log=state.log[:used])]


@settings(laws, max_examples=15)
@given(any_document)
def test_the_same_ops_give_the_same_bytes(document: dict[str, Any]) -> None:
    first, second = replay_of(parse(document)), replay_of(parse(document))
    for op in document["ops"]:
        assert first.step(op) == second.step(op)
    assert all_bytes(first.vm.state) == all_bytes(second.vm.state)


@laws
@given(any_document)
def test_a_1g_leaf_is_repeated_below_and_flags_do_not_mix(document: dict[str, Any]) -> None:
    replay = replay_of(parse(document))
    for op in document["ops"]:
        replay.step(op)
    state = replay.vm.state
    for row, entry in enumerate(state.l3):
        l2 = state.l2[row * 512 : (row + 1) * 512]
        assert not (entry & PRESENT and entry & TABLE)
        assert not ((l2 & PRESENT != 0) & (l2 & TABLE != 0)).any()
        assert ((l2 & IN_1G) != 0).all() if entry & PRESENT else not (l2 & IN_1G).any()
        if entry & PRESENT:
            assert ((l2 & LEAF_BITS) == entry & LEAF_BITS).all()


@pytest.mark.parametrize("kernel", ["5.18", "6.1", "6.12", "7.3"])
@pytest.mark.parametrize("pml", [False, True])
def test_eager_enable_of_a_1g_page_takes_513_tables(kernel: str, pml: bool) -> None:  # noqa: FBT001  # parametrized
    vm = with_slot(machine(kernel, eager=True, pml=pml), Backing.HUGETLB_1G, REGION_1G)
    vm.run(0, gfns(REGION_1G, 1), write=True)
    before = vm.counters()
    vm.enable_dirty_logging(0)
    now = vm.counters()
    assert now.table_pages - before.table_pages == 513
    assert (now.pages_4k, now.pages_2m, now.pages_1g) == (262_144, 0, 0)
    assert now.pf_taken == before.pf_taken
