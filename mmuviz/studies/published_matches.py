"""Search for published measurements of exactly the experiment that a Scenario runs."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import cache
from typing import Any, Final

from mmuviz.engine.choices.scenario import TEXTS, Scenario
from mmuviz.mmu.features import KernelFeatures, kernel_row
from mmuviz.studies.experiments import experiment_of
from mmuviz.studies.measurements import Measurement, read_measurements
from mmuviz.studies.point_scenarios import SECONDS, Experiment, NotCoveredError

PS_PER_S: Final = 10**12
CALLS: Final = ("enable", "disable", "get", "clear", "pre_split", "dirty", "populate")
"""Metrics that are the duration of a call or a pass."""
SHARE: Final = "stall_share"
NOT_IN_A_RUN: Final = (
    "release",
    "series",
    "source",
    "page_fault_stats",
    "zaps_leaves_only",
    "dontneed_takes_hugetlb",
    "dontneed_rounds_hugetlb_down",
    "huge_zero_write_allocates",
    "dontneed_frees_page_tables",
)
"""Fields of KernelFeatures that do not affect such a run: KVM's own counters, and the host's removal of memory."""
EAGER: Final = ("eager_page_split", "nested_eager_page_split", "arm64_eager_page_split")
"""Fields of KernelFeatures that do not affect a VM without eager splitting."""


def matches_of(scenario: Scenario) -> list[dict[str, Any]]:
    """Find the published values that were measured in the experiment of a Scenario.

    Everything that affects the time must be the same: kernel behaviour, MMU, vCPUs, memory and its pages, dirty-log
    mode, policy, workload, driver, and the measured host. The base of the memory, the number of iterations, and whether
    the host's memory was populated beforehand do not affect the published times.

    Args:
        scenario: the input of the run.

    Returns:
        The values, in the order of the measurements; each with `id`, `source`, `url`, `strategy`, `metric`, `unit` and
        `value` as published, `call` (kind of the call or pass) and `iteration`, and `ps`, or `percent` of the vCPUs'
        time.
    """
    return [dict(each) for each in _by_fingerprint().get(fingerprint(scenario), ())]


def fingerprint(scenario: Scenario) -> str:
    """Return the fields that affect the times of a Scenario, as text."""
    document = {name: value for name, value in scenario.as_document().items() if name not in TEXTS}
    driver = {name: value for name, value in document["driver"].items() if name != "iterations"}
    memory = [
        {name: value for name, value in slot.items() if name not in ("base", "host_populated")}
        for slot in document["memory"]
    ]
    vm = {**document["vm"], "kernel": behaviour_of(scenario)}
    return json.dumps({**document, "vm": vm, "driver": driver, "memory": memory}, sort_keys=True)


def behaviour_of(scenario: Scenario) -> dict[str, Any]:
    """Return the kernel features that affect such a run; releases with equal features are equivalent."""
    row = kernel_row(scenario.vm.kernel)
    eager = scenario.vm.eager_page_split or bool(scenario.vm.split_chunk)
    unmet = NOT_IN_A_RUN if eager else (*NOT_IN_A_RUN, *EAGER)
    names = [each.name for each in fields(KernelFeatures) if each.name not in unmet]
    if scenario.vm.vendor != "arm64":
        names = [name for name in names if not name.startswith("arm64_")]
    return {name: getattr(row, name) for name in names}


@cache
def _by_fingerprint() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for point in read_measurements():
        try:
            experiment = experiment_of(point)
        except NotCoveredError:
            continue
        match = _match(point, experiment)
        if match:
            found.setdefault(fingerprint(experiment.scenario), []).append(match)
    return found


def _match(point: Measurement, experiment: Experiment) -> dict[str, Any] | None:
    """Make the match of a published value; None if a run has no call or pass for it."""
    found: dict[str, Any] = {
        "id": point.id,
        "source": point.source_title,
        "url": point.source_url,
        "strategy": point.strategy,
        "metric": point.metric,
        "unit": point.unit,
        "value": point.value,
        "iteration": experiment.iteration,
    }
    if experiment.metric in CALLS and point.unit in SECONDS:
        return {**found, "call": experiment.metric, "ps": round(point.value / SECONDS[point.unit])}
    if experiment.metric == SHARE:
        return {**found, "call": "dirty", "percent": point.value}
    return None
