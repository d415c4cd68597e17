"""What an ioctl of dirty logging does, as a sequence of steps that a consumer may let time pass between.

Each ioctl is a generator of Steps. It changes the tables right before it yields the WORK step that
says so, and trusts that nobody else changes a memslot before it is exhausted. A consumer without a
clock exhausts it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

from mmuviz.ground.pages import PAGES_PER_1G, PG_LEVEL_1G, PG_LEVEL_4K
from mmuviz.mmu import state as layout
from mmuviz.mmu.config import MAX_GFN
from mmuviz.mmu.locks import Path
from mmuviz.mmu.state import I64, MmuState


class Act(StrEnum):
    """What a step is.

    FIXED is what an ioctl does before it takes any lock: its own work, bitmap allocation and fill.
    LOCK, UNLOCK and RELOCK are of mmu_lock; RELOCK drops it to allocate memory, and takes it again
    behind all who wait, which a consumer ignores while no vCPU runs. PLAN comes right before a
    change of the tables and WORK after it. FLUSH is a remote TLB flush (on arm64 a broadcast),
    BROADCAST a number of TLBIs by address on arm64.
    """

    FIXED = "fixed"
    LOCK = "lock"
    UNLOCK = "unlock"
    RELOCK = "relock"
    PLAN = "plan"
    WORK = "work"
    FLUSH = "flush"
    BROADCAST = "broadcast"


class Verb(StrEnum):
    """What a step of work does to the pages it covers."""

    FIXED = "fixed"
    SPLIT = "split"
    PROTECT = "protect"
    GET_WORD = "get_word"
    CLEAR_WORD = "clear_word"
    COLLAPSE = "collapse"
    RING = "ring"
    PRE_SPLIT = "pre_split"


class Changes(NamedTuple):
    """What one change of the tables did to KVM's counters, whatever happened since.

    Attributes:
        tables: table pages linked less those freed.
        topups: fillings of VM-wide split caches.
        tlbis: TLBIs by address (arm64).
        collapsed: tables that were zapped or became a huge page again.
        leaves_4k: 4K leaves that came, negative where they went.
        entries: entries of a dirty ring that were reset.
    """

    tables: int = 0
    topups: int = 0
    tlbis: int = 0
    collapsed: int = 0
    leaves_4k: int = 0
    entries: int = 0


NO_CHANGES: Final = Changes()


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step of an ioctl.

    Attributes:
        act: what it is.
        path: of LOCK and RELOCK, who takes mmu_lock.
        times: of FLUSH and BROADCAST, how many.
        verb: of PLAN and WORK, and the steps of its kind.
        first: of PLAN and WORK, first gfn.
        end: of PLAN and WORK, the gfn behind the last.
        level: of a walk over one level, that level; else 0.
        tables: of PLAN and WORK, those that change.
        masks: of GET and CLEAR, int64[words] pages that PLAN is about to arm.
        changes: of WORK, what it did.
    """

    act: Act
    path: Path | None = None
    times: int = 0
    verb: Verb = Verb.FIXED
    first: int = 0
    end: int = 0
    level: int = 0
    tables: MmuState | None = None
    masks: I64 | None = None
    changes: Changes = NO_CHANGES


T = TypeVar("T")
Steps = Generator[Step, None, T]
Unit = Callable[[], int]
"""Asked before each step: how many pages it may cover. 1 GiB where no vCPU runs, else 2 MiB."""

FIXED: Final = Step(Act.FIXED)
UNLOCK: Final = Step(Act.UNLOCK)


def lock(path: Path) -> Step:
    """Take mmu_lock as a path holds it."""
    return Step(Act.LOCK, path)


def relock(path: Path) -> Step:
    """Drop mmu_lock and take it again."""
    return Step(Act.RELOCK, path)


def flush(times: int = 1) -> Step:
    """Remote TLB flushes."""
    return Step(Act.FLUSH, times=times)


def broadcast(times: int) -> Step:
    """TLBIs by address."""
    return Step(Act.BROADCAST, times=times)


def whole() -> int:
    """The unit of a consumer without a clock: no step ends before its walk."""
    return MAX_GFN


def covers_all(unit: Unit) -> bool:
    """Whether no vCPU runs, so that nothing need end early for one."""
    return unit() >= PAGES_PER_1G


def end_of_step(first: int, end: int, size: int) -> int:
    """Where a step that begins at `first` ends: at a multiple of `size`, or with the walk."""
    return min((first // size + 1) * size, end)


def exhaust(steps: Steps[T]) -> T:
    """Carry an ioctl out at once.

    Returns:
        What it returns.
    """
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            value: T = stop.value
            return value


def counted(state: MmuState) -> I64:
    """KVM's counters now, for changes_since()."""
    return state.stat.copy()


def changes_since(state: MmuState, before: I64, entries: int = 0) -> Changes:
    """What a change of the tables did to KVM's counters.

    Args:
        state: tables, after it.
        before: from counted(), before it.
        entries: entries of a dirty ring that it reset.
    """
    now = state.stat - before
    return Changes(
        tables=int(now[layout.STAT_TABLE_PAGES]),
        topups=int(now[layout.STAT_SPLIT_TOPUPS]),
        tlbis=int(now[layout.STAT_TLBIS]),
        collapsed=int(now[layout.STAT_TABLES_COLLAPSED]),
        leaves_4k=int(now[layout.STAT_PAGES + PG_LEVEL_4K]),
        entries=entries,
    )


def leaves(state: MmuState) -> int:
    """Leaves of all levels."""
    stat = state.stat
    return int(stat[layout.STAT_PAGES + PG_LEVEL_4K : layout.STAT_PAGES + PG_LEVEL_1G + 1].sum())
