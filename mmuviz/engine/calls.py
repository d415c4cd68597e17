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
"""KVM's counters that are noted after each call."""


class Begun(NamedTuple):
    """A call or phase under way.

    Attributes:
        kind: its name.
        iteration: of the driver.
        slot: memslot id or -1.
        start_ps: when it began.
        stat: int64[STAT_ENTRIES], KVM's counters then.
        guest: accesses, faults and stall of all vCPUs so far.
    """

    kind: str
    iteration: int
    slot: int
    start_ps: int
    stat: I64
    guest: tuple[int, int, int]


class CallLog:
    """The rows so far.

    Attributes:
        rows: a dict of column values each, in order of their ends.
        op: number of the op under way, where the driver is a list of ops.
        offset: int64[STAT_ENTRIES], what KVM's counters are counted from.
    """

    def __init__(self) -> None:
        """Begin without rows."""
        self.rows: list[dict[str, int | str]] = []
        self.op = -1
        self.offset: I64 = np.zeros(mmu.STAT_ENTRIES, dtype=np.int64)

    def count_from_now(self, machine: TimedMachine) -> None:
        """What KVM's counters say now is no part of the run."""
        self.offset[:] = machine.vm.state.stat

    def count_pages_from_zero(self) -> None:
        """What was mapped before the run is mapped no more."""
        self.offset[mmu.STAT_PAGES : mmu.STAT_TABLE_PAGES + 1] = 0

    def begin(self, machine: TimedMachine, kind: str, iteration: int, slot: int = -1) -> Begun:
        """A call or phase begins now."""
        return Begun(kind, iteration, slot, machine.time, machine.vm.state.stat.copy(), guest_so_far(machine))

    def end(self, machine: TimedMachine, begun: Begun, reported: int = -1) -> None:
        """It ends now; what ran meanwhile is counted with it."""
        stat = machine.vm.state.stat
        did = stat - begun.stat
        accesses, faults, stall = (now - then for now, then in zip(guest_so_far(machine), begun.guest, strict=True))
        ioctl = begun.kind in IOCTLS
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


IOCTLS: Final = ("enable", "get", "clear", "reset", "disable", "pre_split")


def guest_so_far(machine: TimedMachine) -> tuple[int, int, int]:
    """Accesses, faults and stall of all vCPUs so far."""
    clock = machine.clock
    return int(clock.regs[layout.RETIRED_ALL]), int(clock.faults.sum()), int(clock.stall.sum())
