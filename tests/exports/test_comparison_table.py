"""Differences beside a value: never rounded to nothing, nor to all."""

from __future__ import annotations

import pytest

from mmuviz.exports.comparison_table import comparison_table
from mmuviz.recording.recording import Recording
from tests.engine.runs import ran, scenario_of
from tests.engine.test_pml import LIVE


def cells_of(name: str, recordings: list[Recording]) -> str:
    labels = [str(number) for number in range(len(recordings))]
    lines = comparison_table(recordings, labels).splitlines()
    return next(line for line in lines if line.startswith(name))


@pytest.fixture(scope="module")
def pair() -> list[Recording]:
    lazy = scenario_of(LIVE, vm={"eager_page_split": False})
    return [ran(scenario_of(LIVE)).recording, ran(lazy).recording]


def test_a_difference_is_a_percentage_a_factor_or_nothing(pair: list[Recording]) -> None:
    splits = [each.totals["splits"] for each in pair]
    assert splits[0]["enable"] > 0 == splits[1]["enable"]
    assert "%" not in cells_of("splits at enable", pair), "to nothing is no percentage"
    assert "%" not in cells_of("simulated time", [pair[0], pair[0]])
    assert cells_of("a fault's stall, p50", pair).split()[4] == "none", "eager: no write faults"
    text = comparison_table(pair, ["eager", "lazy"])
    assert "-100%" not in text
    assert "-0%" not in text


def test_a_row_of_nothing_has_no_best(pair: list[Recording]) -> None:
    text = comparison_table([pair[0], pair[0]], ["one", "other"])
    assert "all the same (0" not in text
