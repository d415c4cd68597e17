"""Remarks on runs whose guest follows a trace: it ends before they do, or has fewer vCPUs than the guest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmuviz.engine.choices.scenario import Scenario
    from mmuviz.engine.trace_file import TraceFacts
    from mmuviz.recording.recording import Recording


def trace_note(scenarios: Sequence[Scenario], recordings: Sequence[Recording]) -> str:
    """Write what a trace leaves out of the runs: vCPUs without an access, and the time after its last access.

    Args:
        scenarios: the inputs of the runs.
        recordings: their runs.

    Returns:
        Sentences; empty if the guest follows no trace, or if its trace has all vCPUs and no run ends later.
    """
    traced = [
        (facts, recording)
        for scenario, recording in zip(scenarios, recordings, strict=True)
        if (facts := _facts(scenario)) is not None
    ]
    sentences = dict.fromkeys(_missing_vcpus(facts) for facts, _ in traced)
    return " ".join(filter(None, (*sentences, _early_end(traced))))


def _facts(scenario: Scenario) -> TraceFacts | None:
    """Read the trace that the guest follows; None if it follows none."""
    from mmuviz.engine.choices.workload import TraceWorkload
    from mmuviz.engine.trace_file import facts_of

    if not isinstance(scenario.workload, TraceWorkload):
        return None
    ram = [(slot.base_gfn, slot.pages) for slot in scenario.ram]
    return facts_of(Path(scenario.workload.file), scenario.vm.vcpus, ram)


def _missing_vcpus(facts: TraceFacts) -> str:
    """Write how many of the guest's vCPUs have no access in the trace; empty if all have one."""
    vcpus, active = len(facts.last_rows), [vcpu for vcpu, last in enumerate(facts.last_rows) if last >= 0]
    if len(active) == vcpus:
        return ""
    remedy = f"; vm.vcpus={active[-1] + 1} has only its own" if active[-1] + 1 < vcpus else ""
    return f"The trace has accesses of {len(active)} of the guest's {vcpus} vCPUs, and the others make none{remedy}."


def _early_end(traced: Sequence[tuple[TraceFacts, Recording]]) -> str:
    """Write how long a guest makes no access after the last one of its trace; empty if every run ends before."""
    from mmuviz.recording.quantities import time_text

    if not traced:
        return ""
    silent_ns, last_ns = max((recording.totals["end_ns"] - facts.last_ns, facts.last_ns) for facts, recording in traced)
    if silent_ns <= 0:
        return ""
    return (
        f"The trace ends {time_text(last_ns)} after the guest's start; after that the guest makes no access, for up to "
        f"{time_text(silent_ns)} of the run, and a migration meets no further writes."
    )
