"""The catalogue of scenario files, and the table of their fields."""

from __future__ import annotations

import json
import re
import tomllib
from argparse import ArgumentParser
from pathlib import Path

import pytest

from mmuviz.cli.scenarios import add_commands
from mmuviz.engine.choices.recorded import packaged_recordings
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.studies.comparison import Comparison, differing, flat
from mmuviz.studies.estimate import check_cost
from mmuviz.studies.fields import HEADINGS, field_rows, fields_table
from mmuviz.studies.packaged_scenarios import DEFAULT, ORDER, SUFFIX, entries
from mmuviz.studies.policies import POLICIES
from mmuviz.studies.scenario_files import read_scenario, scenario_from_document

ENTRIES = {entry.name: entry for entry in entries()}


def scenarios_of(name: str) -> tuple[Scenario, ...]:
    read = read_scenario(name)
    return read.scenarios if isinstance(read, Comparison) else (read,)


def test_every_packaged_file_is_listed_once(repository: Path) -> None:
    folder = repository / "mmuviz" / "data" / "scenarios"
    assert sorted(ORDER) == sorted(path.name.removesuffix(SUFFIX) for path in folder.iterdir())
    assert DEFAULT == "running-guest"
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) for name in ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_an_entry_asks_summarises_and_is_run_in_seconds(name: str) -> None:
    entry = ENTRIES[name]
    assert entry.title.endswith("?")
    assert len(re.findall(r"[.;:?!](?: |$)", entry.summary)) >= 2
    assert entry.look_at.endswith(".")
    assert "\n" not in entry.summary + entry.look_at
    for scenario in scenarios_of(name):
        check_cost(scenario, most_seconds=30)
    labels = getattr(read_scenario(name), "labels", ())
    assert len(set(labels)) == len(labels)


def test_titles_are_unique() -> None:
    assert len({entry.title for entry in ENTRIES.values()}) == len(ENTRIES)


def test_the_default_is_the_file_that_must_run_as_it_stands(repository: Path) -> None:
    given = tomllib.loads((repository / "tests" / "data" / "scenarios" / "running-guest.toml").read_text())
    packaged = tomllib.loads((repository / "mmuviz" / "data" / "scenarios" / "running-guest.toml").read_text())
    assert {name: packaged[name] for name in given} == given


def test_every_packaged_recording_stands_beside_one_that_differs_in_a_choice() -> None:
    recorded = [scenarios_of(name) for name in ORDER if name.startswith("recorded-")]
    used = {getattr(scenario.driver, "recording", "") for pair in recorded for scenario in pair}
    assert used == set(packaged_recordings())
    for pair in recorded:
        documents = [flat(scenario.as_document()) for scenario in pair]
        assert len([name for name in differing(documents) if name.startswith("vm.")]) == 1


def test_the_table_has_every_field_of_every_scenario() -> None:
    known = {row.field.replace("[]", "") for row in field_rows()}
    for name in ORDER:
        for scenario in scenarios_of(name):
            for field in flat(scenario.as_document()):
                # What is overridden of a host are constants by name, one field; a phase has its pattern's fields.
                plain = re.sub(r"\[\d+\]|(?<=overrides)\..*", "", field)
                assert plain.replace(".phases.", ".") in {*known, "workload.duration"}, field


def test_every_field_says_what_it_is_and_what_it_may_be() -> None:
    for row in field_rows():
        assert row.values, row.field
        assert row.description, row.field
    assert len(HEADINGS) == len(field_rows()[0])


def test_the_docs_show_the_generated_table(repository: Path) -> None:
    text = (repository / "docs" / "scenarios.md").read_text()
    assert fields_table() in text, "docs/scenarios.md must hold what mmuviz scenarios --fields prints"
    assert all(f"| `{policy.name}` | `{policy.mode}` |" in text for policy in POLICIES.values())
    example = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0]
    read = scenario_from_document(tomllib.loads(example))
    assert isinstance(read, Comparison)
    assert read.labels == ("manual_lazy", "eager_at_enable")


@pytest.mark.parametrize("options", [[], ["--json"], ["--fields"], ["--fields", "--json"]])
def test_the_command_lists_entries_and_fields(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    parser = ArgumentParser()
    add_commands(parser.add_subparsers())
    arguments = parser.parse_args(["scenarios", *options])
    assert arguments.run(arguments) == 0
    printed = capsys.readouterr().out
    if "--json" in options:
        rows = json.loads(printed)
        assert [row.get("name") for row in rows] == list(ORDER) if "--fields" not in options else rows[0]["field"]
    else:
        assert printed == fields_table() if "--fields" in options else all(name in printed for name in ORDER)
