"""Workloads of several patterns in sequence, each with its duration; and the union of all workloads."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, NamedTuple

from pydantic import Field

from mmuviz.engine.choices.base import Choices
from mmuviz.engine.choices.errors import ContradictionError
from mmuviz.engine.choices.units import Flag, Time, time_text
from mmuviz.engine.choices.workload import (
    HotSetWorkload,
    IdleWorkload,
    KernelNoiseWorkload,
    MemcpyWorkload,
    ReadWriteMixWorkload,
    SequentialWorkload,
    StridedWorkload,
    TraceWorkload,
    UniformRandomWorkload,
    ZipfWorkload,
)
from mmuviz.workloads.pattern import Pattern

MOST_PHASES: Final = 16
LONGEST_NS: Final = 3600 * 10**9
"""Longest phase, lead, tail or interval."""


class Timed(NamedTuple):
    """A pattern with its duration.

    Attributes:
        pattern: the guest's accesses.
        duration_ns: its duration; 0 for no end.
    """

    pattern: Pattern
    duration_ns: int


class Lasting(Choices):
    """A pattern that other patterns follow."""

    duration: Annotated[
        Time,
        Field(
            le=LONGEST_NS,
            description="how long the phase lasts",
            json_schema_extra={"depends": "all phases but the last, which lasts to the end"},
        ),
    ] = 0


class SequentialPhase(Lasting, SequentialWorkload):
    """See SequentialWorkload."""


class StridedPhase(Lasting, StridedWorkload):
    """See StridedWorkload."""


class ReadWriteMixPhase(Lasting, ReadWriteMixWorkload):
    """See ReadWriteMixWorkload."""


class UniformRandomPhase(Lasting, UniformRandomWorkload):
    """See UniformRandomWorkload."""


class HotSetPhase(Lasting, HotSetWorkload):
    """See HotSetWorkload."""


class ZipfPhase(Lasting, ZipfWorkload):
    """See ZipfWorkload."""


class MemcpyPhase(Lasting, MemcpyWorkload):
    """See MemcpyWorkload."""


class KernelNoisePhase(Lasting, KernelNoiseWorkload):
    """See KernelNoiseWorkload."""


class IdlePhase(Lasting, IdleWorkload):
    """See IdleWorkload."""


Phase = Annotated[
    SequentialPhase
    | StridedPhase
    | ReadWriteMixPhase
    | UniformRandomPhase
    | HotSetPhase
    | ZipfPhase
    | MemcpyPhase
    | KernelNoisePhase
    | IdlePhase,
    Field(discriminator="pattern"),
]


class PhasesWorkload(Choices):
    """Several patterns, one after the other; the last one continues to the end, or all of them repeat."""

    resembles: ClassVar[str] = "a job with stages; with repeat bursts of work and rest (assumption)"
    pattern: Literal["phases"] = "phases"
    phases: Annotated[
        tuple[Phase, ...], Field(min_length=2, max_length=MOST_PHASES, description="patterns, each with its duration")
    ]
    repeat: Annotated[Flag, Field(description="after the last phase the first one begins again: bursts")] = False

    def _check(self) -> None:
        """Require a duration for every phase but the last, and no passes."""
        for index, phase in enumerate(self.phases):
            accesses = getattr(phase, "accesses", 0)
            if accesses:
                raise ContradictionError(
                    f"phases[{index}].accesses={accesses} must be left out: a phase lasts for a time, and has no "
                    "passes; give its duration"
                )
        for index, phase in enumerate(self.phases if self.repeat else self.phases[:-1]):
            if not phase.duration:
                raise ContradictionError(
                    f"phases[{index}].duration=0 must be more than 0: only the last phase has no end, and with repeat "
                    'none has; give it, e.g. "10 ms"'
                )
        last = self.phases[-1]
        if last.duration and not self.repeat:
            raise ContradictionError(
                f"phases[{len(self.phases) - 1}].duration={time_text(last.duration)} must be left out: the last phase "
                "lasts to the end of the run; for an end, add an idle phase, and for bursts set repeat"
            )

    def pattern_of(self) -> Pattern:
        """The first phase's pattern."""
        return self.phases[0].pattern_of()

    def timeline(self) -> tuple[Timed, ...]:
        """Return all phases; the last has no end unless the phases repeat."""
        return tuple(Timed(phase.pattern_of(), phase.duration) for phase in self.phases)


Workload = Annotated[
    SequentialWorkload
    | StridedWorkload
    | ReadWriteMixWorkload
    | UniformRandomWorkload
    | HotSetWorkload
    | ZipfWorkload
    | MemcpyWorkload
    | KernelNoiseWorkload
    | IdleWorkload
    | PhasesWorkload
    | TraceWorkload,
    Field(discriminator="pattern"),
]


def timeline_of(workload: Workload) -> tuple[Timed, ...]:
    """Return the guest's patterns in sequence; a workload of one pattern is one part without end."""
    if isinstance(workload, PhasesWorkload):
        return workload.timeline()
    return (Timed(workload.pattern_of(), 0),)
