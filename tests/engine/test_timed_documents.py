"""The time of documents: its columns add up, its ops follow each other, and the answers are those without a clock."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from mmuviz.costs.hosts import PROFILES
from mmuviz.engine.timed_replay import TimedReplay, reach_bytes, timing_of
from mmuviz.ground.pages import PAGE_BYTES, PAGE_HEADER_BYTES
from mmuviz.mmu.answers import TRACEPOINTS
from mmuviz.mmu.recordings import checked
from mmuviz.mmu.replay import replay_of
from mmuviz.recording.timing import Timing
from mmuviz.studies.timed_guest import VCPUS, timed_guest

HOST = "tdp_eager"
GIB, EVERY = 4, 4096
WRITES = (GIB << 18) // EVERY
CHOICES = [
    (kernel, mode, eager)
    for kernel, mode in (("6.1", "manual"), ("6.12", "manual"), ("6.12", "manual_initially_set"))
    for eager in (False, True)
]
every_choice = pytest.mark.parametrize(("kernel", "mode", "eager"), CHOICES)


def document(kernel: str, mode: str, eager: bool) -> dict[str, Any]:  # noqa: FBT001 - one of CHOICES
    return timed_guest(eager_page_split=eager, kernel=kernel, mode=mode, gib=GIB, every=EVERY)


@cache
def timing(kernel: str, mode: str, eager: bool) -> Timing:  # noqa: FBT001 - one of CHOICES
    return timing_of(document(kernel, mode, eager), HOST)


@every_choice
def test_bins_add_up_to_totals(kernel: str, mode: str, eager: bool) -> None:  # noqa: FBT001 - one of CHOICES
    made = timing(kernel, mode, eager)
    assert np.allclose(made.stall_ms.sum(axis=0), made.vcpu_stall_ms.sum(axis=0), rtol=1e-12, atol=0)
    assert made.ioctl_ms.sum() == pytest.approx(sum(call.took_ms for call in made.ioctls), rel=1e-12)
    assert made.accesses.sum() == 2 * WRITES
    assert made.vcpu_stall_ms.shape == (VCPUS, len(made.causes))
    bins = len(made.accesses)
    assert made.stall_ms.shape == (bins, len(made.causes))
    assert len(made.table_bytes) == len(made.reach_bytes) == bins + 1
    assert made.bin_ms * (bins - 1) <= made.end_ms + made.bin_ms
    assert made.end_ms <= made.bin_ms * bins


@every_choice
def test_ops_follow_each_other(kernel: str, mode: str, eager: bool) -> None:  # noqa: FBT001 - one of CHOICES
    made, ops = timing(kernel, mode, eager), document(kernel, mode, eager)["ops"]
    kinds = [op["op"] for op in ops]
    begin = kinds.index("enable")
    assert not made.op_end_ms[:begin].any()  # the clock begins with the enabling
    took_ms = np.diff(made.op_end_ms, prepend=0)
    assert (took_ms[begin:] > 0).all()
    called = [(kind, took) for kind, took in zip(kinds, took_ms, strict=True) if kind in ("enable", "get", "clear")]
    called.append(("disable", took_ms[-1]))
    assert [call.name for call in made.ioctls] == [name for name, _ in called]
    assert np.allclose([call.took_ms for call in made.ioctls], [took for _, took in called])
    runs = np.array([kind == "parallel_write" and op > begin for op, kind in enumerate(kinds)])
    assert ((made.plain_ms > 0) == runs).all()
    assert made.slowdown == pytest.approx(took_ms[runs].sum() / made.plain_ms.sum())
    assert made.slowdown > 1


@every_choice
def test_a_fault_s_stall_has_a_tail(kernel: str, mode: str, eager: bool) -> None:  # noqa: FBT001 - one of CHOICES
    made = timing(kernel, mode, eager)
    assert list(made.fault_us) == sorted(made.fault_us)
    assert (made.fault_us[-1] > 0) == (made.faults > 0)
    assert made.faults == (0 if eager else WRITES)  # eagerly split pages are logged by PML, without a fault
    if not eager:
        assert made.faults * made.fault_us[-1] / 1000 >= made.total_stall_ms / 2


@every_choice
def test_it_answers_as_without_a_clock(kernel: str, mode: str, eager: bool) -> None:  # noqa: FBT001 - one of CHOICES
    plain = list(replay_of(checked(document(kernel, mode, eager))).steps())
    timed = list(TimedReplay(document(kernel, mode, eager), HOST, TRACEPOINTS).steps())
    # In time vCPUs that fault overtake each other: what each op did is the same, its order is not.
    for after in (*plain, *timed):
        after.pop("first_events_in_order")
    assert [sorted(after) for after in timed] == [sorted(after) for after in plain]
    for found, expected in zip(timed, plain, strict=True):
        assert found.get("counters") == expected.get("counters")
        assert found.get("dirty_ranges") == expected.get("dirty_ranges")
        counts = [[row[:2] for row in after["events"]] for after in (found, expected)]
        assert counts[0] == counts[1]


def test_the_tables_at_the_end_of_each_bin_are_the_machine_s() -> None:
    eager, lazy = timing("6.12", "manual", eager=True), timing("6.12", "manual", eager=False)
    logged_ms = eager.op_end_ms[-2]
    whole = GIB * 513 + 1  # of the slot, and the table that the program's own pages need
    tables = eager.table_bytes // (PAGE_BYTES + PAGE_HEADER_BYTES)
    assert tables[int(logged_ms / eager.bin_ms)] >= whole
    assert tables.max() - tables[0] == GIB * 513
    assert (np.diff(lazy.table_bytes[: int(lazy.op_end_ms[-2] / lazy.bin_ms)]) >= 0).all()


def test_progress_is_even_where_the_guest_is_slow() -> None:
    # A vCPU alone has one long turn: its accesses must not all stand where that began.
    alone = document("6.12", "manual", eager=False)
    alone["config"]["vcpus"] = 1
    made = timing_of(alone, HOST)
    first, last = (round(made.op_end_ms[op] / made.bin_ms) for op in (2, 3))
    busy = made.accesses[first + 1 : last - 1]
    assert len(busy) > 20
    assert busy.max() <= 4 * max(1, np.median(busy))


def test_the_same_document_costs_the_same() -> None:
    again = timing_of(document("6.1", "manual", eager=False), HOST)
    first = timing("6.1", "manual", eager=False)
    assert again.ioctls == first.ioctls
    assert np.array_equal(again.stall_ms, first.stall_ms)
    assert np.array_equal(again.op_end_ms, first.op_end_ms)


@pytest.mark.parametrize(
    ("leaves", "reach"),
    [
        ((0, 0, 4), 4 << 30),
        ((0, 0, 1536), 16 << 30),
        ((1 << 20, 0, 0), 1536 << 12),
        ((1 << 20, 1000, 0), (1000 << 21) + (536 << 12)),
        ((5, 2000, 1), (1536 << 21) + (1 << 30)),
        ((0, 0, 0), 0),
    ],
)
def test_the_tlb_reaches_as_far_as_its_entries(leaves: tuple[int, int, int], reach: int) -> None:
    assert reach_bytes(np.array([leaves]), PROFILES[HOST]).tolist() == [reach]


def test_reach_is_noted_from_the_enabling_on() -> None:
    made = timing("6.1", "manual", eager=True)
    assert made.reach_bytes[0] == GIB << 30  # the recording program's own pages are not shown
    assert made.reach_bytes[int(made.op_end_ms[-2] / made.bin_ms)] == 1536 * PAGE_BYTES
