"""Lessons: a catalogue entry with stops, at each of which the page asks a question before it shows the answer."""

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
"""Quantities of a question, in this order: stall per vCPU, time in ioctls, the longest ioctl, page tables added,
faults, splits since the start, and the share of the stall that is due to splits."""
TIMES: Final = ("stall", "ioctl", "longest_call")


class Stop(Choices):
    """A question of a lesson.

    Either it asks for the pane with the most or the least (`which`), and the panes are the answers; or it asks for the
    value of one `pane`, and answer i is right for values from bounds[i - 1] up to but not including bounds[i].
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
        """Return the bounds as integers in the unit of the measure: ps, bytes, counts or percent."""
        if self.measure in TIMES:
            return tuple(time_of(each) * PS_PER_NS for each in self.bounds)
        return tuple(size_of(each) if self.measure == "tables" else int(each) for each in self.bounds)

    def as_page_has_it(self) -> dict[str, Any]:
        """Return the stop as the page's script reads it, times in ps."""
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
    """A lesson: three stops in one catalogue entry."""

    title: str
    story: str
    stops: Annotated[tuple[Stop, ...], Field(min_length=STOPS, max_length=STOPS)]

    def _check(self) -> None:
        if self.story not in STORIES:
            raise ValueError(f"story={self.story} must be an entry of the catalogue")


@cache
def lesson(name: str) -> Lesson:
    """Read a packaged lesson.

    Args:
        name: a name in ORDER.

    Raises:
        InputError: its file is invalid.
    """
    return Lesson.model_validate(parsed((files("mmuviz") / "data" / "lessons" / f"{name}{SUFFIX}").read_bytes()))


def lessons() -> list[tuple[str, Lesson]]:
    """Read all lessons; pairs of name and lesson, in order."""
    return [(name, lesson(name)) for name in ORDER]
