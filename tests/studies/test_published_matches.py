"""A published value is shown in a run only if exactly this experiment was measured."""

from __future__ import annotations

from typing import Any

import pytest

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.experiments import experiment_of
from mmuviz.studies.measurements import read_measurements
from mmuviz.studies.packaged_scenarios import ORDER
from mmuviz.studies.point_scenarios import NotCoveredError
from mmuviz.studies.published_matches import CALLS, matches_of
from mmuviz.studies.scenario_files import read_scenario


def scenarios(name: str, **overrides: object) -> tuple[Scenario, ...]:
    found = read_scenario(name, overrides)
    return found.scenarios if isinstance(found, Comparison) else (found,)


def test_the_rfc_s_memslot_has_its_thirty_seconds() -> None:
    lazy, eager = scenarios("rfc-memslot")
    assert matches_of(lazy) == []
    (match,) = matches_of(eager)
    assert (match["id"], match["call"], match["ps"]) == ("rfc-1.5TB", "enable", 30 * 10**12)
    assert match["url"].startswith("https://lore.kernel.org/")


def test_the_published_run_of_96_vcpus_has_its_clears() -> None:
    lazy, eager = scenarios("perf-test-96")
    assert [(each["id"], each["call"], each["iteration"]) for each in (*matches_of(lazy), *matches_of(eager))] == [
        ("tdp96-initset-iteration1_clear_dirty_log_time-lazy", "clear", 1),
        ("tdp96-initset-iteration1_clear_dirty_log_time-eager", "clear", 1),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"memory[0].size": "1 TiB"},
        {"memory[0].backing": "hugetlb_2m"},
        {"vm.vcpus": 2},
        {"vm.pml": False},
        {"vm.kernel": "6.12"},
        {"host.profile": "split_on_fault"},
        {"host.overrides": {"walk_ps": 200}},
        {"workload": {"pattern": "sequential"}},
        {"driver.lead": "1 ms"},
    ],
    ids=str,
)
def test_what_differs_in_anything_that_counts_has_none(change: dict[str, Any]) -> None:
    assert [matches_of(each) for each in scenarios("rfc-memslot", **change)] == [[], []]


def test_what_does_not_count_may_differ() -> None:
    change = {"title": "another", "memory[0].base": "8 GiB", "memory[0].host_populated": False}
    assert len(matches_of(scenarios("rfc-memslot", **change)[1])) == 1


def test_every_experiment_finds_its_own_value() -> None:
    shown = 0
    for point in read_measurements():
        try:
            experiment = experiment_of(point)
        except NotCoveredError:
            continue
        if experiment.metric in CALLS:
            (own,) = (each for each in matches_of(experiment.scenario) if each["id"] == point.id)
            assert own["value"] == point.value
            shown += 1
    assert shown > 200


@pytest.mark.parametrize("name", [each for each in ORDER if each.startswith("recorded")])
def test_a_recording_of_kvm_is_no_published_experiment(name: str) -> None:
    assert [match for each in scenarios(name) for match in matches_of(each)] == []
