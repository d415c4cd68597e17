"""Experiments of the known published sources, with facts that their rows do not have: kernel, host, mode, MMU."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import cache, partial
from typing import Any, Final

from mmuviz.core.errors import short_repr
from mmuviz.core.pages import PAGE_BYTES, PAGES_PER_2M
from mmuviz.engine.choices.driver import Driver
from mmuviz.engine.choices.phases import Workload
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.choices.vm import VmChoices
from mmuviz.engine.choices.workload import (
    IdleWorkload,
    SequentialWorkload,
    StridedWorkload,
    UniformRandomWorkload,
)
from mmuviz.engine.drivers.dirty_log_perf_test import DirtyLogPerfTest
from mmuviz.engine.drivers.enable_only import EnableOnly
from mmuviz.engine.drivers.pre_split import PreSplit
from mmuviz.mmu.config import Backing, DirtyLogMode
from mmuviz.studies.measurements import Measurement, read_measurements
from mmuviz.studies.point_scenarios import (
    GIB,
    MEMORIES,
    MIB_PER_GIB,
    Experiment,
    NotCoveredError,
    bounded_gib,
    mode_of,
    one_slot_scenario,
    perf_test,
    whole,
)
from mmuviz.studies.published_fields import mmu_of


def tdp_series(point: Measurement) -> Experiment:
    """Eager page splitting for the TDP MMU, v1 and v2: 5.18 compared with earlier."""
    lazy = point.strategy.startswith("lazy")
    mode, vcpus = mode_of(point.workload), whole(point.workload, "vcpus")
    before = VmChoices(kernel="5.17", dirty_log_mode=mode, vcpus=vcpus, pml=True)
    since = VmChoices(kernel="5.18", dirty_log_mode=mode, eager_page_split=True, vcpus=vcpus, pml=True)
    vm, other = (before, since) if lazy else (since, before)
    if point.metric != "cpu_time_to_split":
        return perf_test(point, vm, "tdp_eager", table="tdp_eager")
    gib = bounded_gib(vcpus)
    scenario, compared_with = (
        one_slot_scenario(
            each,
            gib * MIB_PER_GIB,
            Backing.HUGETLB_1G,
            SequentialWorkload(),
            DirtyLogPerfTest(iterations=1),
            "tdp_eager",
        )
        for each in (vm, other)
    )
    return Experiment("cpu_time_to_split", scenario, "cpu_dirty" if lazy else "cpu_enable", 1, compared_with)


def on_fault(point: Measurement) -> Experiment:
    """Zap on fault, split on fault, and eager, over vCPUs."""
    strategy = point.strategy
    if "nx_huge_pages" in point.workload:
        raise NotCoveredError("execution under nx_huge_pages is not modelled")
    vm = VmChoices(
        kernel="6.1" if "zap" in strategy else "6.2",
        dirty_log_mode=mode_of(point.workload),
        eager_page_split=strategy.startswith("eager"),
        vcpus=whole(point.workload, "vcpus"),
        pml=True,
    )
    return perf_test(point, vm, "split_on_fault", table="split_on_fault")


def shadow_series_v1(point: Measurement) -> Experiment:
    """Eager page splitting for the shadow MMU, v1 (never merged)."""
    return _shadow_series(point, "shadow-eager-v1", "shadow_v1")


def shadow_series_v3(point: Measurement) -> Experiment:
    """The same, v3 (never merged), and v4 for nested."""
    return _shadow_series(point, "shadow-eager-v3", "shadow_v3")


def _shadow_series(point: Measurement, kernel: str, table: str) -> Experiment:
    mmu = mmu_of(point.workload)
    if mmu not in ("nested", "shadow_paging", "direct_shadow"):
        raise NotCoveredError(f"mmu={short_repr(point.workload.get('mmu'))}: the series is about the shadow MMU")
    nested = mmu == "nested"
    vm = VmChoices(
        kernel="nested-eager-v4" if nested else kernel,
        dirty_log_mode=mode_of(point.workload),
        eager_page_split=point.strategy.startswith("eager"),
        mmu=mmu,
        vcpus=whole(point.workload, "vcpus"),
        pml=mmu == "direct_shadow",
    )
    host = "nested_eager" if nested else "shadow_eager"
    return perf_test(point, vm, host, table="nested" if nested else table)


def fast_fault(point: Measurement) -> Experiment:
    """Lockless fast_page_fault() in the TDP MMU, 5.15, and in the shadow MMU."""
    if "before" in point.strategy:
        raise NotCoveredError("a kernel before 5.15: fast_page_fault() under mmu_lock is not modelled")
    vm = VmChoices(
        kernel="5.15",
        dirty_log_mode=DirtyLogMode.LEGACY,
        mmu="direct_shadow" if "legacy" in point.strategy else "tdp",
        vcpus=whole(point.workload, "vcpus"),
        pml=False,
    )
    if point.metric != "iteration2_dirty_memory_time":
        raise NotCoveredError(f"{point.metric}: another test than dirty_log_perf_test")
    memory = {"mem_per_vcpu_gib": 1, "backing": "hugetlb_1g"}
    return perf_test(point, vm, "split_on_fault", table="fast_page_fault", default_memory=memory)


def disabling(point: Measurement) -> Experiment:
    """Disabling with vCPUs running: zap up to 6.12, recover in place from 6.13."""
    vm = VmChoices(
        kernel="6.13" if "recover" in point.strategy else "6.12",
        dirty_log_mode=DirtyLogMode.MANUAL_INITIALLY_SET,
        eager_page_split=True,
        vcpus=whole(point.workload, "vcpus"),
        pml=True,
    )
    return perf_test(point, vm, "disabling", table="disable", runs_while_disabling=True)


def whole_run(point: Measurement) -> Experiment:
    """Whole runs of dirty_log_perf_test: zap on fault, and the shadow MMU."""
    mmu = mmu_of(point.workload)
    shadow = mmu == "direct_shadow"
    if not shadow and mmu != "tdp":
        raise NotCoveredError(
            f"mmu={short_repr(point.workload.get('mmu'))}: the runs are of the TDP and the shadow MMU"
        )
    if "promotes in place" in point.strategy and point.metric == "disable_dirty_logging_time":
        raise NotCoveredError("code that no release has")
    vm = VmChoices(
        kernel="5.17",
        dirty_log_mode=mode_of(point.workload),
        mmu=mmu,
        vcpus=whole(point.workload, "vcpus"),
        pml=True,
    )
    return perf_test(point, vm, "shadow_eager" if shadow else "skylake_2021", table="whole_runs")


CHUNKS: Final = {"2M": PAGES_PER_2M * PAGE_BYTES, "1G": GIB}


def arm_chunks(point: Measurement) -> Experiment:
    """arm64: eager splitting of 1G pages in chunks of both sizes."""
    chunk = CHUNKS.get(str(point.workload.get("split_chunk")))
    if chunk is None:
        raise NotCoveredError(
            f"split_chunk={short_repr(point.workload.get('split_chunk'))} is none of {', '.join(CHUNKS)}"
        )
    vm = VmChoices(
        kernel="6.5",
        dirty_log_mode=mode_of(point.workload),
        mmu="stage2",
        vcpus=whole(point.workload, "vcpus"),
        split_chunk=chunk,
    )
    return perf_test(point, vm, "ampere_one", table="arm64_chunks")


ONE_IN: Final = re.compile(r"-f ([1-9]\d?)\b", re.ASCII)
"""dirty_log_perf_test -f, before 6.2: one access in so many writes."""


def arm_splitting(point: Measurement) -> Experiment:
    """arm64: dirty_log_perf_test with a stride of 2M, or one write in ten."""
    work = point.workload
    if point.metric != "guest_dirty_time":
        raise NotCoveredError(f"the model has no metric for {point.metric}")
    command = str(work.get("cmd", ""))
    one_in = ONE_IN.search(command)
    if "sparse" not in command and one_in is None:
        raise NotCoveredError(f"cmd={short_repr(command)} has neither a sparse stride nor -f")
    workload: Workload = (
        StridedWorkload() if one_in is None else SequentialWorkload(write_percent=100 // int(one_in[1]))
    )
    vm = VmChoices(
        kernel="6.5",
        dirty_log_mode=DirtyLogMode.MANUAL_INITIALLY_SET,
        mmu="stage2",
        vcpus=whole(work, "vcpus"),
        split_chunk=PAGES_PER_2M * PAGE_BYTES if point.strategy.startswith("eager") else 0,
    )
    gib = bounded_gib(vm.vcpus * whole(work, "mem_per_vcpu_gib", 1))
    scenario = one_slot_scenario(
        vm, gib * MIB_PER_GIB, Backing.HUGETLB_2M, workload, DirtyLogPerfTest(iterations=2), "ampere_one"
    )
    return Experiment("arm64", scenario, "dirty", 2)


def start_cost(point: Measurement) -> Experiment:
    """Cost of starting to log with and without initially-all-set."""
    work = point.workload
    if point.metric != "memory_global_dirty_log_start":
        raise NotCoveredError(f"the model has no metric for {short_repr(point.metric)}")
    arm = work.get("arch") == "arm64"
    initset = point.strategy.startswith("initially_set")
    if initset and "huge pages WP" in point.strategy:
        raise NotCoveredError("a kernel before 5.14, where initially-all-set still protected huge pages at enable")
    mode = DirtyLogMode.MANUAL_INITIALLY_SET if initset else DirtyLogMode.LEGACY
    vm = VmChoices(kernel="5.15", dirty_log_mode=mode, mmu="stage2" if arm else "direct_shadow", pml=False)
    sizes = {"4K": Backing.PAGES_4K, "2M": Backing.HUGETLB_2M, "1G": Backing.HUGETLB_1G}
    # The source may name no page size; QEMU requests transparent huge pages.
    backing = sizes.get(str(work["page_size"])) if "page_size" in work else Backing.THP
    gib = whole(work, "pressure_gib", whole(work, "mem_gib", 0))
    if backing is None:
        raise NotCoveredError(f"page_size={short_repr(work.get('page_size'))} is none of {', '.join(sizes)}")
    host = "kunpeng_920" if arm else "xeon_6152"
    scenario = one_slot_scenario(vm, bounded_gib(gib) * MIB_PER_GIB, backing, IdleWorkload(), EnableOnly(), host)
    return Experiment("start_cost", scenario, "enable")


def pre_split(point: Measurement) -> Experiment:
    """The pre-split of 2020: every page faulted in by a dummy vCPU before logging starts."""
    if point.metric not in ("hypervisor_cost", "pre_split_time"):
        raise NotCoveredError(f"{point.metric}: NUMA balancing of the host is not modelled")
    timed = point.metric == "pre_split_time"
    vcpus, gib = whole(point.workload, "vcpus"), bounded_gib(whole(point.workload, "mem_gib"))
    vm = VmChoices(kernel="5.15", dirty_log_mode=DirtyLogMode.LEGACY, mmu="direct_shadow", vcpus=vcpus, pml=not timed)
    if timed:
        scenario = one_slot_scenario(
            vm, gib * MIB_PER_GIB, Backing.HUGETLB_1G, IdleWorkload(), PreSplit(iterations=0), "xeon_6161"
        )
        return Experiment("pre_split", scenario, "pre_split")
    driver: Driver = DirtyLogPerfTest(iterations=1) if point.strategy == "lazy" else PreSplit(iterations=1)
    workload = UniformRandomWorkload(shared=True, accesses=20_000)
    scenario = one_slot_scenario(vm, gib * MIB_PER_GIB, Backing.HUGETLB_1G, workload, driver, "xeon_6161")
    return Experiment("pre_split", scenario, "stall_share", 1)


def by_slot(point: Measurement) -> Experiment:
    """The memslot of 1.5 TB that takes 30 s to split: never fitted, always predicted."""
    tib = point.workload.get("memslot_tib")
    if not isinstance(tib, int | float) or point.metric != "eager_split_time" or not 0 < tib <= 4:
        raise NotCoveredError("a statement on the design, not a measurement")
    tebi, tera = _split_at_enable(tib * 2**40), _split_at_enable(tib * 10**12)
    text = f"read as {tib:g}e12 bytes, {tera.memory[0].size // GIB} GiB"
    return Experiment("rfc_1.5TB", tebi, "enable", read_otherwise=(text, tera))


def _split_at_enable(size_bytes: float) -> Scenario:
    vm = VmChoices(kernel="5.18", dirty_log_mode=DirtyLogMode.LEGACY, eager_page_split=True, pml=True)
    gib = math.ceil(size_bytes / GIB)
    return one_slot_scenario(vm, gib * MIB_PER_GIB, Backing.HUGETLB_1G, IdleWorkload(), EnableOnly(), "tdp_eager")


KNOWN: Final[tuple[tuple[str, Callable[[Measurement], Experiment]], ...]] = (
    ("20211213225918.672507-1-dmatlack", tdp_series),
    ("20220119230739.2234394-1-dmatlack", tdp_series),
    ("a3fe5dbda0a4", tdp_series),
    ("c9bd3bca-f901-d8db-c23d-5292ab7bd247", by_slot),
    ("20220203010051.2813563-1-dmatlack", shadow_series_v1),
    ("20220401175554.1931568-1-dmatlack", shadow_series_v3),
    ("20220422210546.458943-1-dmatlack", shadow_series_v3),
    ("20221109185905.486172-3-dmatlack", on_fault),
    ("20210611235701.3941724-1-dmatlack", fast_fault),
    ("20240805233114.4060019-1-dmatlack", disabling),
    ("20211110223010.1392399-1-bgardon", whole_run),
    ("CAOHnOry-RG=nyvbWkSV5pCh--9pp=DtcXXNL=bguAW3o+XV0Pw", arm_chunks),
    ("20230113035000.480021-1-ricarkol", arm_splitting),
    ("20221112081714.2169495-1-ricarkol", arm_splitting),
    ("3c9bd4006bfc", start_cost),
    ("c862626e19ef", start_cost),
    ("B2D15215269B544CADD246097EACE7474BAF9AB6", pre_split),
    ("20200220181708.GE2905@xz-x1", pre_split),
)
"""A Message-ID or commit in a source's address, and the function that makes the experiments of its rows."""


REMARKS: Final = ("note", "hw", "runs", "guest")
"""Fields of a workload that describe an experiment without changing it."""
VARIES: Final = ("vcpus", "write_pct", "mem_per_vcpu_gib", "mem_gib", "note")
"""Fields of a workload in which rows of one table differ."""
Maker = Callable[[Measurement], Experiment]


def known_source(point: Measurement) -> Maker | None:
    """Return the function that makes the experiment of a row from a known source; None for other sources.

    The source's address decides, and the row has to be like the rows of that source, see check_row(). A row without
    address and kernel is taken for a row of the packaged table whose rows have the same other fields; if there are
    several such tables, of the one with most such rows, and the experiment's `assumed` names it.

    Args:
        point: a row; its title is ignored.
    """
    found = _by_address(point)
    if found is not None:
        return partial(_checked, found)
    if point.source_url or "kernel" in point.workload:
        return None
    alike = _tables().get(_signature(point))
    if not alike:
        return None
    make, _ = alike.most_common(1)[0]
    assumed = f"read as a row of {next(key for key, each in KNOWN if each is make)}: the row has no source_url"
    return lambda row: replace(_checked(make, row), assumed=assumed)


class ReadFields(dict[str, Any]):
    """A workload that notes which of its fields are read, in `read`."""

    def __init__(self, workload: dict[str, Any]) -> None:
        super().__init__(workload)
        self.read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401  # as dict.get
        """See dict."""
        self.read.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  # as dict
        self.read.add(name)
        return super().__getitem__(name)


def _checked(make: Maker, point: Measurement) -> Experiment:
    fields = ReadFields(point.workload)
    made = make(replace(point, workload=fields))
    check_row(point, make, fields.read)
    return made


def check_row(point: Measurement, make: Maker, read: AbstractSet[str]) -> None:
    """Check that a row is like the packaged rows of its source, as far as its experiment does not follow its fields.

    So no field of a row is passed over: what the experiment does not read has to be a value of that source.

    Args:
        point: a row that says it is of a known source.
        make: makes the experiments of that source.
        read: fields that the experiment follows.

    Raises:
        NotCoveredError: a field that all rows of the source have is missing, or one has a value of no such row.
    """
    rows, remedy = _rows_of(make), "leave out source_url if the row is of another source"
    work = {name: value for name, value in point.workload.items() if name not in REMARKS}
    missing = sorted(set.intersection(*(set(each.workload) for each in rows)) - set(work) - set(REMARKS))
    if any(name in work for name in MEMORIES):
        missing = [name for name in missing if name not in MEMORIES]
    if missing:
        raise NotCoveredError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    for name, value in work.items():
        known = [each.workload[name] for each in rows if name in each.workload]
        if name not in read and value not in known:
            raise NotCoveredError(f"{name}={short_repr(value)} is of no row of this source; {remedy}")
    if not point.strategy.startswith(("eager", "lazy")) and point.strategy not in [each.strategy for each in rows]:
        raise NotCoveredError(f"strategy={short_repr(point.strategy)} is of no row of this source; {remedy}")


def _by_address(point: Measurement) -> Maker | None:
    return next((make for key, make in KNOWN if key in point.source_url), None)


def _signature(point: Measurement) -> str:
    """Return the fields that all rows of one table share, as text."""
    work = {name: value for name, value in point.workload.items() if name not in VARIES}
    return json.dumps([work, point.strategy], sort_keys=True)


@cache
def _rows_of(make: Maker) -> list[Measurement]:
    """Return the packaged rows of the sources whose experiments a function makes."""
    return [each for each in read_measurements() if _by_address(each) is make]


@cache
def _tables() -> dict[str, Counter[Maker]]:
    """Count the packaged rows by shared fields and source."""
    found: dict[str, Counter[Maker]] = {}
    for point in read_measurements():
        make = _by_address(point)
        if make is not None:
            found.setdefault(_signature(point), Counter())[make] += 1
    return found
