"""Runs beside each other: reported in their order, whatever the order in which they end."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from mmuviz.cli import joined_values, main, progress
from mmuviz.cli.progress import Progress
from mmuviz.cli.runs import in_order
from mmuviz.cli.status_line import ERASE
from mmuviz.recording.recording import Recording
from mmuviz.studies.side_by_side import run_all
from tests.cli.test_compare import COMPARISON
from tests.cli.test_progress import Terminal
from tests.recording.made_recordings import made_recording


def test_a_run_is_reported_once_all_before_it_have_ended() -> None:
    reported: list[int] = []
    after = []
    with in_order(lambda index, _: reported.append(index)) as ended:
        for index in (1, 0, 3, 4, 2):
            ended(index, made_recording())
            after.append(list(reported))
    assert after == [[], [0, 1], [0, 1], [0, 1], [0, 1, 2, 3, 4]]


def end_some(reported: list[int]) -> None:
    with in_order(lambda index, _: reported.append(index)) as ended:
        for index in (0, 4, 2):
            ended(index, made_recording())
        raise KeyboardInterrupt


def test_after_ctrl_c_all_that_ended_are_reported() -> None:
    reported: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        end_some(reported)
    assert reported == [0, 2, 4]


@pytest.mark.parametrize("at_once", [1, 2])
def test_each_run_is_handed_over_when_it_ends(at_once: int) -> None:
    found: dict[int, Recording] = {}
    every = run_all(COMPARISON.scenarios, at_once=at_once, finished=found.__setitem__)
    assert [found[index] for index in range(2)] == every


def test_a_line_of_output_replaces_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "AFTER_S", 0)
    with Progress("run") as shown:
        shown.erase()
        assert isinstance(sys.stderr, io.StringIO)
        assert sys.stderr.getvalue() == ""
        shown.update(0.25, 1)
        shown.erase()
        assert sys.stderr.getvalue().endswith(ERASE)
        shown.update(0.5, 2)
        assert "50%" in sys.stderr.getvalue().rpartition(ERASE)[2]


def test_a_value_may_begin_with_a_minus() -> None:
    given = ["advise", "a.toml", "--bandwidth", "-1Gbit", "--set", "x=-1", "--downtime", "-.5s", "--json"]
    assert joined_values(given) == [
        "advise",
        "a.toml",
        "--bandwidth=-1Gbit",
        "--set",
        "x=-1",
        "--downtime=-.5s",
        "--json",
    ]
    for same in (["run", "-1.toml"], ["run", "-o", "-1"], ["run", "--set", "-o"], ["run", "--set=a", "-1"], []):
        assert joined_values(same) == same


def test_a_run_that_ends_before_its_estimate_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration is estimated to take three passes and ends after one; at the last report three of four have ended."""
    shares: list[float] = []
    monkeypatch.setattr(Progress, "update", lambda _, share, __: shares.append(share))
    driver = {"kind": "qemu_precopy", "link": "40 MiB/s", "bandwidth": "40 MiB/s"}
    base = {"vm": {"vcpus": 1}, "memory": [{"size": "16 MiB"}], "workload": {"pattern": "idle"}, "driver": driver}
    path = tmp_path / "idle.json"
    path.write_text(json.dumps({**base, "variants": [{"vm.kernel": each} for each in ("6.1", "6.6", "6.12", "6.18")]}))
    assert main(["compare", str(path), "--json", "--limit-memory", "400MiB"]) == 0
    assert shares[-1] > 3 / 4
