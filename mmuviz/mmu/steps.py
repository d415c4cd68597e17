"""Ioctls of dirty logging as sequences of steps, between which a consumer can let time pass.

Each ioctl is a generator of Steps. The consumer runs the walks; no memslot may change before the
generator is exhausted. A consumer without a clock exhausts it at once.
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
    """Kind of a step.

    WORK is work that an ioctl has done, with or without mmu_lock. LOCK and UNLOCK refer to mmu_lock.
    The consumer runs a WALK. FLUSH is a remote TLB flush (on arm64 a broadcast). KICK makes every vCPU that is
    in the guest leave it, which empties its PML buffer; the ioctl does not wait for that.
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
        act: kind of the step.
        path: the path that takes mmu_lock, for a LOCK or for a WALK that takes it again for each part.
        walk: the walk of a WALK.
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
    """The step that takes mmu_lock in the mode of a path."""
    return Step(Act.LOCK, path)


def walking(walk: Walk, path: Path | None = None) -> Step:
    """The step that runs a walk; `path` takes mmu_lock again for each of its parts."""
    return Step(Act.WALK, path, walk)


def exhaust(vm: VmArrays, steps: Steps[T]) -> T:
    """Run an ioctl to its end at once.

    Returns:
        The ioctl's result.
    """
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            value: T = stop.value
            return value
        if step.walk is not None:
            walk_at_once(vm, step.walk)
