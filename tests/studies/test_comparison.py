"""Variants of a Scenario: overrides, policies, labels, and the same accesses in each."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.core.errors import InputError
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.studies.comparison import Comparison, labels_of
from mmuviz.studies.estimate import MOST_BYTES, check_cost, cost_of
from mmuviz.studies.policies import POLICIES, policy_name
from tests.engine.choices.drawn import documents

GUEST: dict[str, Any] = {"vm": {"vcpus": 4}, "memory": [{"size": "4 GiB", "backing": "hugetlb_1g"}]}


def base(**fields: object) -> Scenario:
    return Scenario.model_validate({**GUEST, **fields})


def refused(variants: object, start: Scenario | None = None) -> str:
    with pytest.raises(InputError) as caught:
        Comparison(start or base(), variants)  # type: ignore[arg-type]  # files hold anything
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_a_policy_is_known_again_by_what_it_sets(name: str) -> None:
    other = "lazy" if name != "lazy" else "ring_eager"
    for vm in ({"vcpus": 2}, {"vendor": "amd"}, {"vendor": "arm64"}):
        pair = Comparison.of(base(vm=vm), [name, other])
        assert pair.labels == (name, other)
        assert [policy_name(each.vm) for each in pair.scenarios] == [name, other]


def test_a_policy_leaves_out_what_its_mode_has_not() -> None:
    start = base(
        vm={"dirty_log_mode": "ring", "ring_entries": 1024}, driver={"kind": "live_rounds", "reap_interval": "1 ms"}
    )
    lazy, ring = Comparison.of(start, ["lazy", "ring_lazy"]).scenarios
    assert lazy.vm.ring_entries is None
    assert ring.vm.ring_entries == 1024
    chunks = base(driver={"kind": "live_rounds", "clear_chunk": "1 GiB"})
    found = Comparison.of(chunks, ["eager_in_clear", "legacy_lazy"]).scenarios
    assert [each.driver.model_dump()["clear_chunk"] for each in found] == [1 << 30, 0]


def test_defaults_follow_from_what_is_overridden() -> None:
    pair = Comparison(base(), ({"vm.vendor": "amd"}, {"vm": {"vendor": "intel"}}))
    assert [each.vm.pml for each in pair.scenarios] == [False, True]
    assert pair.labels == ("amd, no PML", "intel, PML")
    old = Comparison(base(), ({"vm.kernel": "5.17"}, {"vm.kernel": "5.18"}))
    assert old.labels == ("lazy, kernel 5.17", "eager_in_clear, kernel 5.18")


def test_labels_say_what_differs_and_no_more() -> None:
    assert Comparison.of(base(), vary="vm.kernel=6.1,6.12,6.18").labels == ("kernel 6.1", "kernel 6.12", "kernel 6.18")
    crossed = Comparison.of(base(), ["lazy", "legacy_eager"], "vm.kernel=6.1,6.12")
    assert crossed.labels == ("lazy, kernel 6.1", "lazy", "legacy_eager, kernel 6.1", "legacy_eager")
    zipf = Comparison.of(base(), vary="workload.pattern=zipf,sequential")
    assert zipf.labels == ("zipf", "sequential")
    assert zipf.streams_differ


@given(st.lists(documents(), min_size=2, max_size=4))
def test_labels_of_any_scenarios_differ(drawn: list[dict[str, Any]]) -> None:
    unique = {each.digest(): each for each in map(Scenario.model_validate, drawn)}
    if len(unique) > 1:
        labels = labels_of(list(unique.values()), next(iter(unique.values())))
        assert all(labels)


def test_accesses_are_the_same_but_for_vary() -> None:
    for change in ({"vm.vcpus": 2}, {"workload.seed": 3}, {"memory[0].size": "8 GiB"}, {"memory[0].read_only": True}):
        start = base(memory=[{"size": "4 GiB"}, {"size": "1 GiB"}])
        assert "--vary" in refused(({"policy": "lazy"}, {"policy": "legacy_lazy", **change}), start)
    both = Comparison.of(base(), vary="vm.vcpus=1,2")
    assert both.streams_differ
    assert not Comparison.of(base(), ["lazy", "legacy_lazy"]).streams_differ
    # The backing is another host memory under the same accesses.
    assert not Comparison.of(base(), vary="memory[0].backing=thp,hugetlb_2m").streams_differ


def test_recordings_of_other_operations_are_no_variants() -> None:
    start = Scenario.model_validate({"driver": {"kind": "listed_ops", "recording": "A_2m_ring_lazy__6.12"}})
    line = refused(({}, {"driver.recording": "A_1g_legacy_lazy__6.12"}), start)
    assert "variants change driver.ops" in line
    pair = Comparison(start, ({}, {"driver.recording": "A_2m_ring_eager__6.12"}))
    assert pair.labels == ("ring_lazy", "ring_eager")


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        ((), "variants=0 must be 2 to 4"),
        (({"policy": "lazy"},), "variants=1 must be 2 to 4"),
        (tuple({"policy": name} for name in list(POLICIES)[:5]), "variants=5 must be 2 to 4"),
        ("lazy", "must be 2 to 4"),
        (({}, "lazy"), "variants[1]='lazy' must be a table"),
        (({}, {}), "variants[1] is the same as variants[0]"),
        (({}, {"label": "mine"}), "variants[1].label is none: what differs names a variant"),
        (({}, {"policy": 3}), "variants[1]: policy=3 must be one of lazy"),
        (({}, {"vm": {"kernal": "6.1"}}), "variants[1]: vm.kernal is no field here; did you mean kernel?"),
    ],
)
def test_a_bad_comparison_is_refused(variants: object, said: str) -> None:
    assert said in refused(variants)


@pytest.mark.parametrize("vary", ["vm.kernel", "vm.kernel=", "=1,2", "vm..x=1,2"])
def test_a_bad_vary_is_refused(vary: str) -> None:
    with pytest.raises(InputError, match="must be"):
        Comparison.of(base(), vary=vary)


def test_a_comparison_is_its_document_and_back() -> None:
    pair = Comparison.of(base(), ["lazy", "ring_eager"])
    document = pair.as_document()
    variants = document.pop("variants")
    # Complete documents say what follows, so a ring's base cannot become AMD's by one field; policies still apply.
    again = Comparison(Scenario.model_validate(document), tuple(variants))
    assert again.scenarios == pair.scenarios
    assert again.labels == pair.labels


@given(documents())
def test_a_cost_is_estimated_for_every_scenario(document: dict[str, Any]) -> None:
    cost = cost_of(Scenario.model_validate(document))
    assert min(cost) >= 0
    assert cost.memory_bytes > 0


def test_a_cost_grows_with_the_guest_and_is_refused_over_a_limit() -> None:
    small, large = base(), base(memory=[{"size": "1.5 TiB"}])
    assert cost_of(small).accesses == 3 << 20  # once to populate, and two passes
    assert all(one < other for one, other in zip(cost_of(small)[:4], cost_of(large)[:4], strict=True))
    assert check_cost(small) == cost_of(small)
    huge = base(memory=[{"size": "3 TiB"}], driver={"kind": "dirty_log_perf_test", "iterations": 9})
    with pytest.raises(InputError, match="over the limit of 120 s; give less memory"):
        check_cost(huge)
    assert check_cost(huge, most_seconds=10**6, most_bytes=MOST_BYTES * 10).seconds > 120
    with pytest.raises(InputError, match="over the limit of 1 MiB of memory"):
        check_cost(small, most_bytes=1 << 20)


def test_a_guest_that_never_stops_makes_as_many_accesses_as_its_rate_and_time() -> None:
    driver = {"kind": "enable_only", "lead": "20 ms", "tail": "400 ms"}
    running = base(workload={"pattern": "sequential", "rate_hz": 5_000_000}, driver=driver)
    assert cost_of(running).accesses == (1 << 20) + 4 * 5_000_000 * 420 // 1000
    phases = [{"pattern": "idle", "duration": "320 ms"}, {"pattern": "sequential", "rate_hz": 5_000_000}]
    later = base(workload={"pattern": "phases", "phases": phases}, driver=driver)
    assert cost_of(later).accesses == (1 << 20) + 4 * 5_000_000 * 100 // 1000
