import json
from typing import Any

import pytest
from dash._utils import to_json
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.components.op_table import op_rows
from mmuviz.components.times import COUNTED, op_ends
from mmuviz.recording.time_words import time_rows
from mmuviz.web.app import create_app
from mmuviz.web.page import Asked, asked, below, inside, shown
from mmuviz.web.shipped import DEFAULT, Shelf

SHELF = Shelf()
KNOWN = {DEFAULT, "legacy"}
TOTAL = SHELF.scenarios["legacy"].made.timeline.total


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    client: FlaskClient = create_app().server.test_client()
    return client


@pytest.mark.parametrize("query", ["", "?", f"?scenario={DEFAULT}"])
def test_the_default_needs_no_query(query: str) -> None:
    assert asked(query, KNOWN.__contains__) == Asked(DEFAULT, None, "")


@pytest.mark.parametrize(
    ("query", "scenario", "step"),
    [
        ("?scenario=legacy", "legacy", None),
        ("?scenario=legacy&step=0", "legacy", 0),
        ("?step=00017", DEFAULT, 17),
        ("?step=999999999999999&scenario=legacy", "legacy", 999_999_999_999_999),
    ],
)
def test_a_scenario_and_a_step_are_named_in_the_query(query: str, scenario: str, step: int | None) -> None:
    assert asked(query, KNOWN.__contains__) == Asked(scenario, step, "")


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("?scenario=nope", "'nope'"),
        ("?scenario=", "''"),
        ("?scenario=a&scenario=b", "'a'"),
        ("?scenario=nope&step=3", "'nope'"),
        ("?scenario=%00%ff", "There is no scenario"),
        ("?scenario=../../etc/passwd", "There is no scenario"),
        ("?colour=red", "'colour'"),
        ("?scenario=legacy&colour=red", "'colour'"),
        ("?scenario=legacy&step=", "whole number"),
        ("?scenario=legacy&step=-1", "whole number"),
        ("?scenario=legacy&step=1.5", "whole number"),
        ("?scenario=legacy&step=1e3", "whole number"),
        ("?scenario=legacy&step=%D9%A3", "whole number"),
        ("?scenario=legacy&step=%0a7", "whole number"),
        ("?scenario=legacy&step=" + "9" * 500, "whole number"),
        ("?scenario=legacy&step=1&step=2", "whole number"),
        ("?" + "&".join(f"f{n}=1" for n in range(50)), "cannot be read"),
    ],
)
def test_a_wrong_query_gets_a_message_and_the_default(query: str, word: str) -> None:
    wish = asked(query, KNOWN.__contains__)
    assert (wish.scenario, wish.step) == (DEFAULT, None)
    assert word in wish.complaint


@given(st.text(max_size=300) | st.from_regex(r"\?scenario=legacy&step=.{0,40}", fullmatch=True))
def test_no_query_is_too_strange(query: str) -> None:
    wish = asked(query, KNOWN.__contains__)
    assert wish.scenario in KNOWN
    assert wish.scenario == DEFAULT or wish.complaint == ""
    assert wish.step is None or wish.complaint == ""
    assert len(wish.complaint) < 150


def test_a_step_must_lie_in_the_scenario() -> None:
    assert inside(Asked("legacy", 7, ""), 7) == Asked("legacy", 7, "")
    past = inside(Asked("legacy", 8, ""), 7)
    assert (past.scenario, past.step) == (DEFAULT, None)
    assert "0 to 7" in past.complaint


def text_of(component: Any) -> str:  # noqa: ANN401 - Dash trees have no type of their own
    text: str = to_json(component)  # type: ignore[no-untyped-call]  # Dash leaves its own functions untyped
    return text


def test_the_page_has_a_message_only_where_something_was_wrong() -> None:
    assert len(shown("?scenario=nope", SHELF)[1]) == len(shown("", SHELF)[1]) + 1
    assert len(shown(f"?scenario=legacy&step={TOTAL + 1}", SHELF)[1]) == 2
    assert len(shown(f"?scenario=legacy&step={TOTAL}", SHELF)[1]) == 1


def test_the_story_says_its_point_and_where_to_pause() -> None:
    text = text_of(shown("?scenario=legacy&step=12", SHELF)[1])
    scenario = SHELF.scenarios["legacy"]
    assert '"data-step":"12"' in text
    assert json.dumps(scenario.made.header["point"]) in text
    assert scenario.made.digest in text


def test_what_stands_below_follows_the_same_address() -> None:
    heading, *charts = below("?scenario=legacy", SHELF)[0]
    details = below("?scenario=legacy", SHELF)[1]
    assert COUNTED in text_of(heading)
    assert len(charts) == 3
    assert "data-op-ends" not in text_of(charts)
    rows = json.dumps(op_rows(SHELF.scenarios["legacy"].made.pair.sides), separators=(",", ":"))
    assert json.dumps(rows)[1:-1] in text_of(details)


def test_what_the_engine_ran_is_told_in_time() -> None:
    scenario = SHELF.scenarios["clear-in-time"]
    timings = scenario.timings
    assert timings is not None
    query = f"?scenario={scenario.name}"
    assert scenario.point in text_of(shown(query, SHELF)[1])
    (heading, left, right, both), details = below(query, SHELF)
    assert timings[0].host_says in text_of(heading)
    for figure, timing in zip((left, right), timings, strict=True):
        assert op_ends(timing) in json.loads(text_of(figure))["props"]["children"][1]["props"].values()
    assert "data-op-ends" not in text_of(both)
    assert '"cursor"' not in text_of(both)  # its axis is no clock
    for row in time_rows(scenario.made.pair, timings):
        for cell in row:
            assert cell in text_of(details)


def test_op_ends_are_those_of_the_timing() -> None:
    timings = SHELF.scenarios["clear-in-time"].timings
    assert timings is not None
    for timing in timings:
        assert json.loads(op_ends(timing)) == pytest.approx(timing.op_end_ms.tolist(), abs=1e-8)


@pytest.mark.parametrize("search", ["", "?scenario=%f0%28", "?step=-1", "x" * 5_000, None])
@pytest.mark.parametrize("lower", [False, True])
def test_no_address_makes_the_server_fail(client: FlaskClient, search: object, lower: bool) -> None:  # noqa: FBT001  # parametrized
    url = {"id": "url", "property": "search", "value": search}
    places = ("charts", "details") if lower else ("menu", "shown")
    body = {
        "output": "..{}.children...{}.children..".format(*places),
        "outputs": [{"id": place, "property": "children"} for place in places],
        "inputs": [{"id": "painted", "property": "data", "value": True}] if lower else [url],
        "state": [url] if lower else [],
        "changedPropIds": ["painted.data" if lower else "url.search"],
    }
    assert client.post("/_dash-update-component", json=body).status_code == 200
