"""The calls and phases of a run, one row each."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmuviz.core.pages import PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K
from mmuviz.engine import clock as layout
from mmuviz.engine.timed_machine import TimedMachine
from mmuviz.mmu import state as mmu
from mmuviz.mmu.state import I64

COUNTERS: Final = {
    "pages_4k": mmu.STAT_PAGES + PG_LEVEL_4K,
    "pages_2m": mmu.STAT_PAGES + PG_LEVEL_2M,
    "pages_1g": mmu.STAT_PAGES + PG_LEVEL_1G,
    "table_pages": mmu.STAT_TABLE_PAGES,
    "pf_taken": mmu.STAT_PF_TAKEN,
    "pf_fixed": mmu.STAT_PF_FIXED,
    "pf_fast": mmu.STAT_PF_FAST,
    "pf_spurious": mmu.STAT_PF_SPURIOUS,
}
"""KVM's counters that are recorded after each call."""


class Begun(NamedTuple):
    """A call or phase under way.

    Attributes:
        kind: name of the call or phase.
        iteration: the driver's iteration.
        slot: memslot id or -1.
        start_ps: time of its begin.
        stat: int64[STAT_ENTRIES], KVM's counters at that time.
        guest: accesses, faults and stall of all vCPUs so far.
    """

    kind: str
    iteration: int
    slot: int
    start_ps: int
    stat: I64
    guest: tuple[int, int, int]


class CallLog:
    """Rows of the calls and phases so far.

    Attributes:
        rows: a dict of column values each, in order of their ends.
        op: index of the current op, if the driver is a list of ops; else -1.
        offset: int64[STAT_ENTRIES], values of KVM's counters from which the run counts.
    """

    def __init__(self) -> None:
        """Begin without rows."""
        self.rows: list[dict[str, int | str]] = []
        self.op = -1
        self.offset: I64 = np.zeros(mmu.STAT_ENTRIES, dtype=np.int64)

    def count_from_now(self, machine: TimedMachine) -> None:
        """Exclude KVM's counters up to now from the run."""
        self.offset[:] = machine.vm.state.stat

    def count_pages_from_zero(self) -> None:
        """Count mapped pages from zero: mappings made before the run no longer exist."""
        self.offset[mmu.STAT_PAGES : mmu.STAT_TABLE_PAGES + 1] = 0

    def begin(self, machine: TimedMachine, kind: str, iteration: int, slot: int = -1) -> Begun:
        """Begin a call or phase now."""
        return Begun(kind, iteration, slot, machine.time, machine.vm.state.stat.copy(), guest_so_far(machine))

    def end(self, machine: TimedMachine, begun: Begun, reported: int = -1) -> None:
        """End a call or phase now and add its row, which includes the vCPUs' work since its begin."""
        stat = machine.vm.state.stat
        did = stat - begun.stat
        accesses, faults, stall = (now - then for now, then in zip(guest_so_far(machine), begun.guest, strict=True))
        ioctl = begun.kind in IOCTL_KINDS
        self.rows.append(
            {
                "kind": begun.kind,
                "iteration": begun.iteration,
                "op": self.op,
                "vcpu": -1,
                "slot": begun.slot,
                "start_ps": begun.start_ps,
                "end_ps": machine.time,
                "wait_ps": machine.wait_ps if ioctl else 0,
                "hold_ps": machine.longest_hold_ps if ioctl else 0,
                "reported_pages": reported,
                "tables_added": int(did[mmu.STAT_TABLE_PAGES]),
                "splits": int(did[mmu.STAT_SPLITS]),
                "zaps": int(did[mmu.STAT_ZAPS]),
                "tlb_flushes": int(did[mmu.STAT_TLB_FLUSHES]),
                "accesses": accesses,
                "faults": faults,
                "stall_ps": stall,
                **{name: max(int(stat[at] - self.offset[at]), 0) for name, at in COUNTERS.items()},
            }
        )


IOCTL_KINDS: Final = ("enable", "get", "clear", "reset", "disable", "pre_split")


def guest_so_far(machine: TimedMachine) -> tuple[int, int, int]:
    """Accesses, faults and stall of all vCPUs so far."""
    clock = machine.clock
    return int(clock.regs[layout.RETIRED_ALL]), int(clock.faults.sum()), int(clock.stall.sum())
