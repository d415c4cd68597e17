"""Remedies: the smallest change of each kind with which a migration converges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.core.errors import InputError
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.exports.advice_text import price_text
from mmuviz.recording.recording import Recording
from mmuviz.studies.convergence import converges, leftover_of, switched
from mmuviz.studies.remedies import (
    AUTO_CONVERGE,
    BANDWIDTH,
    BOTH,
    DIRTY_LIMIT,
    DOWNTIME_LIMIT,
    MULTIFD,
    NO_CANCEL,
    POSTCOPY,
    Answer,
    Remedy,
    Step,
    dirty_limit_steps,
    downtime_steps,
    link_steps,
    remedies,
    searches_of,
    smallest,
)
from mmuviz.studies.sending_speed import threads_bytes_per_s
from tests.studies.test_advice import migration

SLOW_COPY = {"overrides": {"send_page_ns": 10_000, "zero_check_ns": 1000}}
"""One thread sends 4096 bytes in 11 us: 3 Gbit/s."""
LARGER = [{"size": "256 MiB", "backing": "thp"}]
"""Takes one thread 0.7 s, some of QEMU's windows of 100 ms in which it measures the bandwidth."""


def found_by(scenario: Scenario, made: Recording, answer: Callable[[Scenario], Answer] = run) -> dict[str, Remedy]:
    """The Remedies of a scenario, by name; every run is made by `answer`."""
    found: dict[str, Remedy] = {}

    def run_some(scenarios: Sequence[Scenario], answered: Callable[[int, Answer], None]) -> None:
        for index, each in enumerate(scenarios):
            answered(index, answer(each))

    remedies(searches_of(scenario, made), run_some, lambda _, some: found.update({each.name: each for each in some}))
    return found


def driver_of(remedy: Remedy) -> dict[str, Any]:
    assert remedy.recording is not None
    fields: dict[str, Any] = remedy.recording.header.document()["scenario"]["driver"]
    return fields


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 7), st.integers(0, 5))
def test_the_smallest_step_that_works_is_found_from_any_start(count: int, first: int, start: int) -> None:
    """Of a search alone: a run that converges stands for each step from `first` on."""
    yes, no = run(migration(100)), run(migration(50_000))
    assert converges(yes)
    assert not converges(no)
    steps = [Step(str(at), at, {"driver.downtime_limit": (at + 1) * 10_000_000}) for at in range(count)]
    trial = smallest("any", migration(), steps, min(start, count - 1))
    found = None
    asked = next(trial)
    while found is None:
        at = asked.driver.downtime_limit // 10_000_000 - 1  # type: ignore[union-attr]  # of a driver that migrates
        try:
            asked = trial.send(yes if at >= first else no)
        except StopIteration as ended:
            found = ended.value
    assert found.works == (first < count)
    assert found.change == str(first if first < count else count - 1)


def test_what_helps_a_guest_that_does_not_converge_does_so_when_it_is_run() -> None:
    scenario = migration(20_000)
    made = run(scenario)
    assert not converges(made)
    found = found_by(scenario, made)
    assert set(found) == {BANDWIDTH, DOWNTIME_LIMIT, AUTO_CONVERGE, DIRTY_LIMIT, POSTCOPY}
    for each in found.values():
        assert each.recording is None or each.works == (converges(each.recording) or each.name == POSTCOPY)
    longer = found[DOWNTIME_LIMIT]
    assert longer.works
    assert longer.recording is not None
    # The rule: what is left fits bandwidth times downtime limit, and the limit below leaves too little.
    limit = longer.recording.header.scenario["driver"]["downtime_limit"]
    assert leftover_of(longer.recording).left_bytes <= leftover_of(longer.recording).may_bytes
    lower = [each for each in downtime_steps(scenario) if each.value < limit]
    if lower:
        below = {"kind": "qemu_precopy", "downtime_limit": lower[-1].value}
        assert not converges(run(migration(20_000, driver=below)))


def test_the_next_runs_of_all_kinds_are_made_together() -> None:
    scenario, sizes = migration(20_000), []

    def run_some(scenarios: Sequence[Scenario], answered: Callable[[int, Answer], None]) -> None:
        sizes.append(len(scenarios))
        for index in reversed(range(len(scenarios))):
            answered(index, run(scenarios[index]))

    searches = searches_of(scenario, run(scenario))
    told: list[str] = []
    remedies(searches, run_some, lambda name, _: told.append(name))
    assert sorted(told) == sorted(searches)
    assert sizes[0] == len(searches)


def test_a_change_that_is_refused_says_why() -> None:
    scenario = migration(50_000)
    found = found_by(scenario, run(scenario), lambda _: InputError("the run needs too much"))
    assert found
    assert all(each.recording is None and not each.works for each in found.values())
    assert {each.why for each in found.values()} == {"the run needs too much"}


# Sending faster


def test_links_grow_until_one_thread_cannot_fill_them() -> None:
    scenario = migration()
    speeds = [each.value for each in link_steps(scenario)]
    assert speeds == sorted(speeds)
    assert speeds[-1] >= threads_bytes_per_s(scenario, 0) > speeds[-2]
    assert [each.change for each in link_steps(migration(host=SLOW_COPY))] == ["1 Gbit/s", "10 Gbit/s"]


def test_with_multifd_links_grow_until_its_channels_cannot_fill_them() -> None:
    """Eight channels of 4096 bytes in 11 us each: 24 Gbit/s."""
    scenario = migration(host=SLOW_COPY, driver={"multifd_channels": 8})
    assert [each.change for each in link_steps(scenario)] == ["1 Gbit/s", "10 Gbit/s", "25 Gbit/s"]


@pytest.mark.parametrize("version", ["7.2", "10.0"])
@pytest.mark.parametrize("channels", [0, 2, 8])
def test_threads_send_what_a_migration_over_a_fast_link_sends(version: str, channels: int) -> None:
    """An idle guest over 1 TiB/s: the first pass takes as long as the threads need, to a window of 100 ms."""
    document = {
        "vm": {"vcpus": 1},
        "memory": [{"size": "4 GiB", "backing": "thp"}],
        "workload": {"pattern": "idle"},
        "driver": {
            "kind": "qemu_precopy",
            "version": version,
            "link": "1 TiB/s",
            "bandwidth": "1 TiB/s",
            "multifd_channels": channels,
        },
        "host": SLOW_COPY,
    }
    scenario = Scenario.model_validate(document)
    took_s = (4 << 30) / threads_bytes_per_s(scenario, channels)
    assert run(scenario).totals["migration"]["total_ns"] / 1e9 == pytest.approx(took_s, rel=0.02, abs=0.1)


def test_more_threads_help_where_one_cannot_fill_the_link() -> None:
    """One thread sends 3 Gbit/s, the guest dirties up to 6.6 Gbit/s, and the link carries 25 Gbit/s."""
    fast = {"link": "25 Gbit/s", "bandwidth": "25 Gbit/s", "downtime_limit": "1 ms"}
    scenario = migration(100_000, driver=fast, host=SLOW_COPY, memory=LARGER)
    made = run(scenario)
    assert not converges(made)
    found = found_by(scenario, made)
    assert BANDWIDTH not in found
    assert BOTH not in found
    assert found[MULTIFD].works
    channels = driver_of(found[MULTIFD])["multifd_channels"]
    assert found[MULTIFD].change == f"{channels} channels"
    assert f"{channels} threads of the host" in price_text(MULTIFD, found[MULTIFD].recording)  # type: ignore[arg-type]  # it works, so it was run
    assert channels > 2
    fewer = migration(100_000, driver={**fast, "multifd_channels": channels // 2}, host=SLOW_COPY, memory=LARGER)
    assert not converges(run(fewer))


def test_a_faster_link_comes_with_threads_that_fill_it() -> None:
    """One thread sends 3 Gbit/s: the guest dirties more, so that no link helps it alone."""
    scenario = migration(100_000, driver={"downtime_limit": "1 ms"}, host=SLOW_COPY, memory=LARGER)
    made = run(scenario)
    assert not converges(made)
    found = found_by(scenario, made)
    assert not found[BANDWIDTH].works
    assert found[BANDWIDTH].why == "one thread checks and copies 3.0 Gbit/s at most"
    both = found[BOTH]
    assert both.works
    fields = driver_of(both)
    assert both.recording is not None
    assert threads_bytes_per_s(scenario, fields["multifd_channels"]) >= fields["bandwidth"] == fields["link"]
    price = price_text(BOTH, both.recording)
    speed, channels = both.change.split(" with ")[0], fields["multifd_channels"]
    assert price == f"a network that gives the migration {speed}, and {channels} threads of the host that copy"


def test_multifd_is_refused_with_post_copy_and_says_so() -> None:
    driver = {"link": "25 Gbit/s", "bandwidth": "25 Gbit/s", "downtime_limit": "1 ms", "postcopy_after": "10 s"}
    scenario = migration(50_000, driver=driver, host=SLOW_COPY)
    made = run(scenario)
    found = found_by(scenario, made, lambda _: made)
    assert POSTCOPY not in found
    assert found[MULTIFD].recording is None
    assert "with post-copy: QEMU 10.0 says that they are not compatible yet" in found[MULTIFD].why


# A slower guest


@pytest.mark.parametrize("eager", [True, False])
def test_a_dirty_limit_needs_a_ring(eager: bool) -> None:  # noqa: FBT001  # of parametrize
    """40 MiB/s are sent: two vCPUs may dirty up to 16 MiB/s each."""
    steps = dirty_limit_steps(migration(vm={"eager_page_split": eager}))
    policy = "ring_eager" if eager else "ring_lazy"
    assert [each.change for each in steps] == [f"{mib} MiB/s for each vCPU, with policy {policy}" for mib in (16, 4, 1)]
    assert all(each.overrides["policy"] == policy for each in steps)
    ring = {"dirty_log_mode": "ring"}
    steps = dirty_limit_steps(migration(vm=ring, driver={"dirty_limit": "4 MiB/s"}))
    assert [each.change for each in steps] == ["1 MiB/s for each vCPU"]
    assert dirty_limit_steps(migration(vm=ring, driver={"dirty_limit": "1 MiB/s"})) == []


def test_under_a_dirty_limit_vcpus_sleep_when_their_rings_are_full() -> None:
    """Two vCPUs write 195 MiB/s each, and each ring holds 4 MiB."""
    scenario = migration(50_000, vm={"dirty_log_mode": "ring", "ring_entries": 1024}, driver={"downtime_limit": "9 ms"})
    made = run(scenario)
    assert not converges(made)
    found = found_by(scenario, made)[DIRTY_LIMIT]
    assert found.recording is not None
    slept = found.recording.totals["migration"]["throttled_ns"]
    assert slept > 0
    share = 100 * slept / (2 * found.recording.totals["migration"]["total_ns"])
    price = price_text(DIRTY_LIMIT, found.recording)
    assert price.startswith("vCPUs sleep for ")
    assert float(price.split()[3].rstrip("%")) == pytest.approx(share, rel=0.01)


def test_a_dirty_limit_that_qemu_would_not_act_on_is_not_run() -> None:
    """QEMU: DIRTYLIMIT_TOLERANCE_RANGE is 25 MiB/s, and each vCPU dirties 6,000 pages a second at most: 23.4 MiB/s."""
    scenario = migration(6000, driver={"downtime_limit": "1 ms"})
    made = run(scenario)
    found = found_by(scenario, made, lambda _: made)[DIRTY_LIMIT]
    assert found.recording is None
    assert "QEMU leaves a vCPU alone that dirties up to 25 MiB/s more than its limit" in found.why


@pytest.mark.parametrize(
    ("driver", "why"),
    [
        ({"version": "7.2"}, "the capability dirty-limit came with 8.1"),
        ({"auto_converge": True}, "conflicts with auto_converge=true"),
    ],
)
def test_a_dirty_limit_that_qemu_refuses_says_why(driver: dict[str, Any], why: str) -> None:
    scenario = migration(50_000, driver={**driver, "downtime_limit": "1 ms"})
    made = run(scenario)
    found = found_by(scenario, made, lambda _: made)
    assert found[DIRTY_LIMIT].recording is None
    assert why in found[DIRTY_LIMIT].why
    assert (AUTO_CONVERGE in found) == ("auto_converge" not in driver)


# A migration that is cancelled


def test_a_cancelled_migration_is_first_tried_without_its_cancel() -> None:
    scenario = migration(100, driver={"cancel_at": "100 ms"})
    found = found_by(scenario, run(scenario))
    assert set(found) == {NO_CANCEL}
    assert found[NO_CANCEL].works
    assert driver_of(found[NO_CANCEL])["cancel_at"] == 0


def test_what_would_help_a_cancelled_migration_helps_it_without_its_cancel() -> None:
    scenario = migration(20_000, driver={"cancel_at": "100 ms"})
    found = found_by(scenario, run(scenario))
    assert not found[NO_CANCEL].works
    assert {NO_CANCEL, BANDWIDTH, DOWNTIME_LIMIT} < set(found)
    helps = [each for each in found.values() if each.works]
    assert helps
    for each in helps:
        assert each.change.endswith(", and driver.cancel_at=0")
        assert driver_of(each)["cancel_at"] == 0
        assert each.recording is not None
        assert converges(each.recording) or switched(each.recording)
