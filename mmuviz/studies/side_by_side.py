"""Concurrent runs of several Scenarios, e.g. the variants of a Comparison, on the cores of this machine."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event, Lock
from typing import Final

from mmuviz.engine.choices.scenario import Focus, Scenario
from mmuviz.engine.run import run
from mmuviz.recording.recording import Recording
from mmuviz.studies.comparison import Comparison

AT_ONCE: Final = 2
"""Most concurrent runs; compiled code releases the GIL."""
LARGE_PAGES: Final = 1 << 22
"""Pages of a guest, 16 GiB, from which a run takes so much memory that it is freed before the next one."""


class AbandonedError(Exception):
    """Raised to end a run whose result is not needed any more."""


def compare(comparison: Comparison, focus: Focus | None = None) -> dict[str, Recording]:
    """Run every variant of a Comparison.

    Args:
        comparison: the Comparison; its variants run concurrently.
        focus: see run().

    Returns:
        Label -> Recording, in the order of the variants; equal to those that run() returns.

    Raises:
        MmuvizError: see run().
    """
    return dict(zip(comparison.labels, run_all(comparison.scenarios, focus), strict=True))


def run_all(
    scenarios: Sequence[Scenario],
    focus: Focus | None = None,
    *,
    at_once: int = AT_ONCE,
    progress: Callable[[int, int, int], None] | None = None,
    finished: Callable[[int, Recording], None] | None = None,
) -> list[Recording]:
    """Run Scenarios concurrently.

    Args:
        scenarios: inputs of the runs.
        focus: see run().
        at_once: most concurrent runs.
        progress: called with the index of a Scenario, its simulated time in ns and its accesses so far; from several
            threads, but never from two at once.
        finished: called in the calling thread, as soon as a run ends, with the index of its Scenario and its
            Recording; never while `progress` is called.

    Returns:
        The Recordings, in the order of the Scenarios.

    Raises:
        MmuvizError: see run(); the first failure ends all other runs.
    """
    over, one_by_one = Event(), Lock()

    def run_one(index: int) -> Recording:
        def report_progress(time_ns: int, accesses: int) -> None:
            if over.is_set():
                raise AbandonedError
            if progress is not None:
                with one_by_one:
                    progress(index, time_ns, accesses)

        recording = run(scenarios[index], focus, progress=report_progress)
        if scenarios[index].ram_pages > LARGE_PAGES:
            gc.collect()  # what a run leaves behind refers to itself, and the next run needs its memory
        return recording

    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="run") as threads:
        runs = {threads.submit(run_one, index): index for index in range(len(scenarios))}
        try:
            # If a run has failed, its error is raised at once, while others may still run.
            for each in as_completed(runs):
                recording = each.result()
                if finished is not None:
                    with one_by_one:
                        finished(runs[each], recording)
            return [each.result() for each in runs]
        finally:
            over.set()
            for each in runs:
                each.cancel()
