"""Scenarios of published measurements, built from the fields of their workloads."""

from __future__ import annotations

import re
from dataclasses import dataclass
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
    """Parse the dirty-log mode in a workload's text."""
    words = str(workload.get("mode", ""))
    if "initially_set" in words:
        return DirtyLogMode.MANUAL_INITIALLY_SET
    return DirtyLogMode.LEGACY if "legacy" in words or not words else DirtyLogMode.MANUAL


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
    raise NotCoveredError(f"the model has no reading for {short_repr(metric)}")


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
    iterations: int = 1,
) -> Experiment:
    """Make the experiment of a dirty_log_perf_test measurement, with at least `iterations` iterations, unpopulated."""
    work = point.workload
    metric, iteration = metric_of(point.metric)
    gib = whole(work, "mem_per_vcpu_gib", 1)
    backing = BACKINGS.get(str(work.get("backing", "hugetlb_1g")))
    if backing is None:
        raise NotCoveredError(f"backing={short_repr(work.get('backing'))} is none of {', '.join(BACKINGS)}")
    bounded_gib(gib * vm.vcpus * max(iteration, 1))
    share = whole(work, "write_pct", 100)
    if share > 100:
        raise NotCoveredError(f"write_pct={share} is no percentage")
    driver = DirtyLogPerfTest(iterations=max(iteration, iterations), runs_while_disabling=runs_while_disabling)
    workload = SequentialWorkload(write_percent=share)
    scenario = one_slot_scenario(
        vm, gib * vm.vcpus * MIB_PER_GIB, backing, workload, driver, host, host_populated=False
    )
    return Experiment(table, scenario, metric, iteration)
