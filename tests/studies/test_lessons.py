"""Lessons: three stops each, in a catalogue entry, with answers that the Recordings tell apart clearly."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import pytest

from mmuviz.core.errors import InputError
from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.run import run
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CAUSES, FAULT_PATHS, IOCTL_COUNT, SPLIT_PLACES
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.lessons import ORDER, STOPS, Lesson, Stop, lesson, lessons
from mmuviz.studies.scenario_files import read_scenario

CLEARLY: Final = 1.1
"""A right answer is that by a tenth at least."""


@cache
def recordings(story: str) -> tuple[Recording, ...]:
    read = read_scenario(story)
    assert isinstance(read, Comparison)
    return tuple(run(each) for each in read.scenarios)


def _bins(made: Recording, ps: int) -> slice:
    return slice(0, min(len(made.bins.accesses), -(-ps // made.header.bin_ps)))


def _stall(made: Recording, ps: int, *causes: str) -> float:
    named = causes or CAUSES
    return sum(int(getattr(made.bins, f"stall_{each}_ps")[_bins(made, ps)].sum()) for each in named) / made.header.vcpus


def _calls(made: Recording, ps: int, *, ended: bool) -> list[int]:
    rows = [at for at, kind in enumerate(made.calls.kind) if kind < IOCTL_COUNT]
    spans = [(int(made.calls.start_ps[at]), int(made.calls.end_ps[at])) for at in rows]
    return [min(end, ps) - start for start, end in spans if start < ps and (end <= ps or not ended)]


def _tables(made: Recording, ps: int) -> float:
    before = made.header.table_pages_at_enable
    assert before is not None
    return (int(made.bins.table_pages[_bins(made, ps)][-1]) - before) * PAGE_BYTES


def _sums(made: Recording, ps: int, *names: str) -> float:
    return sum(int(getattr(made.bins, name)[_bins(made, ps)].sum()) for name in names)


MEASURES: Final[dict[str, Callable[[Recording, int], float]]] = {
    "stall": _stall,
    "ioctl": lambda made, ps: sum(_calls(made, ps, ended=False)),
    "longest_call": lambda made, ps: max(_calls(made, ps, ended=True), default=0),
    "tables": _tables,
    "faults": lambda made, ps: _sums(made, ps, *(f"faults_{kind}" for kind in FAULT_PATHS)),
    "splits": lambda made, ps: _sums(made, ps, *(f"splits_{place}" for place in SPLIT_PLACES)),
    "split_share": lambda made, ps: 100 * _stall(made, ps, "split_or_zap") / _stall(made, ps),
}


def values_of(story: str, stop: Stop) -> list[float]:
    """Return the quantity of a stop for every run, at the end of the bin in which the answer is shown."""
    given = stop.as_page_has_it()
    return [MEASURES[stop.measure](made, min(given["shows"], made.header.end_ps)) for made in recordings(story)]


def test_there_are_six_of_three_stops() -> None:
    assert len(lessons()) == len(set(ORDER)) >= 6
    assert all(len(each.stops) == STOPS for _, each in lessons())
    assert len({stop.question for _, each in lessons() for stop in each.stops}) == STOPS * len(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_one_answer_is_right_and_clearly_so(name: str) -> None:
    taught = lesson(name)
    for stop in taught.stops:
        values = values_of(taught.story, stop)
        if stop.which is not None:
            least, most = min(values), max(values)
            other = sorted(values)[-2 if stop.which == "most" else 1]
            same = most - least <= stop.same_percent / 100 * most
            apart = other * CLEARLY < most if stop.which == "most" else least * CLEARLY < other
            assert same or (apart and most - least > CLEARLY * stop.same_percent / 100 * most), stop.question
        else:
            assert stop.pane is not None
            value = values[stop.pane]
            assert all(value * CLEARLY < bound or value > bound * CLEARLY for bound in stop.limits()), stop.question


@pytest.mark.parametrize("name", ORDER)
def test_it_is_asked_before_it_is_seen_and_inside_the_run(name: str) -> None:
    taught = lesson(name)
    longest = max(made.header.end_ps for made in recordings(taught.story))
    assert all(0 <= each["at"] < each["shows"] <= longest for each in (stop.as_page_has_it() for stop in taught.stops))


STOP: Final[dict[str, Any]] = {
    "at": "1 ms",
    "shows_at": "2 ms",
    "question": "?",
    "measure": "stall",
    "which": "most",
    "explanation": "!",
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shows_at": "1 ms"}, "later than at"),
        ({"which": None}, "give which"),
        ({"which": None, "pane": 0, "answers": ["a"], "bounds": []}, "one bound fewer"),
        ({"which": None, "pane": 0, "answers": ["a", "b", "c"], "bounds": ["2 ms", "1 ms"]}, "rise"),
        ({"measure": "stalls"}, "stalls"),
        ({"at": "soon"}, "soon"),
    ],
)
def test_a_stop_that_breaks_a_rule_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Stop.model_validate({**STOP, **change})


def test_a_lesson_is_in_an_entry_of_the_catalogue() -> None:
    stops = [{**STOP, "question": str(at)} for at in range(STOPS)]
    assert len(Lesson.model_validate({"title": "?", "story": "running-guest", "stops": stops}).stops) == STOPS
    with pytest.raises(InputError, match="catalogue"):
        Lesson.model_validate({"title": "?", "story": "walking-guest", "stops": stops})
    with pytest.raises(InputError):
        Lesson.model_validate({"title": "?", "story": "running-guest", "stops": stops[:2]})
