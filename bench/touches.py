"""Benchmarks of the machine: touches per second in three passes, next to the plain loop."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np

from bench.plain import I64, plain_loop, random_pages
from bench.report import seconds, table
from mmuviz.core.pages import PAGES_PER_1G
from mmuviz.mmu import state as mmu
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, VmConfig
from mmuviz.mmu.features import features_of
from mmuviz.mmu.guest_access import guest_access
from mmuviz.mmu.vm import Vm

SIZES_GIB = (4, 96, 1536)
MOST_TOUCHES = 100_000_000
RUNS = 3
BASE_GFN = PAGES_PER_1G
PASSES = (("first touch", 1, 0.5), ("first write after enable", 2, 0.25), ("rewrite", 2, 0.5))
"""Name of a pass, number of planes that the plain loop sets, and target: the least share of its speed."""


def new_machine(gib: int, *, record: bool) -> Vm:
    """Make a VM of 1G pages on kernel 6.12, with a bitmap, write protection and eager splitting."""
    machine = Vm(VmConfig(features_of("6.12"), DirtyLogMode.MANUAL), record=record)
    machine.add_memslot(0, Memslot(BASE_GFN, gib * PAGES_PER_1G, Backing.HUGETLB_1G))
    return machine


def touch(machine: Vm, gfns: I64) -> None:
    """Write to pages; a full event log is emptied and discarded."""
    vcpus = np.zeros(1, dtype=np.int64)
    stop, at = guest_access(machine.state, vcpus, gfns, 1, 0)
    while stop != mmu.DONE:
        machine.state.stat[mmu.STAT_LOG_ENTRIES] = 0
        stop, at = guest_access(machine.state, vcpus, gfns, 1, at)


@dataclass
class Passes:
    """Seconds of each pass: of the machine, of the machine with recorded events, and of the plain loop."""

    machine: list[float]
    recorded: list[float]
    plain: list[float]


def one_run(gib: int, indices: I64) -> Passes:
    """Measure all three passes once, each next to the plain loop."""
    pages = gib * PAGES_PER_1G
    gfns = indices + BASE_GFN
    machine, recorded = new_machine(gib, record=False), new_machine(gib, record=True)
    plane, bitmap = np.zeros(pages, dtype=np.uint8), np.zeros(pages // 64, dtype=np.int64)
    times = Passes([], [], [])
    for number, (_name, planes, _least) in enumerate(PASSES):
        if number == 1:
            machine.enable_dirty_logging(0)
            recorded.enable_dirty_logging(0)
            recorded.take_events()
            plane[:] = 1
        before = machine.counters().pf_taken
        times.machine.append(seconds(lambda: touch(machine, gfns)))
        faults = machine.counters().pf_taken - before
        tested = 1 if number == 0 else 2
        times.plain.append(seconds(partial(plain_loop, plane, bitmap, indices, tested, planes)))
        times.recorded.append(seconds(lambda: touch(recorded, gfns)))
        assert number != 1 or faults == len(indices), "every touch of the second pass must fault"
        assert number != 2 or faults == 0, "no touch of the third pass may fault"
    return times


def run() -> str:
    """Measure all sizes and orders; return the table as text."""
    plain_loop(np.zeros(64, dtype=np.uint8), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), 1, 2)
    rows = []
    for gib in SIZES_GIB:
        count = min(gib * PAGES_PER_1G, MOST_TOUCHES)
        for order in ("sequential", "random"):
            pages = gib * PAGES_PER_1G
            indices = np.arange(count, dtype=np.int64) if order == "sequential" else random_pages(pages, count)
            runs = [one_run(gib, indices) for _ in range(RUNS)]
            for number, (name, _planes, least) in enumerate(PASSES):
                mine = median([each.machine[number] for each in runs])
                recorded = median([each.recorded[number] for each in runs])
                plain = median([each.plain[number] for each in runs])
                ratio = median([each.plain[number] / each.machine[number] for each in runs])
                rows.append([
                    f"{gib} GiB {order}, {name}",
                    f"{count / mine / 1e6:.1f}",
                    f"{count / recorded / 1e6:.1f}",
                    f"{count / plain / 1e6:.1f}",
                    f"{ratio:.2f}",
                    f"{least:.2f}",
                    "yes" if ratio >= least else "NO",
                ])  # fmt: skip
    header = ["writes, million touches/s", "machine", "recorded", "plain loop", "machine/plain", "wanted", "met"]
    return table(header, rows)
