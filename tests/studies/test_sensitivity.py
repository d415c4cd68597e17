"""The constants of the host that matter to a migration, and the spread of its results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.costs.hosts import MEANING
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.recording.recording import Recording
from mmuviz.studies.convergence import converges
from mmuviz.studies.overrides import overridden
from mmuviz.studies.sensitivity import (
    DIRECT,
    MOST,
    QUANTITIES,
    UNITS,
    Part,
    Swing,
    changed,
    constants_of,
    corners,
    is_decisive,
    most_important,
    number_of_corners,
    parts_of,
    quantities_of,
    span_of,
    swings,
    unused_by,
    width,
)
from mmuviz.studies.side_by_side import run_all
from mmuviz.studies.smaller_guest import fewest_pages

GUESTS: tuple[dict[str, Any], ...] = (
    {"vendor": "amd", "eager_page_split": False},
    {"vendor": "intel", "dirty_log_mode": "manual"},
    {"vendor": "amd", "mmu": "direct_shadow"},
)


def migration(vm: dict[str, Any], **driver: Any) -> Scenario:  # noqa: ANN401  # fields of the driver
    """A guest of 8 MiB that writes half of it while it is migrated."""
    return Scenario.model_validate(
        {
            "vm": {"vcpus": 2, **vm},
            "memory": [{"size": "8 MiB"}],
            "workload": {"pattern": "hot_set", "hot_percent": 50, "rate_hz": 2000},
            "driver": {"kind": "qemu_precopy", "link": "40 MiB/s", "bandwidth": "40 MiB/s", "most_rounds": 4, **driver},
        }
    )


@pytest.mark.parametrize("vm", GUESTS)
def test_constants_that_are_left_out_change_nothing(vm: dict[str, Any]) -> None:
    scenario = migration(vm)
    before = quantities_of(run(scenario))
    tried = set(constants_of(scenario))
    out = [name for name, (unit, *_) in MEANING.items() if unit in UNITS and name not in tried]
    assert set(unused_by(scenario)) <= set(MEANING)
    for name in out:
        for end in MEANING[name][1:3]:
            assert quantities_of(run(changed(scenario, {name: end}))) == before, (name, end)


def test_the_range_holds_the_answer_and_every_end_of_what_matters() -> None:
    scenario = migration(GUESTS[0])
    made, before = run(scenario), quantities_of(run(scenario))
    runs: list[dict[str, int]] = []

    def noted(some: Sequence[Scenario]) -> Sequence[Recording]:
        found = run_all(some)
        runs.extend(map(quantities_of, found))
        return found

    span = span_of(scenario, made, noted)
    assert 0 < len(span.constants) <= MOST
    for key in QUANTITIES:
        low, high = span.quantities[key]
        assert low <= before[key] <= high
        for each in span.constants:
            assert low <= each.at_low[key] <= high
            assert low <= each.at_high[key] <= high
        # Nothing else that was run beside one constant alone moves it further by much: three explain most of it.
        assert {low, high} <= {each[key] for each in [*runs, before]}
    for each in span.constants:
        assert (each.low, each.high) == MEANING[each.name][1:3]
        assert quantities_of(run(changed(scenario, {each.name: each.low}))) == dict(each.at_low)
        assert quantities_of(run(changed(scenario, {each.name: each.high}))) == dict(each.at_high)


def test_a_constant_that_decides_the_time_comes_first() -> None:
    """If a thread sends less than the link carries, its cost of a page determines the migration's time.

    The time of the states of devices is given, as 200 ms of it are longer than this small migration.
    """
    scenario = migration(GUESTS[0], link="100 Gbit/s", bandwidth="100 Gbit/s", downtime_limit="2 s")
    scenario = changed(scenario, {"device_state_ns": 2_000_000})
    found = swings(scenario, run_all)
    names = [each.name for each in most_important(found, quantities_of(run(scenario)))]
    assert names[0] in ("send_page_ns", "path_ps", "kick_ns")
    assert "send_page_ns" in names
    assert "device_state_ns" not in names


def test_the_states_of_devices_decide_where_there_is_little_memory() -> None:
    scenario = migration(GUESTS[0], link="100 Gbit/s", bandwidth="100 Gbit/s", downtime_limit="2 s")
    found = most_important(swings(scenario, run_all), quantities_of(run(scenario)))
    assert found[0].name == "device_state_ns"
    assert found[0].at_high["downtime_ns"] - found[0].at_low["downtime_ns"] == found[0].high - found[0].low


swing = st.builds(
    lambda name, low, high, ends: Swing(name, "ns", 1, 2, True, low, high, ends),  # noqa: FBT003  # of a frozen type
    st.sampled_from(["a", "b", "c", "d"]),
    st.fixed_dictionaries(dict.fromkeys(QUANTITIES, st.integers(0, 1000))),
    st.fixed_dictionaries(dict.fromkeys(QUANTITIES, st.integers(0, 1000))),
    st.tuples(st.booleans(), st.booleans()),
)


@given(st.lists(swing, max_size=4, unique_by=lambda each: each.name))
def test_corners_take_each_constant_to_the_end_that_its_own_run_shows(found: list[Swing]) -> None:
    made = corners(found)
    assert len(made) == len({tuple(sorted(each.items())) for each in made})
    assert all(set(each) == {one.name for one in found} for each in made)
    for key in (key for key in QUANTITIES if any(width(one, key) for one in found)):
        highest = {one.name: one.high if one.at_high[key] >= one.at_low[key] else one.low for one in found}
        assert highest in made


@given(st.lists(swing, max_size=4, unique_by=lambda each: each.name))
def test_parts_of_each_quantity_add_up_to_one(found: list[Swing]) -> None:
    moves = {each.name: dict(each.at_low) for each in found}
    parts = parts_of(moves, dict.fromkeys(QUANTITIES, 0.0))
    moved = sum(any(each[key] for each in moves.values()) for key in QUANTITIES)
    assert sum(parts.values()) == pytest.approx(moved)


@given(st.lists(swing, max_size=6, unique_by=lambda each: each.name))
def test_what_decides_whether_it_converges_comes_first(found: list[Swing]) -> None:
    chosen = most_important(found, dict.fromkeys(QUANTITIES, 500))
    assert len(chosen) <= MOST
    decides = [is_decisive(each) for each in chosen]
    assert decides == sorted(decides, reverse=True)
    assert sum(decides) == min(sum(map(is_decisive, found)), MOST)


def big(**driver: Any) -> Scenario:  # noqa: ANN401  # fields of the driver
    """A guest of 128 MiB that writes half of it far faster than 100 MiB/s carries it away."""
    return Scenario.model_validate(
        {
            "vm": {"vcpus": 2},
            "memory": [{"size": "128 MiB"}],
            "workload": {"pattern": "hot_set", "hot_percent": 50, "rate_hz": 100_000},
            "driver": {
                "kind": "qemu_precopy",
                "link": "100 MiB/s",
                "bandwidth": "100 MiB/s",
                "downtime_limit": "40 ms",
                "most_rounds": 4,
                **driver,
            },
        }
    )


def test_a_smaller_guest_shows_the_same_constants() -> None:
    """A pass over 1/4 of the memory takes 1/4 of the time, so that each page is written as often in it."""
    scenario = big()
    part = fewest_pages(scenario)
    assert part is not None
    assert part.parts == 4, "a pass of 1.28 s has six times 200 ms"
    assert part.scenario.memory[0].size * part.parts == scenario.memory[0].size
    assert part.scenario.driver.downtime_limit * part.parts == scenario.driver.downtime_limit  # type: ignore[union-attr]  # QEMU's
    made = run(scenario)
    whole, small = (span_of(scenario, made, run_all, each) for each in (None, part))
    assert {"kick_ns", "path_ps"} <= {each.name for each in whole.constants} & {each.name for each in small.constants}
    widths = [high - low for low, high in (each.quantities["stall_ns"] for each in (whole, small))]
    # What a constant does to one of QEMU's windows of 100 ms may choose another third one.
    assert widths[1] == pytest.approx(widths[0], rel=0.25)


def test_a_span_by_a_smaller_guest_runs_only_corners_with_all_of_its_memory() -> None:
    scenario = big()
    part, made, sizes = fewest_pages(scenario), run(scenario), list[int]()

    def noted(some: Sequence[Scenario]) -> Sequence[Recording]:
        sizes.extend(each.memory[0].size for each in some)
        return run_all(some)

    span = span_of(scenario, made, noted, part)
    assert part is not None
    assert span.parts == part.parts
    assert span.converges is False
    assert sizes.count(part.scenario.memory[0].size) == 2 * len(constants_of(part.scenario)) + 1
    assert 0 < sizes.count(scenario.memory[0].size) <= number_of_corners(made) == 4
    for key, value in quantities_of(made).items():
        low, high = span.quantities[key]
        assert low <= value <= high


def test_if_the_corners_differ_the_deciding_constant_is_found_with_all_memory() -> None:
    """A thread sends less than the link carries: by its cost of a page the rest fits into the limit or not."""
    scenario = big(link="10 Gbit/s", bandwidth="10 Gbit/s", downtime_limit="60 ms")
    span = span_of(scenario, run(scenario), run_all, Part(scenario, 2))
    assert span.converges is None
    assert "send_page_ns" in {each.name for each in span.constants if is_decisive(each)}
    for each in span.constants:
        ends = [run(changed(scenario, {each.name: end})) for end in (each.low, each.high)]
        assert each.converges == tuple(map(converges, ends))
        assert [quantities_of(one) for one in ends] == [dict(each.at_low), dict(each.at_high)]


@pytest.mark.parametrize(
    "change",
    [
        {"driver.auto_converge": True},
        {"workload.pattern": "kernel_noise"},
        {"memory[0].size": "126 MiB"},
        {"driver.link": "10 Gbit/s", "driver.bandwidth": "10 Gbit/s"},
        {"driver.kind": "enable_only", "driver.tail": "1 ms"},
    ],
)
def test_a_guest_whose_times_do_not_follow_its_memory_is_not_made_smaller(change: dict[str, Any]) -> None:
    """Throttling acts every second; a pass of 0.1 s is one of QEMU's windows; 126 MiB are 63 pages of 2 MiB."""
    assert fewest_pages(Scenario.model_validate(overridden(big().given(), change))) is None


def test_what_was_overridden_is_known_and_not_varied() -> None:
    document = migration(GUESTS[0]).given() | {"host": {"overrides": {"kick_ns": 3000}}}
    assert "kick_ns" in constants_of(migration(GUESTS[0]))
    assert "kick_ns" not in constants_of(Scenario.model_validate(document))


def test_constants_that_no_cost_table_holds_are_constants() -> None:
    assert set(DIRECT) <= set(MEANING)
