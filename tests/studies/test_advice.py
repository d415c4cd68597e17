"""Advice: who is a candidate, what is the smallest change that works, and when a migration converges."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.core.errors import InputError
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.recording.recording import Recording
from mmuviz.studies.advice import (
    SHIFTS,
    Step,
    candidates,
    downtime_steps,
    link_steps,
    migration_of,
    remedies,
    smallest,
    thread_bytes_per_s,
)
from mmuviz.studies.comparison import flat, is_of_stream
from mmuviz.studies.convergence import converges, leftover_of
from mmuviz.studies.policies import POLICIES

MIB = 1 << 20


def migration(rate_hz: int = 100, **parts: dict[str, Any]) -> Scenario:
    """Half of a guest of 16 MiB is written at a rate, over 40 MiB/s."""
    document: dict[str, Any] = {
        "vm": {"vcpus": 2, "vendor": "amd", **parts.pop("vm", {})},
        "memory": [{"size": "16 MiB"}],
        "workload": {"pattern": "hot_set", "hot_percent": 50, "rate_hz": rate_hz},
        "driver": {
            "kind": "qemu_precopy",
            "bandwidth": "40 MiB/s",
            "downtime_limit": "50 ms",
            "most_rounds": 4,
            **parts.pop("driver", {}),
        },
    }
    return Scenario.model_validate({**document, **parts})


def test_every_policy_is_a_candidate_or_refused_with_its_reason() -> None:
    found, refused = candidates(migration())
    assert {each.policy for each in found} | {each.policy for each in refused} == set(POLICIES)
    assert all(each.why for each in refused)
    for policy in ("lazy", "eager_in_clear", "eager_at_enable", "manual_lazy"):
        sizes = [each.chunk_bytes for each in found if each.policy == policy]
        assert sizes == [4096 << shift for shift in SHIFTS]
    assert [each.chunk_bytes for each in found if each.policy == "legacy_lazy"] == [None]


def test_a_kernel_without_eager_splitting_has_no_eager_candidate() -> None:
    found, refused = candidates(migration(vm={"kernel": "5.17"}))
    assert not [each for each in found if "eager" in each.policy]
    assert {"eager_in_clear", "eager_at_enable", "legacy_eager"} <= {each.policy for each in refused}


@pytest.mark.parametrize("driver", [{}, {"clear_bitmap_shift": 11}, {"kind": "plain_precopy"}])
def test_the_scenario_itself_is_one_candidate_and_all_have_its_accesses(driver: dict[str, Any]) -> None:
    plain = driver.get("kind") == "plain_precopy"
    fields = {"kind": "plain_precopy", "rounds": 3} if plain else driver
    scenario = migration(vm={"dirty_log_mode": "legacy"} if plain else {})
    if plain:
        document = scenario.given()
        scenario = Scenario.model_validate({**document, "driver": fields})
    else:
        scenario = migration(driver=fields)
    found, _ = candidates(scenario)
    assert [each.scenario.digest() for each in found if each.own] == [scenario.digest()]
    assert len({each.scenario.digest() for each in found}) == len(found)
    own = {name: value for name, value in flat(scenario.as_document()).items() if is_of_stream(name)}
    for each in found:
        theirs = {name: value for name, value in flat(each.scenario.as_document()).items() if is_of_stream(name)}
        assert theirs == own


def test_a_guest_that_is_not_migrated_is_migrated_by_qemu() -> None:
    plain = Scenario.model_validate({"memory": [{"size": "4 MiB"}], "driver": {"kind": "enable_only", "lead": "1 ms"}})
    found = migration_of(plain, 40 * MIB, 50_000_000)
    assert found.driver.kind == "qemu_precopy"
    assert (found.driver.link, found.driver.bandwidth) == (40 * MIB, 40 * MIB)
    assert (found.driver.lead, found.driver.downtime_limit) == (1_000_000, 50_000_000)
    assert migration_of(found) == found


def test_a_list_of_operations_cannot_be_migrated() -> None:
    listed = Scenario.model_validate({"driver": {"kind": "listed_ops", "recording": "A_4k_legacy_lazy__6.12"}})
    with pytest.raises(InputError, match="listed_ops has a guest that does what is listed"):
        migration_of(listed)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 7), st.integers(0, 5))
def test_the_smallest_step_that_works_is_found_from_any_start(count: int, first: int, start: int) -> None:
    """Of a search alone: a run that converges stands for each step from `first` on."""
    yes, no = run(migration(100)), run(migration(50_000))
    assert converges(yes)
    assert not converges(no)
    steps = [Step(str(at), at, {"driver.downtime_limit": (at + 1) * 10_000_000}) for at in range(count)]

    def answer(scenario: Scenario) -> Recording:
        at = scenario.driver.downtime_limit // 10_000_000 - 1  # type: ignore[union-attr]  # of a driver that migrates
        return yes if at >= first else no

    found = smallest("any", migration(), steps, min(start, count - 1), answer)
    assert found.works == (first < count)
    assert found.change == str(first if first < count else count - 1)


def test_what_helps_a_guest_that_does_not_converge_does_so_when_it_is_run() -> None:
    scenario = migration(20_000)
    made = run(scenario)
    assert not converges(made)
    found = {each.name: each for each in remedies(scenario, made, run)}
    assert {"bandwidth", "downtime limit"} <= set(found)
    for each in found.values():
        assert each.recording is None or each.works == (converges(each.recording) or each.name == "post-copy")
    longer = found["downtime limit"]
    assert longer.works
    assert longer.recording is not None
    # The rule: what is left fits bandwidth times downtime limit, and the limit below leaves too little.
    limit = longer.recording.header.scenario["driver"]["downtime_limit"]
    assert leftover_of(longer.recording).left_bytes <= leftover_of(longer.recording).may_bytes
    lower = [each for each in downtime_steps(scenario) if each.value < limit]
    if lower:
        below = {"kind": "qemu_precopy", "downtime_limit": lower[-1].value}
        assert not converges(run(migration(20_000, driver=below)))


def test_a_change_that_is_refused_says_why() -> None:
    scenario = migration(50_000)

    def refuse(_: Scenario) -> Recording:
        raise InputError("the run needs too much")

    found = remedies(scenario, run(scenario), refuse)
    assert found
    assert all(each.recording is None and not each.works for each in found)
    assert {each.why for each in found} >= {"the run needs too much"}


def test_links_grow_until_one_thread_cannot_fill_them() -> None:
    scenario = migration()
    speeds = [each.value for each in link_steps(scenario)]
    assert speeds == sorted(speeds)
    assert speeds[-1] >= thread_bytes_per_s(scenario) > speeds[-2]
    costs = {"overrides": {"send_page_ns": 10_000, "zero_check_ns": 1000}}
    slow = migration(host=costs)  # 4096 bytes in 11 us: 3 Gbit/s
    assert [each.change for each in link_steps(slow)] == ["1 Gbit/s", "10 Gbit/s"]


def test_a_plain_loop_that_stops_the_guest_with_too_much_left_does_not_converge() -> None:
    document = migration(50_000, vm={"dirty_log_mode": "legacy"}).given()
    document["driver"] = {"kind": "plain_precopy", "link": "40 MiB/s", "downtime_limit": "1 ms", "rounds": 2}
    made = run(Scenario.model_validate(document))
    assert made.header.migration is not None
    assert made.header.migration.outcome == "completed"
    assert not converges(made)
    document["driver"] |= {"downtime_limit": "2 s"}
    assert converges(run(Scenario.model_validate(document)))


def test_a_run_without_a_migration_converges_nowhere() -> None:
    assert not converges(run(Scenario.model_validate({"memory": [{"size": "2 MiB"}]})))
