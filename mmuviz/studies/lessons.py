"""Lessons: stops in a catalogue entry, each a question that is asked before the answer is seen."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from mmuviz.engine.choices.base import Choices
from mmuviz.engine.choices.units import Percent, Time, Whole, size_of, time_of
from mmuviz.recording.stall_buckets import PS_PER_NS
from mmuviz.studies.packaged_scenarios import ORDER as STORIES
from mmuviz.studies.scenario_text import parsed

SUFFIX: Final = ".toml"
ORDER: Final = (
    "lazy-or-eager",
    "without-pml",
    "zap-or-split",
    "clear-in-chunks",
    "read-mostly",
    "back-to-huge-pages",
)
STOPS: Final = 3
Measure = Literal["stall", "ioctl", "longest_call", "tables", "faults", "splits", "split_share"]
"""Stall per vCPU, time in ioctls, the longest of them, page tables added, faults, splits since the start, and the share
of the stall that splits took."""
TIMES: Final = ("stall", "ioctl", "longest_call")


class Stop(Choices):
    """One question.

    Either `which` pane has most or least, and the panes are the answers; or `answers` say what `pane` has, and `bounds`
    tell them apart: an answer is right below its bound and from the bound before on.
    """

    at: Annotated[Time, Field(description="where it is asked")]
    shows_at: Annotated[Time, Field(description="where the answer is seen")]
    question: str
    measure: Measure
    which: Literal["most", "least"] | None = None
    same_percent: Annotated[Percent, Field(description="panes that differ by less have the same")] = 1
    pane: Annotated[Whole, Field(ge=0, le=3)] | None = None
    answers: tuple[str, ...] = ()
    bounds: tuple[int | str, ...] = ()
    explanation: str

    def _check(self) -> None:
        if self.shows_at <= self.at:
            raise ValueError("shows_at must be later than at")
        if (self.which is None) == (self.pane is None):
            raise ValueError("give which, or pane with answers and bounds")
        if self.pane is not None and not len(self.answers) == len(self.bounds) + 1 >= 2:
            raise ValueError("there must be one bound fewer than answers, and two answers at least")
        if list(self.limits()) != sorted(set(self.limits())):
            raise ValueError("bounds must rise")

    def limits(self) -> tuple[int, ...]:
        """The bounds as integers: ps, bytes, counts or percent, as the measure has it."""
        if self.measure in TIMES:
            return tuple(time_of(each) * PS_PER_NS for each in self.bounds)
        return tuple(size_of(each) if self.measure == "tables" else int(each) for each in self.bounds)

    def as_page_has_it(self) -> dict[str, Any]:
        """What a script needs; times are ps."""
        return {
            "at": self.at * PS_PER_NS,
            "shows": self.shows_at * PS_PER_NS,
            "question": self.question,
            "measure": self.measure,
            "which": self.which,
            "same": self.same_percent,
            "pane": self.pane,
            "answers": self.answers,
            "bounds": self.limits(),
            "explanation": self.explanation,
        }


class Lesson(Choices):
    """Three stops in one catalogue entry."""

    title: str
    story: str
    stops: Annotated[tuple[Stop, ...], Field(min_length=STOPS, max_length=STOPS)]

    def _check(self) -> None:
        if self.story not in STORIES:
            raise ValueError(f"story={self.story} must be an entry of the catalogue")


@cache
def lesson(name: str) -> Lesson:
    """A packaged lesson.

    Args:
        name: one of ORDER.

    Raises:
        InputError: its file breaks a rule.
    """
    return Lesson.model_validate(parsed((files("mmuviz") / "data" / "lessons" / f"{name}{SUFFIX}").read_bytes()))


def lessons() -> list[tuple[str, Lesson]]:
    """All of them by name, in order."""
    return [(name, lesson(name)) for name in ORDER]
