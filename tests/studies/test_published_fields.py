"""The experiment of a row depends on its fields, not on its title; missing fields are named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.mmu.config import Backing, DirtyLogMode
from mmuviz.studies.experiments import experiment_of
from mmuviz.studies.measurements import Measurement, read_measurements
from mmuviz.studies.point_scenarios import Experiment, NotCoveredError

GIB = 1 << 30
WORK: dict[str, Any] = {
    "tool": "dirty_log_perf_test",
    "kernel": "6.12",
    "vcpus": 8,
    "mem_per_vcpu_gib": 1,
    "backing": "hugetlb_1g",
    "mode": "manual_protect+initially_set",
}


def row(metric: str = "iteration1_dirty_memory_time", strategy: str = "lazy", **changes: object) -> Measurement:
    work = {name: value for name, value in {**WORK, **changes}.items() if value is not None}
    return Measurement("mine", "A blog post", work, metric, "s", 1.0, strategy)


def of(**changes: object) -> Experiment:
    return experiment_of(row(**changes))  # type: ignore[arg-type]  # fields of a workload, or of row()


def outcome(point: Measurement) -> Experiment | str:
    try:
        return experiment_of(point)
    except NotCoveredError as reason:
        return str(reason)


def test_a_title_decides_nothing() -> None:
    for point in read_measurements():
        for title in ("", "Eager Page Splitting for the TDP MMU", "v1 the shadow MMU arm64: Eager"):
            assert outcome(replace(point, source_title=title, id="x")) == outcome(point), point.id


def test_fields_make_the_scenario() -> None:
    made = of(strategy="eager", write_pct=5, host="skylake_2021", pml=False, iterations=3)
    scenario = made.scenario
    assert (scenario.vm.kernel, scenario.vm.vcpus, scenario.vm.eager_page_split) == ("6.12", 8, True)
    assert scenario.vm.dirty_log_mode is DirtyLogMode.MANUAL_INITIALLY_SET
    assert (scenario.memory[0].size, scenario.memory[0].backing) == (8 * GIB, Backing.HUGETLB_1G)
    assert scenario.ram_pages * PAGE_BYTES == 8 * GIB
    assert scenario.host.profile == "skylake_2021"
    assert made.assumed == "assumed, as the row does not say it: mmu is tdp, access is sequential"
    assert scenario.vm.pml is False
    assert getattr(scenario.driver, "iterations", None) == 3
    assert getattr(scenario.workload, "write_percent", None) == 5


@pytest.mark.parametrize(
    ("changes", "profile"),
    [
        ({}, "tdp_eager"),
        ({"vcpus": 400}, "tdp_eager_416"),
        ({"mmu": "nested MMU (L2), tdp_mmu=Y", "pml": False}, "nested_eager"),
        ({"mmu": "legacy shadow MMU, ept=Y tdp_mmu=N"}, "shadow_eager"),
        ({"mmu": "shadow paging ept=N", "pml": False}, "shadow_eager"),
        ({"arch": "arm64", "mode": "legacy"}, "ampere_one"),
    ],
)
def test_a_host_that_nobody_names_gets_the_nearest_profile_which_is_said(
    changes: dict[str, object], profile: str
) -> None:
    made = of(**changes)
    assert made.scenario.host.profile == profile
    assert made.assumed.startswith(f"host {profile}, the nearest profile: the row names none; assumed, as the row does")


@pytest.mark.parametrize("name", ["tool", "kernel", "vcpus", "backing", "mode"])
def test_a_missing_field_is_named(name: str) -> None:
    left = {other: value for other, value in WORK.items() if other != name}
    assert outcome(replace(row(), workload=left)) == f"{name} is missing"


def test_several_missing_fields_are_named_at_once() -> None:
    said = outcome(row(kernel=None, mem_per_vcpu_gib=None, strategy=""))
    assert said == "kernel and strategy and mem_per_vcpu_gib are missing"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tool": "netperf"}, "tool='netperf' is none of dirty_log_perf_test"),
        ({"kernel": "4.4"}, "4.4"),
        ({"backing": "hugetlb_64k"}, "backing='hugetlb_64k' is none of"),
        ({"vcpus": "eight"}, "vcpus is 'eight', not a count"),
        ({"mmu": "something"}, "mmu='something' is none of"),
        ({"host": "mine"}, "host='mine' is none of tdp_eager"),
        ({"write_pct": 101}, "write_pct=101 is no percentage"),
        ({"access": "backwards"}, "access='backwards' is none of sequential, random"),
        ({"mem_per_vcpu_gib": 4000}, "are not within 1 to 4096"),
        ({"strategy": "magic"}, "must begin with eager or lazy"),
        ({"kernel": "5.15", "strategy": "eager"}, "the parameter first exists in"),
        ({"iterations": 0}, "iterations=0 must be 1 or more"),
        ({"iterations": 1, "metric": "iteration2_dirty_memory_time"}, "iterations=1 must be 2 or more"),
        ({"runs_while_disabling": "no"}, "runs_while_disabling='no' must be true or false"),
        ({"mode": "nonsense"}, "mode='nonsense' has none of initially_set, manual, legacy"),
        ({"write_percent": 5}, "'write_percent' is no field; did you mean write_pct?"),
        ({"mem_gib": 4}, "mem_per_vcpu_gib and mem_gib are both given"),
        ({"metric": "smiles"}, "no metric for 'smiles'"),
    ],
)
def test_what_the_model_has_not_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    found = outcome(row(**changes))
    assert isinstance(found, str)
    assert said in found
    assert "\n" not in found


COVERED = [point for point in read_measurements() if isinstance(outcome(point), Experiment)]
OTHER: dict[str, tuple[object, ...]] = {
    "tool": ("netperf",),
    "kernel": ("6.12", "5.19"),
    "mmu": ("shadow paging ept=N", "tdp"),
    "mode": ("nonsense", "legacy(no manual protect)", "manual_protect+initially_set"),
    "backing": ("hugetlb_64k", "4k", "hugetlb_2m"),
    "host": ("ampere_one", "mine"),
    "pml": (False, True),
    "access": ("random", "backwards"),
    "vendor": ("amd",),
    "iterations": (0, 5),
    "write_pct": (7, 101),
    "vcpus": (3, "many"),
    "mem_per_vcpu_gib": (3, -1),
    "mem_per_vcpu_mib": (3, -1),
    "arch": ("riscv", "arm64"),
    "split_chunk": ("1G", "some"),
    "runs_while_disabling": (True, "no"),
    "page_size": ("2M", "64K"),
    "memslot_tib": (1, "large"),
}
"""For each field values of which one at least is not what a published row runs with."""
DECIDES = ("tool", "vcpus", "mem_per_vcpu_gib", "backing", "split_chunk", "page_size", "memslot_tib", "cmd")


def without_metric(made: Experiment | str) -> object:
    return made if isinstance(made, str) else (made.scenarios, made.assumed)


@pytest.mark.parametrize("name", sorted({name for each in COVERED for name in each.workload} | set(OTHER)))
def test_no_field_of_a_row_is_passed_over(name: str) -> None:
    """Another value makes another experiment, a refusal, or a remark; so does leaving out what decides the run."""
    for point in {(each.source_url, each.metric, each.strategy): each for each in COVERED}.values():
        if name in ("note", "hw", "runs", "guest"):
            continue
        now = without_metric(outcome(point))
        others = [value for value in OTHER.get(name, ("something else",)) if value != point.workload.get(name)]
        found = [without_metric(outcome(replace(point, workload={**point.workload, name: each}))) for each in others]
        assert any(each != now for each in found), (point.id, name)
        assert all(isinstance(each, str) or each != now or says_the_same(point, name) for each in found), point.id
        if name in point.workload and name in DECIDES:
            left = {other: value for other, value in point.workload.items() if other != name}
            assert without_metric(outcome(replace(point, workload=left))) != now, (point.id, name)


def says_the_same(point: Measurement, name: str) -> bool:
    """Whether the experiment may have this value already: the row does not say it, or says it in other words."""
    return name not in point.workload or name == "mode"


def test_a_metric_that_an_experiment_has_not_is_refused() -> None:
    """Every source with every metric: what comes out is of that metric, or a refusal."""
    metrics: dict[tuple[str, str], set[tuple[str, int]]] = {}
    for each in COVERED:
        made = outcome(each)
        assert isinstance(made, Experiment)
        metrics.setdefault((each.metric, each.unit), set()).add((made.metric, made.iteration))
    for point in {(each.source_url, each.strategy): each for each in COVERED}.values():
        for (metric, unit), known in metrics.items():
            found = outcome(replace(point, metric=metric, unit=unit))
            assert isinstance(found, str) or (found.metric, found.iteration) in known
        assert isinstance(outcome(replace(point, metric="smiles")), str)


def test_a_known_address_with_fields_of_another_run_is_refused() -> None:
    point = next(each for each in COVERED if each.workload.get("vcpus") == 96 and "dmatlack" in each.source_url)
    found = outcome(replace(point, workload={**point.workload, "kernel": "6.12"}))
    assert found == "kernel='6.12' is of no row of this source; leave out source_url if the row is of another source"
    without = {name: value for name, value in point.workload.items() if name != "mode"}
    assert outcome(replace(point, workload=without)) == "mode is missing"


def test_iterations_before_a_disable_are_those_of_the_tool() -> None:
    assert getattr(of(metric="disable_dirty_logging_time").scenario.driver, "iterations", None) == 2


def test_a_row_without_address_and_kernel_is_read_as_one_of_the_table_that_has_its_fields() -> None:
    """Files as they were before rows had addresses."""
    for point in read_measurements():
        known = outcome(point)
        found = outcome(replace(point, source_url=""))
        if isinstance(known, Experiment) and "kernel" not in point.workload:
            assert isinstance(found, Experiment), point.id
            assert found.metric == known.metric
            assert found.scenario.memory == known.scenario.memory
            assert found.assumed.startswith("read as a row of ")
