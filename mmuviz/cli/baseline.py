"""`--baseline` of `run` and `compare`: the same guests without logging, to which the progress of others is compared."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from mmuviz.cli.runs import run_side_by_side

if TYPE_CHECKING:
    from mmuviz.engine.choices.scenario import Scenario
    from mmuviz.recording.recording import Recording

CHEAP_SECONDS: Final = 5.0
"""Limit of the estimate of all its runs, s, up to which guests without logging are run by default."""
LOGGING_FIELDS: Final = (
    "dirty_log_mode",
    "eager_page_split",
    "ring_entries",
    "split_chunk",
    "tracking",
    "rounds_to_4k",
)
"""Fields of a VM that have no effect on a guest that is not logged."""


def add_baseline(parser: argparse.ArgumentParser, which: str) -> None:
    """Add the option.

    Args:
        parser: parser of a command.
        which: the guests that are compared by default.
    """
    parser.add_argument(
        "--baseline",
        action=argparse.BooleanOptionalAction,
        help="run the guest a second time without logging, to compare its progress "
        f"(default: {which}, where that is quick; not with --json)",
    )


def baseline_of(scenario: Scenario, duration_ns: int) -> Scenario | None:
    """Return the same guest without logging, for a duration; None if the guest does not run during ioctls."""
    from mmuviz.engine.choices.scenario import Scenario
    from mmuviz.engine.drivers.calc_dirty_rate import CalcDirtyRate
    from mmuviz.engine.drivers.enable_only import EnableOnly
    from mmuviz.engine.drivers.live_rounds import LiveRounds
    from mmuviz.engine.drivers.migrates import Migrates

    runs_on = isinstance(scenario.driver, EnableOnly | LiveRounds | CalcDirtyRate) and scenario.driver.least_ps()
    if not runs_on and not isinstance(scenario.driver, Migrates):
        return None
    driver = {"kind": "without_logging", "duration": duration_ns}
    return Scenario.model_validate({**scenario.given(), "driver": driver})


def guest_of(scenario: Scenario) -> str:
    """Return what a guest that is not logged depends on, as text: equal for guests that do the same."""
    document: dict[str, Any] = scenario.as_document()
    vm = {name: value for name, value in document["vm"].items() if name not in LOGGING_FIELDS}
    parts = {name: document[name] for name in ("memory", "workload", "host") if name in document}
    return json.dumps([vm, parts], sort_keys=True)


def baselines_of(
    arguments: argparse.Namespace, scenarios: Sequence[Scenario], recordings: Sequence[Recording]
) -> list[Recording | None]:
    """Run the guests of several runs without logging, each guest once and as long as its longest run.

    Args:
        arguments: parsed arguments of the command.
        scenarios: the inputs of the runs.
        recordings: their results.

    Returns:
        For each run that of its guest; None if the guest does not run on, or if it was not asked for and takes long.

    Raises:
        InputError: a run is refused.
    """
    from mmuviz.studies.estimate import cost_of

    nothing: list[Recording | None] = [None] * len(scenarios)
    if arguments.baseline is False or (arguments.json and not arguments.baseline):
        return nothing
    longest: dict[str, tuple[Scenario, int]] = {}
    for scenario, recording in zip(scenarios, recordings, strict=True):
        first, end_ns = longest.get(guest_of(scenario), (scenario, 0))
        longest[guest_of(scenario)] = first, max(end_ns, recording.totals["end_ns"])
    plain = {guest: found for guest, each in longest.items() if (found := baseline_of(*each)) is not None}
    costs = [cost_of(each) for each in plain.values()]
    if not plain or (not arguments.baseline and sum(each.seconds for each in costs) > CHEAP_SECONDS):
        return nothing
    runs = run_side_by_side(arguments, tuple(plain.values()), costs, "without logging")
    made = dict(zip(plain, runs, strict=True))
    return [made.get(guest_of(each)) for each in scenarios]
