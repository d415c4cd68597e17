import json
from typing import Any

import pytest

from mmuviz.components.op_table import HEADINGS, op_table
from mmuviz.components.scenario_links import ScenarioLink, scenario_links
from mmuviz.components.still_map import aspect
from mmuviz.recording.columns import SPLIT, Slot
from mmuviz.recording.totals import events_by_op
from mmuviz.web.shipped import DEFAULT, Scenario
from tests.recording.samples import recording


def plain(component: Any) -> str:  # noqa: ANN401 - Dash trees have no type of their own
    return json.dumps(component.to_plotly_json(), default=lambda part: part.to_plotly_json())


def test_the_table_holds_the_recording_s_own_figures() -> None:
    made = Scenario(DEFAULT).recording
    text = plain(op_table(made))
    assert text.count('"data-op"') == len(made.ops)
    for name in HEADINGS:
        assert f'"{name}"' in text
    assert f'"{int(events_by_op(made, SPLIT).max()):,}"' in text


def test_no_scenarios_are_a_sentence() -> None:
    assert "No recordings" in plain(scenario_links([], ""))


def test_the_link_of_what_is_shown_says_so() -> None:
    links = [ScenarioLink("a", "A"), ScenarioLink("b", "B")]
    assert plain(scenario_links(links, "b")).count("aria-current") == 1


@pytest.mark.parametrize(
    ("slot", "most", "ratio"),
    [
        (Slot(262_144, 8192, "hugetlb_2m", 0, host_populated=True), 4, 2.0),
        (Slot(262_144, 8192, "hugetlb_2m", 0, host_populated=True), 2, 0.5),
        (Slot(262_144, 262_144, "hugetlb_1g", 0, host_populated=True), 4, 2.0),
        (Slot(256, 1024, "hugetlb_2m", 0, host_populated=True), 4, 6.0),
    ],
)
def test_the_map_s_place_is_kept_before_it_is_drawn(slot: Slot, most: int, ratio: float) -> None:
    assert aspect(recording(slot, [], []), most) == ratio
