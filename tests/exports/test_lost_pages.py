"""Migrations that lose pages are best at nothing: advice, comparisons and the answer say that they lose them."""

from __future__ import annotations

import json

import pytest

from mmuviz.engine.run import run
from mmuviz.exports.advice_document import advice_document
from mmuviz.exports.advice_text import Advice, best_of, cells_of, end_text, remedy_text
from mmuviz.exports.comparison_table import best_lines
from mmuviz.exports.migration_answer import migration_answer
from mmuviz.exports.migration_text import lost_cause
from mmuviz.exports.setup_text import number
from mmuviz.recording.recording import Recording
from mmuviz.studies.advice import Candidate, changed_scenario
from mmuviz.studies.convergence import converges, lost_pages
from mmuviz.studies.remedies import Step, smallest
from tests.engine.test_migration_policies import adjacent

POLICIES = ("lazy", "legacy_lazy", "ring_lazy")


@pytest.fixture(scope="module")
def advice() -> Advice:
    """With small chunks of CLEAR, lazy splits lose pages where two memslots share a word of a bitmap."""
    scenario = changed_scenario(adjacent(kernel="6.12", eager_page_split=False), {"policy": "lazy"})
    made = [changed_scenario(scenario, {"policy": policy}) for policy in POLICIES]
    tried = [
        (Candidate(policy, None, each, own=policy == "lazy"), run(each))
        for policy, each in zip(POLICIES, made, strict=True)
    ]
    return Advice(scenario, tried=tried)


@pytest.fixture(scope="module")
def recordings(advice: Advice) -> list[Recording]:
    found = [recording for _, recording in advice.tried]
    assert [bool(lost_pages(each)) for each in found] == [True, False, False]
    assert all(converges(each) for each in found)
    return found


def test_advice_names_them_once_and_recommends_none(advice: Advice, recordings: list[Recording]) -> None:
    assert all(0 not in places and places for places in best_of(advice.tried).values())
    assert [cells_of(*each)[2] for each in advice.tried] == ["lost", "yes", "yes"]
    joined = " ".join(end_text(advice).split())
    assert joined.count(lost_cause("6.12").split(":")[0]) == 1
    assert f"as pages are lost: lazy ({number(lost_pages(recordings[0]), 'page')}). " in joined
    assert all(": lazy" not in line for line in end_text(advice).splitlines() if line.startswith(("Least", "Shortest")))
    assert "all the same" not in joined


def test_advice_as_json_has_them(advice: Advice, recordings: list[Recording]) -> None:
    document = json.loads(json.dumps(advice_document(advice)))
    assert [each["lost_pages"] for each in document["candidates"]] == [lost_pages(each) for each in recordings]
    assert document["lost"].startswith("Left out below, as pages are lost: lazy (")
    assert all(0 not in places for places in document["best"].values())
    none = advice_document(Advice(advice.scenario, tried=advice.tried[1:]))
    assert none["lost"] == ""


def test_if_every_policy_loses_pages_none_is_the_best(advice: Advice) -> None:
    only = Advice(advice.scenario, tried=advice.tried[:1])
    assert not any(best_of(only.tried).values())
    assert "pages are lost: lazy" in " ".join(end_text(only).split())


def test_a_comparison_leaves_them_out(recordings: list[Recording]) -> None:
    lines = best_lines(recordings, ["A", "B", "C"])
    assert lines[0] == "Not compared, as pages are lost (stale at the destination): A."
    assert any(line.startswith("Shortest migration: ") for line in lines)
    assert any(line.startswith("Shortest downtime: ") for line in lines)
    assert not any(": A" in line or "all the same" in line for line in lines[1:])
    assert best_lines(recordings[:2], ["A", "B"])[1:] == [
        "Only B converges and loses no page; the others are not compared with it."
    ]
    assert best_lines([recordings[0]] * 2, ["A", "B"]) == [
        "Not compared, as pages are lost (stale at the destination): A, B."
    ]


def test_the_answer_says_it(recordings: list[Recording]) -> None:
    lost, whole = (migration_answer(each, {})["sentence"] for each in recordings[:2])
    assert f", but {number(lost_pages(recordings[0]), 'page')} would be lost: stale at the destination. " in lost
    assert "lost" not in whole


def test_a_change_that_loses_pages_is_no_remedy(advice: Advice, recordings: list[Recording]) -> None:
    """Named as such, although the migration converges with it."""
    for recording, works in zip(recordings[:2], (False, True), strict=True):
        search = smallest("kind", advice.scenario, [Step("a change", 1, {"driver.downtime_limit": 10**9})], 0)
        next(search)
        with pytest.raises(StopIteration) as ended:
            search.send(recording)
        remedy = ended.value.value
        assert remedy.works == works
        assert ("a change is of no use: it ends, but loses" in remedy_text(remedy)) != works
