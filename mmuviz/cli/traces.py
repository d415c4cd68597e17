"""A remark on runs whose guest follows a trace that ends before they do, for `run` and `compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmuviz.engine.choices.scenario import Scenario
    from mmuviz.recording.recording import Recording


def trace_note(scenarios: Sequence[Scenario], recordings: Sequence[Recording]) -> str:
    """Write how long the guest of the longest run makes no access after the last one of its trace.

    Args:
        scenarios: the inputs of the runs, of one guest.
        recordings: their runs.

    Returns:
        A sentence; empty if the guest follows no trace, or if every run ends before its trace.
    """
    from mmuviz.engine.choices.workload import TraceWorkload
    from mmuviz.engine.trace_file import facts_of
    from mmuviz.recording.quantities import time_text

    scenario = scenarios[0]
    if not isinstance(scenario.workload, TraceWorkload):
        return ""
    ram = [(slot.base_gfn, slot.pages) for slot in scenario.ram]
    last_ns = facts_of(Path(scenario.workload.file), scenario.vm.vcpus, ram).last_ns
    silent_ns = max(recording.totals["end_ns"] for recording in recordings) - last_ns
    if silent_ns <= 0:
        return ""
    return (
        f"The trace ends {time_text(last_ns)} after the guest's start; after that the guest makes no access, for up to "
        f"{time_text(silent_ns)} of the run, and a migration meets no further writes."
    )
