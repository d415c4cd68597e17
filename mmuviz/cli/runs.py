"""Several runs in parallel, with one progress bar."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mmuviz.cli.compiling import Compiling
from mmuviz.cli.progress import Progress
from mmuviz.cli.sources import most_memory
from mmuviz.core.errors import InputError, MmuvizError

if TYPE_CHECKING:
    from mmuviz.engine.choices.scenario import Scenario
    from mmuviz.recording.recording import Recording
    from mmuviz.studies.estimate import RunCost


Finished = Callable[[int, "Recording"], None]


def run_side_by_side(
    arguments: argparse.Namespace,
    scenarios: tuple[Scenario, ...],
    costs: list[RunCost],
    label: str,
    finished: Finished | None = None,
) -> list[Recording]:
    """Run Scenarios with a progress bar, two at a time if both fit into memory.

    Args:
        arguments: parsed arguments of the command: its source, for messages, and its limit of memory.
        scenarios: the inputs.
        costs: the estimate of each.
        label: text before the bar.
        finished: called with the index of a Scenario and its Recording, in the order of the Scenarios, each as soon as
            it and all before it have ended; the bar is erased before. After Ctrl-C it is called for all that ended.

    Raises:
        InputError: a run is refused.
    """
    from mmuviz.studies.estimate import share_done
    from mmuviz.studies.side_by_side import run_all

    seconds = [max(each.seconds, 1e-3) for each in costs]
    done, simulated_ns = [0.0] * len(costs), [0] * len(costs)
    with Compiling() as compiling, Progress(label) as progress:

        def report_progress(index: int, time_ns: int, accesses: int) -> None:
            compiling.end()
            done[index], simulated_ns[index] = share_done(costs[index], time_ns, accesses), time_ns
            share = sum(part * took for part, took in zip(done, seconds, strict=True)) / sum(seconds)
            progress.update(share, sum(simulated_ns))  # the sum, as the time of one variant would jump back and forth

        def report(index: int, recording: Recording) -> None:
            if finished is not None:
                progress.erase()
                finished(index, recording)

        try:
            with in_order(report) as ended:

                def end_one(index: int, recording: Recording) -> None:
                    done[index] = 1.0  # the estimate of its end may have been later
                    ended(index, recording)

                return run_all(scenarios, at_once=at_once(arguments, costs), progress=report_progress, finished=end_one)
        except MmuvizError as error:
            raise InputError(f"{arguments.source}: {error}") from error


def at_once(arguments: argparse.Namespace, costs: list[RunCost]) -> int:
    """The number of runs that are made at a time: two if the largest two fit into the limit of memory.

    Raises:
        InputError: the limit is not a size.
    """
    from mmuviz.studies.side_by_side import AT_ONCE

    largest = sorted(each.memory_bytes for each in costs)[-AT_ONCE:]
    return AT_ONCE if len(largest) == AT_ONCE and sum(largest) <= most_memory(arguments) else 1


@contextmanager
def in_order(report: Finished) -> Iterator[Finished]:
    """Report runs in their order, although they may end in another; the rest at the end, also if an error ends it.

    Args:
        report: called with an index, from 0, and a Recording.
    """
    held: dict[int, Recording] = {}
    reported = 0

    def ended(index: int, recording: Recording) -> None:
        nonlocal reported
        held[index] = recording
        while reported in held:
            report(reported, held.pop(reported))
            reported += 1

    try:
        yield ended
    finally:
        for index in sorted(held):
            report(index, held[index])
