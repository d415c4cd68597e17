"""Several runs in parallel, with one progress bar."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mmuviz.cli.compiling import Compiling
from mmuviz.cli.progress import Progress
from mmuviz.cli.sources import most_memory
from mmuviz.core.errors import InputError, MmuvizError

if TYPE_CHECKING:
    from mmuviz.engine.choices.scenario import Scenario
    from mmuviz.recording.recording import Recording
    from mmuviz.studies.estimate import RunCost


def run_side_by_side(
    arguments: argparse.Namespace, scenarios: tuple[Scenario, ...], costs: list[RunCost], label: str
) -> list[Recording]:
    """Run Scenarios with a progress bar, two at a time if both fit into memory.

    Args:
        arguments: parsed arguments of the command: its source, for messages, and its limit of memory.
        scenarios: the inputs.
        costs: the estimate of each.
        label: text before the bar.

    Raises:
        InputError: a run is refused.
    """
    from mmuviz.studies.estimate import share_done
    from mmuviz.studies.side_by_side import AT_ONCE, run_all

    seconds = [max(each.seconds, 1e-3) for each in costs]
    done, simulated_ns = [0.0] * len(costs), [0] * len(costs)
    largest = sorted(each.memory_bytes for each in costs)[-AT_ONCE:]
    fits = sum(largest) <= most_memory(arguments)
    with Compiling() as compiling, Progress(label) as progress:

        def report_progress(index: int, time_ns: int, accesses: int) -> None:
            compiling.end()
            done[index], simulated_ns[index] = share_done(costs[index], time_ns, accesses), time_ns
            share = sum(part * took for part, took in zip(done, seconds, strict=True)) / sum(seconds)
            progress.update(share, sum(simulated_ns))  # the sum, as the time of one variant would jump back and forth

        try:
            return run_all(scenarios, at_once=AT_ONCE if fits else 1, progress=report_progress)
        except MmuvizError as error:
            raise InputError(f"{arguments.source}: {error}") from error
