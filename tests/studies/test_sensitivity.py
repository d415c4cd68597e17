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
from mmuviz.studies.sensitivity import (
    DIRECT,
    MOST,
    QUANTITIES,
    UNITS,
    Swing,
    changed,
    constants_of,
    corners,
    most_important,
    parts_of,
    quantities_of,
    span_of,
    swings,
    unused_by,
)
from mmuviz.studies.side_by_side import run_all

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
    lambda name, low, high: Swing(name, "ns", 1, 2, True, low, high),  # noqa: FBT003  # of a frozen type
    st.sampled_from(["a", "b", "c", "d"]),
    st.fixed_dictionaries(dict.fromkeys(QUANTITIES, st.integers(0, 1000))),
    st.fixed_dictionaries(dict.fromkeys(QUANTITIES, st.integers(0, 1000))),
)


@given(st.lists(swing, max_size=4, unique_by=lambda each: each.name))
def test_corners_take_each_constant_to_the_end_that_its_own_run_shows(found: list[Swing]) -> None:
    made = corners(found)
    assert len(made) == len({tuple(sorted(each.items())) for each in made})
    assert all(set(each) == {one.name for one in found} for each in made)
    for key in QUANTITIES if found else ():
        highest = {one.name: one.high if one.at_high[key] >= one.at_low[key] else one.low for one in found}
        assert highest in made


@given(st.lists(swing, max_size=4, unique_by=lambda each: each.name))
def test_parts_of_each_quantity_add_up_to_one(found: list[Swing]) -> None:
    moves = {each.name: dict(each.at_low) for each in found}
    parts = parts_of(moves, dict.fromkeys(QUANTITIES, 0.0))
    moved = sum(any(each[key] for each in moves.values()) for key in QUANTITIES)
    assert sum(parts.values()) == pytest.approx(moved)


def test_what_was_overridden_is_known_and_not_varied() -> None:
    document = migration(GUESTS[0]).given() | {"host": {"overrides": {"kick_ns": 3000}}}
    assert "kick_ns" in constants_of(migration(GUESTS[0]))
    assert "kick_ns" not in constants_of(Scenario.model_validate(document))


def test_constants_that_no_cost_table_holds_are_constants() -> None:
    assert set(DIRECT) <= set(MEANING)
