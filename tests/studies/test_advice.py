"""Advice: which candidates are run, in which order, and when a migration converges."""

from __future__ import annotations

from typing import Any

import pytest

from mmuviz.core.errors import InputError
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.studies.advice import SHIFTS, candidates, migration_of, patient
from mmuviz.studies.comparison import flat, is_of_stream
from mmuviz.studies.convergence import cancelled, converges
from mmuviz.studies.policies import POLICIES

MIB = 1 << 20


def migration(rate_hz: int = 100, **parts: Any) -> Scenario:  # noqa: ANN401  # of a document
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
        assert sorted(each for each in sizes if each) == [4096 << shift for shift in SHIFTS]
    assert [each.chunk_bytes for each in found if each.policy == "legacy_lazy"] == [None]


def test_the_candidates_that_matter_come_first() -> None:
    """The scenario itself; then every policy as it would be used, by the scenario's own chunks; then other chunks."""
    own = 4096 << 11
    scenario = migration(driver={"clear_bitmap_shift": 11}, vm={"dirty_log_mode": "manual"})
    found, _ = candidates(scenario)
    assert found[0].own
    assert found[0].scenario == scenario
    first = [each.policy for each in found[1:] if each.chunk_bytes in (None, own)]
    assert [each.policy for each in found[1 : 1 + len(first)]] == first
    assert {found[0].policy, *first} == {each.policy for each in found}
    assert all(each.chunk_bytes not in (None, own) for each in found[1 + len(first) :])


def test_chunk_sizes_can_be_chosen() -> None:
    found, _ = candidates(migration(), ())
    assert {each.chunk_bytes for each in found} == {None, 1 << 30}
    found, _ = candidates(migration(), (10,))
    assert {each.chunk_bytes for each in found} == {None, 1 << 30, 4 << 20}


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


def test_only_a_migration_that_was_cancelled_is_called_so() -> None:
    assert cancelled(run(migration(100, driver={"cancel_at": "100 ms"})))
    assert not cancelled(run(migration(100)))
    assert not cancelled(run(migration(50_000)))
    assert not cancelled(run(Scenario.model_validate({"memory": [{"size": "2 MiB"}]})))


# Enough time for one pass


def large(size: str, **driver: Any) -> Scenario:  # noqa: ANN401  # fields of the driver
    document = {
        "memory": [{"size": size, "backing": "hugetlb_1g"}],
        "workload": {"pattern": "idle"},
        "driver": {"kind": "qemu_precopy", "link": "10 Gbit/s", "bandwidth": "10 Gbit/s", **driver},
    }
    return Scenario.model_validate(document)


def test_a_migration_is_given_the_time_that_its_memory_takes() -> None:
    """320 GiB take 275 s over 10 Gbit/s; three passes of them."""
    found, notice = patient(large("320 GiB"))
    assert found == large("320 GiB", longest=(3 * (320 << 30) // 1_250_000_000 + 1) * 10**9)
    assert notice == (
        "driver.longest=13.8 min here, time for 3 passes (assumption), and not 60 s: to send 320 GiB once takes "
        "4.58 min at least."
    )
    assert patient(large("320 GiB", longest="5 min")) == (large("320 GiB", longest="5 min"), "")
    assert patient(large("320 GiB", longest="4 min")).scenario == found
    assert patient(large("16 GiB")) == (large("16 GiB"), "")
    assert patient(large("320 GiB", zero_percent=100)).notice == ""


def test_one_thread_may_be_slower_than_the_link() -> None:
    """4096 bytes in 2.65 us are 12.4 Gbit/s, so that 160 GiB take 111 s over any faster link."""
    fast = {"link": "100 Gbit/s", "bandwidth": "100 Gbit/s"}
    assert "takes 111 s at least" in patient(large("160 GiB", **fast)).notice
    assert "takes" not in patient(large("160 GiB", **fast, multifd_channels=16)).notice


def test_what_cannot_be_sent_once_in_the_longest_time_is_refused() -> None:
    """5 TiB take 73 min over 10 Gbit/s; one thread cannot fill 25 Gbit/s, three can."""
    with pytest.raises(InputError) as error:
        patient(large("5 TiB"))
    assert str(error.value) == (
        "driver.longest=60 s ends every migration in its first pass: to send 5 TiB once takes 73.3 min at least, and "
        "60 min is the most that there is; send faster, e.g. --bandwidth 25Gbit --set driver.multifd_channels=4"
    )
    found, notice = patient(large("5 TiB", link="25 Gbit/s", bandwidth="25 Gbit/s", multifd_channels=4))
    assert found.driver.longest == 60 * 60 * 10**9  # type: ignore[union-attr]  # of QEMU
    assert notice == (
        "driver.longest=60 min here, the most that there is, and not 60 s: to send 5 TiB once takes 29.3 min at least."
    )
