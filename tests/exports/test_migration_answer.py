"""The one sentence that an operator gets: outcome, times with their range, and what the range is."""

from __future__ import annotations

import pytest

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.exports.migration_answer import migration_answer
from mmuviz.exports.migration_text import migration_lines
from mmuviz.recording.quantities import time_text
from tests.exports.test_migration_text import migrated

KNOWN = {"tdp_eager": {"percent": 20, "values": 41, "host": "tdp_eager", "extrapolated": False}}


def test_one_that_converges_says_in_how_long_with_its_range() -> None:
    made = migrated(100)
    took = made.totals["migration"]
    sentence = migration_answer(made, KNOWN)["sentence"]
    assert sentence.startswith("16 MiB with 2 vCPUs over ")
    for name in ("total_ns", "downtime_ns"):
        low, high = took[name] * 80 // 100, took[name] * 120 // 100
        assert f"{time_text(took[name])} ({time_text(low)} to {time_text(high)})" in sentence
    assert ": converges in " in sentence
    assert "±20 % of host tdp_eager, which two thirds of 41 published values of this host keep" in sentence
    assert "extrapolated" not in sentence


def test_one_that_does_not_converge_says_why() -> None:
    made = migrated(50_000, most_rounds=4)
    sentence = migration_answer(made, KNOWN)["sentence"]
    assert ": does not converge: given up after " in sentence
    assert "too many rounds" in sentence
    assert "Ranges" not in sentence
    assert " Modelled times have the ±" in sentence


def test_one_that_is_given_up_in_its_first_pass_says_how_long_that_takes() -> None:
    made = migrated(100, longest="100 ms", link="40 MiB/s")
    sentence = migration_answer(made, KNOWN)["sentence"]
    assert f"; to send all of it once takes {time_text(16 * 10**9 // 40)} at least." in sentence
    assert "at least" not in migration_answer(migrated(50_000, most_rounds=4), KNOWN)["sentence"]


def test_the_lines_are_those_of_the_summary() -> None:
    made = migrated(100)
    assert migration_answer(made, KNOWN)["lines"] == [[name.strip(), text] for name, text in migration_lines(made)]


def test_of_a_host_that_nobody_measured_no_range_is_given() -> None:
    sentence = migration_answer(migrated(100), {})["sentence"]
    assert "is not known." in sentence
    assert "±" not in sentence


@pytest.mark.parametrize(("whose", "says"), [("", "of all hosts"), ("tdp_eager", "of this host")])
def test_whose_values_the_range_is_of_is_said(whose: str, says: str) -> None:
    sentence = migration_answer(migrated(100), {"tdp_eager": {**KNOWN["tdp_eager"], "host": whose}})["sentence"]
    assert f"published values {says} keep" in sentence


def test_one_that_goes_over_to_post_copy_says_so() -> None:
    sentence = migration_answer(migrated(50_000, postcopy_after_rounds=2), KNOWN)["sentence"]
    assert ": goes over to post-copy with " in sentence


def test_without_a_migration_there_is_no_answer() -> None:
    made = run(Scenario.model_validate({"memory": [{"size": "4 MiB"}], "driver": {"kind": "without_logging"}}))
    assert migration_answer(made, KNOWN) == {"sentence": "", "lines": []}
