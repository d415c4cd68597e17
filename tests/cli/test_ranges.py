"""`--range`: what the ranges of the host's constants make of a migration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmuviz.cli import main, ranges
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.studies.estimate import cost_of
from mmuviz.studies.scenario_files import read_scenario
from mmuviz.studies.sensitivity import QUANTITIES, number_of_runs
from mmuviz.studies.smaller_guest import fewest_pages
from tests.cli.small_files import small_file
from tests.cli.test_advise import file

Out = pytest.CaptureFixture[str]


def test_run_says_it_where_that_is_quick(tmp_path: Path, capsys: Out) -> None:
    assert main(["run", str(file(tmp_path)), "--no-baseline"]) == 0
    text = capsys.readouterr().out
    assert "\n  range  " in text
    assert "matter most to it" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_run_says_what_it_would_take_where_it_is_not(
    tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "CHEAP_SECONDS", 0.0)
    assert main(["run", str(file(tmp_path)), "--no-baseline"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "was not worked out: that takes" in text
    assert "--range does it." in text
    assert main(["run", str(file(tmp_path)), "--no-baseline", "--no-range"]) == 0
    assert "range" not in capsys.readouterr().out


def test_the_constants_are_chosen_by_runs_with_less_memory_where_that_is_quick(
    tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six runs of the corners with all memory, and the others with a part, take less than all of them with all."""
    document = json.loads(file(tmp_path).read_text())
    document["memory"] = [{"size": "64 MiB"}]
    document["workload"]["rate_hz"] = 20_000
    (tmp_path / "guest.json").write_text(json.dumps(document))
    source = str(tmp_path / "guest.json")
    found = scenarios_of(source)
    whole, corners = number_of_runs(found), 2 * len(QUANTITIES)
    part = fewest_pages(found)
    assert part is not None
    monkeypatch.setattr(ranges, "SECONDS_A_RUN", 0.0)
    each, small = (cost_of(one).seconds for one in (found, part.scenario))
    between = (whole * each + corners * each + number_of_runs(part.scenario) * small) / 2
    monkeypatch.setattr(ranges, "CHEAP_SECONDS", between)
    assert main(["run", source, "--no-baseline"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"matter most to it (chosen by runs with 1/{part.parts} of its memory): " in text
    assert f"--range chooses the constants by runs with all of the memory: {whole} runs or so" in text
    assert main(["run", source, "--no-baseline", "--range"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "of its memory)" not in text
    assert "--range" not in text


def scenarios_of(source: str) -> Scenario:
    found = read_scenario(source)
    assert isinstance(found, Scenario)
    return found


def test_json_has_it_on_request(tmp_path: Path, capsys: Out) -> None:
    source = str(file(tmp_path))
    assert main(["run", source, "--json"]) == 0
    assert "range" not in json.loads(capsys.readouterr().out)
    assert main(["run", source, "--json", "--range"]) == 0
    document = json.loads(capsys.readouterr().out)
    took = document["totals"]["migration"]
    assert document["range"]["total_ns"][0] <= took["total_ns"] <= document["range"]["total_ns"][1]
    assert document["range"]["downtime_ns"][0] <= took["downtime_ns"] <= document["range"]["downtime_ns"][1]
    for each in document["range"]["constants"]:
        assert set(each) == {"name", "unit", "low", "high", "fitted", "at_low", "at_high", "converges"}


def test_compare_says_it_of_each_variant(tmp_path: Path, capsys: Out) -> None:
    assert main(["compare", str(file(tmp_path)), "--policies", "lazy,eager_in_clear", "--range"]) == 0
    blocks = capsys.readouterr().out.split("\n\n")
    for label in ("lazy", "eager_in_clear"):
        (block,) = [each for each in blocks if each.startswith(f"{label}\nMigration ")]
        assert "\n  range  " in block


def test_what_is_no_migration_has_none(tmp_path: Path, capsys: Out) -> None:
    source = str(small_file(tmp_path))
    assert main(["run", source, "--range"]) == 2
    assert "--range needs a migration" in capsys.readouterr().err
    assert main(["run", source, "--no-baseline"]) == 0
    assert "range" not in capsys.readouterr().out
