"""Scenarios of published measurements, built from the fields of their workloads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from mmuviz.core.errors import short_repr
from mmuviz.core.pages import PAGE_BYTES, PAGES_PER_1G
from mmuviz.engine.choices.driver import Driver
from mmuviz.engine.choices.host import Host
from mmuviz.engine.choices.memory import MemslotChoices
from mmuviz.engine.choices.phases import Workload
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.choices.vm import VmChoices
from mmuviz.engine.choices.workload import (
    SequentialWorkload,
)
from mmuviz.engine.drivers.dirty_log_perf_test import DirtyLogPerfTest
from mmuviz.mmu.config import Backing, DirtyLogMode
from mmuviz.studies.measurements import Measurement

GIB: Final = PAGES_PER_1G * PAGE_BYTES
MOST: Final = 1_000_000
MIB: Final = 1 << 20
MIB_PER_GIB: Final = 1024
MOST_GIB: Final = 4096
SECONDS: Final = {"s": 1e-12, "ms": 1e-9, "us": 1e-6, "ns": 1e-3}


class NotCoveredError(Exception):
    """The model has no experiment for a measurement; the message has the reason."""


@dataclass(frozen=True)
class Experiment:
    """A Scenario, and the metric to compute from its Recording.

    Attributes:
        table: the published table.
        scenario: the input of the run.
        metric: the metric, see validate.modelled().
        iteration: iteration of the driver's loop.
        compared_with: another Scenario; the metric is the ratio or difference to its run.
        read_otherwise: if the source is ambiguous, the other interpretation as text, and its Scenario.
        assumed: values assumed because the row does not give them, as text.
    """

    table: str
    scenario: Scenario
    metric: str
    iteration: int = 0
    compared_with: Scenario | None = None
    read_otherwise: tuple[str, Scenario] | None = None
    assumed: str = ""

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """All Scenarios to run."""
        others = (self.compared_with, self.read_otherwise and self.read_otherwise[1])
        return (self.scenario, *(each for each in others if each))


def whole(workload: dict[str, Any], field: str, default: int | None = None) -> int:
    """Read a count from a workload.

    Raises:
        NotCoveredError: it is missing, or not a count.
    """
    value = workload.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
        raise NotCoveredError(f"{field} is {short_repr(value)}, not a count up to {MOST}")
    return value


def mode_of(workload: dict[str, Any]) -> DirtyLogMode:
    """Parse the dirty-log mode in a workload's text.

    Raises:
        NotCoveredError: it is missing, or names no mode.
    """
    text = str(workload.get("mode", ""))
    if "initially_set" in text:
        return DirtyLogMode.MANUAL_INITIALLY_SET
    if "legacy" in text:
        return DirtyLogMode.LEGACY
    if "manual" in text:
        return DirtyLogMode.MANUAL
    if not text:
        raise NotCoveredError("mode is missing")
    raise NotCoveredError(f"mode={short_repr(text)} has none of initially_set, manual, legacy")


MEMORIES: Final = {"mem_per_vcpu_gib": 1024, "mem_per_vcpu_mib": 1, "mem_gib": 1024}
"""Fields that give the memory, and their unit in MiB; mem_gib is the memory of all vCPUs."""


def memory_mib(workload: dict[str, Any], vcpus: int) -> int:
    """Read the memory of all vCPUs, MiB.

    Raises:
        NotCoveredError: it is missing, given twice, or no count.
    """
    names = [name for name in MEMORIES if name in workload]
    if len(names) != 1:
        raise NotCoveredError(f"{' and '.join(names)} are both given" if names else "mem_per_vcpu_gib is missing")
    return whole(workload, names[0]) * MEMORIES[names[0]] * (1 if names[0] == "mem_gib" else vcpus)


def iterations_of(workload: dict[str, Any], metric: str, iteration: int) -> int:
    """Return the iterations to run: as many as the row gives, else as the tool does before what comes after them.

    Args:
        workload: the row's.
        metric: the model's metric.
        iteration: the iteration that the metric is of, 0 if of none.

    Raises:
        NotCoveredError: the row gives fewer than the metric needs, or no count.
    """
    least = max(iteration, 1)
    found = whole(workload, "iterations", max(least, ITERATIONS) if metric in AFTER_ITERATIONS else least)
    if found < least:
        raise NotCoveredError(f"iterations={found} must be {least} or more")
    return found


ITERATIONS: Final = 2
"""The tool's default number of iterations (TEST_HOST_LOOP_N, dirty_log_perf_test.c)."""
AFTER_ITERATIONS: Final = ("disable", "disable_flushes", "faults")
"""Metrics that depend on how many iterations ran before."""
BACKINGS: Final = {
    "hugetlb_1g": Backing.HUGETLB_1G,
    "hugetlb_2m": Backing.HUGETLB_2M,
    "thp": Backing.THP,
    "4k": Backing.PAGES_4K,
}
TIMED: Final = re.compile(r"iteration(\d{1,3})_(dirty_memory|get_dirty_log|clear_dirty_log)_time", re.ASCII)
SINGLE: Final = {
    "enable_dirty_logging_time": "enable",
    "disable_dirty_logging_time": "disable",
    "populate_memory_time": "populate",
    "tlb_flushes_while_disabling": "disable_flushes",
    "kvm_page_fault_total": "faults",
}
READ_AS: Final = {"dirty_memory": "dirty", "get_dirty_log": "get", "clear_dirty_log": "clear"}


def metric_of(metric: str) -> tuple[str, int]:
    """Split a metric of dirty_log_perf_test into the model's metric and the iteration.

    Raises:
        NotCoveredError: the model has no such metric.
    """
    found = TIMED.fullmatch(metric)
    if found:
        return READ_AS[found[2]], int(found[1])
    if metric in SINGLE:
        return SINGLE[metric], 0
    raise NotCoveredError(f"the model has no metric for {short_repr(metric)}")


def bounded_gib(gib: int) -> int:
    """Check that guest memory times passes over it, in GiB, is small enough to be simulated in minutes.

    Raises:
        NotCoveredError: it is larger, or 0.
    """
    if not 0 < gib <= MOST_GIB:
        raise NotCoveredError(f"{gib} GiB of guest memory, all passes together, are not within 1 to {MOST_GIB}")
    return gib


def bounded_mib(mib: int, passes: int = 1) -> int:
    """Check guest memory in MiB, times the passes over it, as bounded_gib() does.

    Raises:
        NotCoveredError: it is larger, or 0.
    """
    bounded_gib(-(-mib * passes // MIB_PER_GIB))
    return mib


def one_slot_scenario(
    vm: VmChoices,
    mib: int,
    backing: Backing,
    workload: Workload,
    driver: Driver,
    host: str,
    *,
    host_populated: bool = True,
) -> Scenario:
    """Make a Scenario of one memslot at guest physical address 0."""
    slot = MemslotChoices(base=0, size=mib * MIB, backing=backing, host_populated=host_populated)
    return Scenario(vm=vm, memory=(slot,), workload=workload, driver=driver, host=Host(profile=host))


def perf_test(
    point: Measurement,
    vm: VmChoices,
    host: str,
    *,
    table: str,
    runs_while_disabling: bool = False,
    default_memory: Mapping[str, Any] = MappingProxyType({}),
) -> Experiment:
    """Make the experiment of a dirty_log_perf_test measurement, whose memory the host has not populated.

    Args:
        point: the measurement.
        vm: the VM, from facts of the source and the row's fields.
        host: the host profile.
        table: the published table.
        runs_while_disabling: whether vCPUs run while logging is disabled.
        default_memory: memory and backing that are assumed if the row does not give them.

    Raises:
        NotCoveredError: a field is missing or has a value that the model does not support.
    """
    work = point.workload
    metric, iteration = metric_of(point.metric)
    iterations = iterations_of(work, metric, iteration)
    taken = {name: value for name, value in default_memory.items() if name not in work}
    # A remark may follow the backing of a published row.
    backing = BACKINGS.get(str(work.get("backing", taken.get("backing", ""))).split(" ")[0])
    if backing is None:
        raise NotCoveredError(f"backing={short_repr(work.get('backing'))} is none of {', '.join(BACKINGS)}")
    mib = bounded_mib(memory_mib(taken if set(taken) & set(MEMORIES) else work, vm.vcpus), iterations)
    share = whole(work, "write_pct", 100)
    if share > 100:
        raise NotCoveredError(f"write_pct={share} is no percentage")
    driver = DirtyLogPerfTest(iterations=iterations, runs_while_disabling=runs_while_disabling)
    scenario = one_slot_scenario(
        vm, mib, backing, SequentialWorkload(write_percent=share), driver, host, host_populated=False
    )
    assumed = ", ".join(f"{name} is {value}" for name, value in taken.items())
    assumed = f"assumed, as the row does not say it: {assumed}" if assumed else ""
    return Experiment(table, scenario, metric, iteration, assumed=assumed)
