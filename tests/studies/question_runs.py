"""Runs of the catalogue's entries that answer questions, as they stand and changed."""

from __future__ import annotations

from functools import cache
from typing import Any

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.overrides import overridden
from mmuviz.studies.scenario_files import read_scenario


def scenarios(name: str) -> tuple[Scenario, ...]:
    """The variants of an entry, in its order."""
    found = read_scenario(name)
    return found.scenarios if isinstance(found, Comparison) else (found,)


@cache
def answers(name: str) -> tuple[Recording, ...]:
    """The runs of an entry, as they stand in the catalogue."""
    return tuple(run(each) for each in scenarios(name))


def changed(scenario: Scenario, **changes: Any) -> Recording:  # noqa: ANN401  # fields
    """Run a variant with other fields; two underscores stand for a dot."""
    fields = {field.replace("__", "."): value for field, value in changes.items()}
    return run(Scenario.model_validate(overridden(scenario.given(), fields)))


def smaller(name: str, **changes: Any) -> tuple[Recording, ...]:  # noqa: ANN401  # fields
    """The same with less memory, where a rule is about what a GiB takes."""
    return tuple(changed(each, **changes) for each in scenarios(name))


def calls_of(made: Recording, kind: str) -> dict[str, list[int]]:
    """The columns of all calls of a kind, in the order of time."""
    rows = made.calls.kind == CALL_KINDS.index(kind)
    return {name: column[rows].tolist() for name, column in made.calls.items()}


def ioctl(made: Recording, kind: str) -> dict[str, int]:
    """Number of calls, total_ns, longest_ns and longest_hold_ns of a kind of ioctl."""
    found: dict[str, int] = made.totals["ioctls"][kind]
    return found
