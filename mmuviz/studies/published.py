"""The experiment that each point of the published measurements was."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mmuviz.engine.scenario import Driver, Scenario
from mmuviz.ground.errors import MmuvizError, shown
from mmuviz.ground.pages import PAGE_BYTES, PAGES_PER_1G, PAGES_PER_2M
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, Mmu, VmConfig
from mmuviz.mmu.features import features_of, kernel_row
from mmuviz.studies.points import Point
from mmuviz.workloads.idle import Idle
from mmuviz.workloads.pattern import Pattern
from mmuviz.workloads.sequential import Sequential
from mmuviz.workloads.strided import Strided
from mmuviz.workloads.uniform_random import UniformRandom

PAGES_PER_GIB: Final = PAGES_PER_1G
GIB: Final = PAGES_PER_1G * PAGE_BYTES
MOST: Final = 1_000_000
MOST_GIB: Final = 4096
SECONDS: Final = {"s": 1e-12, "ms": 1e-9, "us": 1e-6, "ns": 1e-3}


class NotCoveredError(Exception):
    """The model has no experiment for a point; the message says why."""


@dataclass(frozen=True)
class Experiment:
    """A Scenario and what is read off its Run.

    Attributes:
        table: the published table.
        scenario: what is run.
        reading: what is read off, see validate.READINGS.
        iteration: of the driver's loop.
        beside: another Scenario that the reading compares with.
        read_otherwise: where the source can be read in two ways, the other one in words, and its Scenario.
    """

    table: str
    scenario: Scenario
    reading: str
    iteration: int = 0
    beside: Scenario | None = None
    read_otherwise: tuple[str, Scenario] | None = None

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """All that are run for it."""
        others = (self.beside, self.read_otherwise and self.read_otherwise[1])
        return (self.scenario, *(each for each in others if each))


def whole(workload: dict[str, Any], field: str, default: int | None = None) -> int:
    """A count in a workload.

    Raises:
        NotCoveredError: it is missing, or no count.
    """
    value = workload.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
        raise NotCoveredError(f"{field} is {shown(value)}, not a count up to {MOST}")
    return value


def mode_of(workload: dict[str, Any]) -> DirtyLogMode:
    """The dirty-log mode as a workload words it."""
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


def reading_of(metric: str) -> tuple[str, int]:
    """What a metric of dirty_log_perf_test reads off, and of which iteration.

    Raises:
        NotCoveredError: the model has no such reading.
    """
    found = TIMED.fullmatch(metric)
    if found:
        return READ_AS[found[2]], int(found[1])
    if metric in SINGLE:
        return SINGLE[metric], 0
    raise NotCoveredError(f"the model has no reading for {shown(metric)}")


def bounded_gib(gib: int) -> int:
    """Guest memory, times the passes over it, that is simulated in minutes.

    Raises:
        NotCoveredError: it is more than that, or none.
    """
    if not 0 < gib <= MOST_GIB:
        raise NotCoveredError(f"{gib} GiB of guest memory, all passes together, are not within 1 to {MOST_GIB}")
    return gib


def perf_test(point: Point, vm: VmConfig, host: str, *, table: str, runs_while_disabling: bool = False) -> Experiment:
    """A point of dirty_log_perf_test."""
    work = point.workload
    reading, iteration = reading_of(point.metric)
    gib = whole(work, "mem_per_vcpu_gib", 1)
    backing = BACKINGS.get(str(work.get("backing", "hugetlb_1g")))
    if backing is None:
        raise NotCoveredError(f"backing={shown(work.get('backing'))} is none of {', '.join(BACKINGS)}")
    bounded_gib(gib * vm.vcpus * max(iteration, 1))
    slot = Memslot(0, vm.vcpus * gib * PAGES_PER_GIB, backing)
    share = whole(work, "write_pct", 100)
    if share > 100:
        raise NotCoveredError(f"write_pct={share} is no percentage")
    scenario = Scenario(
        vm,
        slot,
        Sequential(write_permille=share * 10),
        host=host,
        iterations=max(iteration, 1),
        runs_while_disabling=runs_while_disabling,
    )
    return Experiment(table, scenario, reading, iteration)


def tdp_series(point: Point) -> Experiment:
    """Eager page splitting for the TDP MMU, v1 and v2: 5.18 against what was before."""
    lazy = point.strategy.startswith("lazy")
    kernel = features_of("5.17" if lazy else "5.18")
    vm = VmConfig(
        kernel, mode_of(point.workload), None if lazy else True, vcpus=whole(point.workload, "vcpus"), pml=True
    )
    table = "tdp_eager"
    if point.metric == "cpu_time_to_split":
        slot = Memslot(0, bounded_gib(vm.vcpus) * PAGES_PER_GIB, Backing.HUGETLB_1G)
        scenario = Scenario(vm, slot, Sequential(), host="tdp_eager", iterations=1)
        other = VmConfig(
            features_of("5.18" if lazy else "5.17"), vm.dirty_log_mode, True if lazy else None, vcpus=vm.vcpus, pml=True
        )
        beside = Scenario(other, slot, Sequential(), host="tdp_eager", iterations=1)
        return Experiment("cpu_time_to_split", scenario, "cpu_dirty" if lazy else "cpu_enable", 1, beside)
    return perf_test(point, vm, "tdp_eager", table=table)


def on_fault(point: Point) -> Experiment:
    """Zap on fault, split on fault, and eager, over vCPUs."""
    strategy = point.strategy
    if "nx_huge_pages" in point.workload:
        raise NotCoveredError("execution under nx_huge_pages is not modelled")
    eager = strategy.startswith("eager")
    kernel = features_of("6.1" if "zap" in strategy else "6.2")
    vm = VmConfig(kernel, mode_of(point.workload), eager, vcpus=whole(point.workload, "vcpus"), pml=True)
    return perf_test(point, vm, "split_on_fault", table="split_on_fault")


def shadow_series(point: Point) -> Experiment:
    """Eager page splitting for the shadow MMU: v1 and v3 (never merged), v4 for nested."""
    words, title = str(point.workload.get("mmu", "")), point.source_title
    nested, paging = "nested" in words, "ept=N" in words
    mmu = Mmu.NESTED if nested else Mmu.SHADOW_PAGING if paging else Mmu.DIRECT_SHADOW
    first = "v1" in title
    kernel = kernel_row("nested-eager-v4" if nested else "shadow-eager-v1" if first else "shadow-eager-v3")
    host = "nested_eager" if nested else "shadow_eager"
    vm = VmConfig(
        kernel,
        mode_of(point.workload),
        point.strategy.startswith("eager"),
        mmu=mmu,
        vcpus=whole(point.workload, "vcpus"),
        pml=mmu is Mmu.DIRECT_SHADOW,
    )
    return perf_test(point, vm, host, table="nested" if nested else "shadow_v1" if first else "shadow_v3")


def fast_fault(point: Point) -> Experiment:
    """Lockless fast_page_fault() in the TDP MMU, 5.15, and in the shadow MMU."""
    if "before" in point.strategy:
        raise NotCoveredError("a kernel before 5.15: fast_page_fault() under mmu_lock is not modelled")
    shadow = "legacy" in point.strategy
    vm = VmConfig(
        features_of("5.15"),
        DirtyLogMode.LEGACY,
        mmu=Mmu.DIRECT_SHADOW if shadow else Mmu.TDP,
        vcpus=whole(point.workload, "vcpus"),
    )
    if point.metric != "iteration2_dirty_memory_time":
        raise NotCoveredError(f"{point.metric}: another test than dirty_log_perf_test")
    return perf_test(point, vm, "split_on_fault", table="fast_page_fault")


def disabling(point: Point) -> Experiment:
    """Disabling with vCPUs running: zap up to 6.12, recover in place from 6.13."""
    kernel = features_of("6.13" if "recover" in point.strategy else "6.12")
    mode, vcpus = DirtyLogMode.MANUAL_INITIALLY_SET, whole(point.workload, "vcpus")
    vm = VmConfig(kernel, mode, eager_page_split=True, vcpus=vcpus, pml=True)
    return perf_test(point, vm, "disabling", table="disable", runs_while_disabling=True)


def arm_splitting(point: Point) -> Experiment:
    """arm64: dirty_log_perf_test with a stride of 2M, or one write in ten."""
    work = point.workload
    if point.metric != "guest_dirty_time":
        raise NotCoveredError(f"the model has no reading for {point.metric}")
    pattern: Pattern = Strided() if "sparse" in str(work.get("cmd", "")) else Sequential(write_permille=100)
    eager = point.strategy.startswith("eager")
    vm = VmConfig(
        features_of("6.5"),
        DirtyLogMode.MANUAL_INITIALLY_SET,
        mmu=Mmu.STAGE2,
        vcpus=whole(work, "vcpus"),
        split_chunk_bytes=PAGES_PER_2M * PAGE_BYTES if eager else 0,
    )
    gib = bounded_gib(vm.vcpus * whole(work, "mem_per_vcpu_gib", 1))
    slot = Memslot(0, gib * PAGES_PER_GIB, Backing.HUGETLB_2M)
    return Experiment("arm64", Scenario(vm, slot, pattern, host="ampere_one", iterations=2), "dirty", 2)


def start_cost(point: Point) -> Experiment:
    """What starting to log costs with and without initially-all-set."""
    work = point.workload
    arm = work.get("arch") == "arm64"
    initset = point.strategy.startswith("initially_set")
    if initset and "huge pages WP" in point.strategy:
        raise NotCoveredError("a kernel before 5.14, where initially-all-set still protected huge pages at enable")
    mode = DirtyLogMode.MANUAL_INITIALLY_SET if initset else DirtyLogMode.LEGACY
    vm = VmConfig(features_of("5.15"), mode, mmu=Mmu.STAGE2 if arm else Mmu.DIRECT_SHADOW, vcpus=1)
    sizes = {"4K": Backing.PAGES_4K, "2M": Backing.HUGETLB_2M, "1G": Backing.HUGETLB_1G}
    # Where the source names no page size: QEMU asks for transparent huge pages.
    backing = sizes.get(str(work["page_size"])) if "page_size" in work else Backing.THP
    gib = whole(work, "pressure_gib", whole(work, "mem_gib", 0))
    if backing is None:
        raise NotCoveredError(f"page_size={shown(work.get('page_size'))} is none of {', '.join(sizes)}")
    slot = Memslot(0, bounded_gib(gib) * PAGES_PER_GIB, backing)
    host = "kunpeng_920" if arm else "xeon_6152"
    return Experiment("start_cost", Scenario(vm, slot, Idle(), host=host, driver=Driver.ENABLE_ONLY), "enable")


def pre_split(point: Point) -> Experiment:
    """The pre-split of 2020: every page faulted by a dummy vCPU before logging starts."""
    work = point.workload
    if point.metric == "hypervisor_cost":
        lazy = point.strategy == "lazy"
        vm = VmConfig(
            features_of("5.15"), DirtyLogMode.LEGACY, mmu=Mmu.DIRECT_SHADOW, vcpus=whole(work, "vcpus"), pml=True
        )
        slot = Memslot(0, bounded_gib(whole(work, "mem_gib")) * PAGES_PER_GIB, Backing.HUGETLB_1G)
        pattern = UniformRandom(shared=True, per_pass=20_000)
        driver = Driver.DIRTY_LOG_PERF_TEST if lazy else Driver.PRE_SPLIT
        return Experiment(
            "pre_split", Scenario(vm, slot, pattern, host="xeon_6161", driver=driver, iterations=1), "stall_share", 1
        )
    if point.metric != "pre_split_time":
        raise NotCoveredError(f"{point.metric}: NUMA balancing of the host is not modelled")
    vm = VmConfig(features_of("5.15"), DirtyLogMode.LEGACY, mmu=Mmu.DIRECT_SHADOW, vcpus=whole(work, "vcpus"))
    slot = Memslot(0, bounded_gib(whole(work, "mem_gib")) * PAGES_PER_GIB, Backing.HUGETLB_1G)
    scenario = Scenario(vm, slot, Idle(), host="xeon_6161", driver=Driver.PRE_SPLIT, iterations=0)
    return Experiment("pre_split", scenario, "pre_split")


def by_slot(point: Point) -> Experiment:
    """The memslot of 1.5 TB that takes 30 s to split: never fitted, always predicted."""
    tib = point.workload.get("memslot_tib")
    if not isinstance(tib, int | float) or point.metric != "eager_split_time" or not 0 < tib <= 4:
        raise NotCoveredError("a statement on the design, not a measurement")
    tebi, tera = _split_at_enable(tib * 2**40), _split_at_enable(tib * 10**12)
    words = f"read as {tib:g}e12 bytes, {tera.memslot.pages // PAGES_PER_GIB} GiB"
    return Experiment("rfc_1.5TB", tebi, "enable", read_otherwise=(words, tera))


def _split_at_enable(size_bytes: float) -> Scenario:
    vm = VmConfig(features_of("5.18"), DirtyLogMode.LEGACY, eager_page_split=True, pml=True)
    slot = Memslot(0, math.ceil(size_bytes / GIB) * PAGES_PER_GIB, Backing.HUGETLB_1G)
    return Scenario(vm, slot, Idle(), host="tdp_eager", driver=Driver.ENABLE_ONLY)


TABLES: Final[tuple[tuple[str, Callable[[Point], Experiment]], ...]] = (
    ("Eager Page Splitting for the TDP MMU", tdp_series),
    ("commit a3fe5dbda0a4", tdp_series),
    ("Eager Page Splitting (Matlack 4 Nov 2021", by_slot),
    ("Eager Page Splitting to the shadow MMU", shadow_series),
    ("the shadow MMU", shadow_series),
    ("TDP MMU on fault", on_fault),
    ("Fast page fault support for the TDP MMU", fast_fault),
    ("huge page recovery during disable-dirty-log", disabling),
    ("arm64: Eager", arm_splitting),
    ("enable dirty log gradually in small chunks", start_cost),
    ("enabling dirty log gradually in small chunks", start_cost),
    ("in advance of dirty logging", pre_split),
)
"""A part of a source's title, and what its points were."""


UNITS_OF: Final = {
    "disable_flushes": ("count",),
    "faults": ("count",),
    "stall_share": ("percent",),
    "cpu_dirty": ("cpu_s",),
    "cpu_enable": ("cpu_s",),
}
"""Units in which a reading can be had; all others are times."""


def experiment_of(point: Point) -> Experiment:
    """The experiment that a point was.

    Args:
        point: published.

    Returns:
        What to run and what to read off.

    Raises:
        NotCoveredError: with the reason.
    """
    for title, make in TABLES:
        if title in point.source_title:
            try:
                made = make(point)
            except MmuvizError as error:
                raise NotCoveredError(str(error)) from error
            units = UNITS_OF.get(made.reading, tuple(SECONDS))
            if point.unit in units:
                return made
            raise NotCoveredError(f"unit {shown(point.unit)} of {shown(point.metric)} is none of {', '.join(units)}")
    raise NotCoveredError("no experiment of the model stands for this source")
