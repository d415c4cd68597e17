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
    from mmuviz.studies.sensitivity import Span

CHEAP_SECONDS: Final = 20.0
"""Limit of the estimate of all its runs, s, up to which a range is computed by default."""
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
    from mmuviz.studies.sensitivity import number_of_runs, span_of

    nothing: list[Span | None] = [None] * len(scenarios)
    if any(each.header.migration is None for each in recordings):
        if arguments.range:
            raise InputError("--range needs a migration: driver.kind qemu_precopy or plain_precopy; leave it out")
        return nothing, ""
    if arguments.range is False or (arguments.json and not arguments.range):
        return nothing, ""
    runs = [number_of_runs(each) for each in scenarios]
    each_takes = [cost_of(each).seconds + SECONDS_A_RUN for each in scenarios]
    seconds = sum(many * takes for many, takes in zip(runs, each_takes, strict=True))
    if not arguments.range and seconds > CHEAP_SECONDS:
        return nothing, (
            f"What the ranges of the host's constants make of it was not worked out: that takes {sum(runs)} runs or "
            f"so, about {seconds:.0f} s; --range does it."
        )

    def run_all(some: Sequence[Scenario]) -> Sequence[Recording]:
        return run_side_by_side(arguments, tuple(some), [cost_of(each) for each in some], "range")

    pairs = zip(scenarios, recordings, strict=True)
    return [span_of(scenario, recording, run_all) for scenario, recording in pairs], ""
