"""What an ioctl of dirty logging does, as a sequence of steps that a consumer may let time pass between.

Each ioctl is a generator of Steps. The consumer carries out the walks, and the generator trusts that nobody
else changes a memslot before it is exhausted. A consumer without a clock exhausts it at once.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from mmuviz.mmu.arrays import VmArrays
from mmuviz.mmu.locks import Path
from mmuviz.mmu.walks import Walk, walk_at_once


class Act(StrEnum):
    """What a step is.

    WORK is what an ioctl has done, on the way to a lock or under it. LOCK and UNLOCK are of mmu_lock. WALK is to
    be carried out by the consumer. FLUSH is a remote TLB flush (on arm64 a broadcast). KICK has every vCPU that is in
    the guest leave it, which empties its PML buffer; nobody waits for that.
    """

    WORK = "work"
    LOCK = "lock"
    UNLOCK = "unlock"
    WALK = "walk"
    FLUSH = "flush"
    KICK = "kick"


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step of an ioctl.

    Attributes:
        act: what it is.
        path: of LOCK, and of a WALK that takes mmu_lock anew, who takes it.
        walk: of WALK.
    """

    act: Act
    path: Path | None = None
    walk: Walk | None = None


T = TypeVar("T")
Steps = Generator[Step, None, T]

WORK: Final = Step(Act.WORK)
UNLOCK: Final = Step(Act.UNLOCK)
FLUSH: Final = Step(Act.FLUSH)
KICK: Final = Step(Act.KICK)


def lock(path: Path) -> Step:
    """Take mmu_lock as a path holds it."""
    return Step(Act.LOCK, path)


def walking(walk: Walk, path: Path | None = None) -> Step:
    """Carry out a walk; `path` is who takes mmu_lock anew for each of its parts."""
    return Step(Act.WALK, path, walk)


def exhaust(vm: VmArrays, steps: Steps[T]) -> T:
    """Carry an ioctl out at once.

    Returns:
        What it returns.
    """
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            value: T = stop.value
            return value
        if step.walk is not None:
            walk_at_once(vm, step.walk)
