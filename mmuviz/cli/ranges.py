"""`--range` of `run` and `compare`: the spread of a migration's results over the ranges of the host's constants."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mmuviz.cli.runs import run_side_by_side
from mmuviz.core.errors import InputError

if TYPE_CHECKING:
    from mmuviz.engine.choices.scenario import Scenario
    from mmuviz.recording.recording import Recording
    from mmuviz.studies.sensitivity import Part, Span

CHEAP_SECONDS: Final = 30.0
"""Limit of the estimate of all its runs, s, up to which a range is computed by default; two runs are made at a time."""
SECONDS_A_RUN: Final = 0.1
"""Time of a run in addition to its accesses, s: Python, and assembling the Recording."""


def add_range(parser: argparse.ArgumentParser) -> None:
    """Add the option.

    Args:
        parser: parser of a command.
    """
    parser.add_argument(
        "--range",
        action=argparse.BooleanOptionalAction,
        help="run a migration again and again, to see what the ranges of the host's constants make of it "
        "(default: where that is quick; not with --json)",
    )


def ranges_of(
    arguments: argparse.Namespace, scenarios: Sequence[Scenario], recordings: Sequence[Recording]
) -> tuple[list[Span | None], str]:
    """Compute the range of each of several migrations of one guest.

    Args:
        arguments: parsed arguments of the command.
        scenarios: the inputs of the runs.
        recordings: their results.

    Returns:
        A Span for each, or None for each; and a notice if a range was not computed because it would take long.

    Raises:
        InputError: --range was given and one of them is no migration; or a run is refused.
    """
    from mmuviz.studies.estimate import cost_of
    from mmuviz.studies.sensitivity import span_of

    nothing: list[Span | None] = [None] * len(scenarios)
    if any(each.header.migration is None for each in recordings):
        if arguments.range:
            raise InputError("--range needs a migration: driver.kind qemu_precopy or plain_precopy; leave it out")
        return nothing, ""
    if arguments.range is False or (arguments.json and not arguments.range):
        return nothing, ""
    parts, note = parts_of(scenarios, recordings, always=bool(arguments.range))
    if parts is None:
        return nothing, note

    def run_all(some: Sequence[Scenario]) -> Sequence[Recording]:
        return run_side_by_side(arguments, tuple(some), [cost_of(each) for each in some], "range")

    runs = zip(scenarios, recordings, parts, strict=True)
    return [span_of(scenario, recording, run_all, part) for scenario, recording, part in runs], note


def parts_of(
    scenarios: Sequence[Scenario], recordings: Sequence[Recording], *, always: bool
) -> tuple[list[Part | None] | None, str]:
    """Choose how the constants that matter most are found: by runs with all memory, or else with a part of it.

    Args:
        scenarios: migrations.
        recordings: their results.
        always: whether they are found however long it takes, and then with all memory.

    Returns:
        A Part for each, or None for each that is run with all of its memory; None in place of the list if either would
        take longer than CHEAP_SECONDS. And a notice on how to have them found by runs with all memory.
    """
    from mmuviz.studies.estimate import cost_of
    from mmuviz.studies.sensitivity import number_of_corners, number_of_runs
    from mmuviz.studies.smaller_guest import fewest_pages

    def seconds_of(scenario: Scenario, runs: int) -> float:
        return runs * (cost_of(scenario).seconds + SECONDS_A_RUN)

    whole = [number_of_runs(each) for each in scenarios]
    seconds = sum(map(seconds_of, scenarios, whole))
    if always or seconds <= CHEAP_SECONDS:
        return [None] * len(scenarios), ""
    takes = f"{sum(whole)} runs or so, about {seconds:.0f} s"
    parts = [fewest_pages(each) for each in scenarios]
    in_part = sum(
        seconds_of(part.scenario, number_of_runs(part.scenario)) + seconds_of(scenario, number_of_corners(recording))
        for scenario, recording, part in zip(scenarios, recordings, parts, strict=True)
        if part is not None
    )
    if None not in parts and in_part <= CHEAP_SECONDS:
        return list(parts), f"--range chooses the constants by runs with all of the memory: {takes}."
    return None, (
        f"What the ranges of the host's constants make of it was not worked out: that takes {takes}; --range does it."
    )
