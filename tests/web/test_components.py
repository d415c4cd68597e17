import json
import re
from pathlib import Path
from typing import Any

import pytest

from mmuviz.components.ids import Id
from mmuviz.components.op_table import HEADINGS, op_table
from mmuviz.components.pane import MAIN, MORE, NARROW, WIDE, main_figures, map_aspect, pane
from mmuviz.components.scenario_menu import ScenarioLink, scenario_menu
from mmuviz.components.transport import BACK, ON, PLAY, SPEEDS
from mmuviz.recording.columns import SPLIT, Slot
from mmuviz.recording.labels import op_label
from mmuviz.recording.totals import events_by_op
from mmuviz.web.shipped import Scenario, Shelf

SHELF = Shelf()
LAZY_AND_EAGER = SHELF.scenarios["legacy"]


def plain(component: Any) -> str:  # noqa: ANN401 - Dash trees have no type of their own
    return json.dumps(component.to_plotly_json(), default=lambda part: part.to_plotly_json())


def test_the_table_holds_both_sides_own_figures() -> None:
    sides = LAZY_AND_EAGER.made.pair.sides
    table = op_table(sides).children
    rows = json.loads(getattr(table, "data-figures"))["rows"]
    assert [row[0] for row in rows] == [op_label(sides[0], index) for index in range(len(sides[0].ops))]
    splits = 1 + list(HEADINGS).index("Splits")
    for side, recording in enumerate(sides):
        assert [row[splits][side] for row in rows] == events_by_op(recording, SPLIT).tolist()
    told = [row[-1] != [None, None] for row in rows]
    assert told == [op.kind == "get" for op in sides[0].ops]


def test_no_scenarios_are_a_sentence() -> None:
    assert "No scenarios" in plain(scenario_menu([], ""))


def test_the_menu_is_closed_grouped_and_knows_what_is_shown() -> None:
    links = [ScenarioLink("a", "One", "A"), ScenarioLink("b", "One", "B"), ScenarioLink("c", "Two", "C")]
    text = plain(scenario_menu(links, "b"))
    assert text.count("aria-current") == 1
    assert text.count('"H2"') == 2
    assert '"open"' not in text
    assert re.findall(r'"href": "(.*?)"', text) == ["?scenario=a", "?scenario=b", "?scenario=c"]


def slot(base: int, pages: int) -> Slot:
    return Slot(base, pages, "hugetlb_2m", 0, host_populated=True)


@pytest.mark.parametrize(
    ("shown", "wide", "narrow"),
    [
        # One tile of 32 by 16 can lie in one way only.
        (slot(0, 512), 2.0, 2.0),
        # Four tiles: two by two; on a phone above each other, which lies nearer to what suits.
        (slot(262_144, 2048), 2.0, 0.5),
        # Sixteen: four by four; narrow, none without empty places suits, and three by six leaves two.
        (slot(262_144, 8192), 2.0, 1.0),
        # Thirty-two: five by seven leaves three places empty, four by eight none.
        (slot(262_144, 16_384), 10 / 7, 1.0),
        # 1 GiB is 512 cells of 2M: one tile.
        (slot(262_144, 262_144), 2.0, 2.0),
    ],
)
def test_the_map_s_box_suits_its_tiles(shown: Slot, wide: float, narrow: float) -> None:
    assert map_aspect(shown, WIDE) == pytest.approx(0.97 * wide, abs=0.001)
    assert map_aspect(shown, NARROW) == pytest.approx(0.97 * narrow, abs=0.001)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("legacy", ["faults_logged", "splits_fault", "table_bytes"]),
        ("zap-or-split-2m", ["faults_logged", "splits_fault", "zaps_fault", "table_bytes"]),
        ("4k", ["faults_logged", "splits_fault", "table_bytes"]),
    ],
)
def test_the_first_figures_are_those_that_tell_the_sides_apart(name: str, first: list[str]) -> None:
    sides = SHELF.scenarios[name].made.pair.sides
    assert main_figures(sides) == first
    text = plain(pane(0, "Left", first))
    assert sorted(re.findall(r'"data-figure": "(\w+)"', text)) == sorted([*MAIN, *MORE])


def test_python_and_the_scripts_name_the_same(repository: Path) -> None:
    player = (repository / "assets" / "player.js").read_text()
    speeds = re.search(r"SPEEDS = \[(.*)\]", player)
    assert speeds is not None
    assert speeds[1].split(", ") == list(SPEEDS)
    acts = re.findall(r'act: "(\w+)"', (repository / "assets" / "keys.js").read_text())
    assert {control.act for control in (*BACK, PLAY, *ON)} <= set(acts)
    scripts = "".join(file.read_text() for file in (repository / "assets").glob("*.js") if "plotly" not in file.name)
    for name in (Id.STORY, Id.SCRUB_BOX, Id.OP_MARKS, Id.CLOCK, Id.SPEED, Id.PLAY, Id.LIVE, Id.MAP_TABLE, Id.VIEW_PATH):
        assert name in scripts
    for name in (Id.MAP_SCALE, Id.OPS, Id.PAINTED, Id.TRANSPORT):
        assert name in scripts


def test_every_scenario_says_its_point_in_one_sentence() -> None:
    scenario: Scenario = LAZY_AND_EAGER
    assert scenario.made.header["point"].endswith(".")
