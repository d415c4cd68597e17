"""The scenarios and the Python of docs/commands.md and the README run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.scenario_files import read_scenario
from mmuviz.studies.side_by_side import compare
from tests.packaging.test_documents import blocks
from tests.served import clean_environment


def scenario_in(document: Path, folder: Path) -> Scenario | Comparison:
    (text,) = blocks(document, "toml")
    path = folder / "this.toml"
    path.write_text(text)
    return read_scenario(path)


def test_the_scenario_of_the_document_runs(repository: Path, tmp_path: Path) -> None:
    comparison = scenario_in(repository / "docs" / "commands.md", tmp_path)
    assert isinstance(comparison, Comparison)
    assert list(compare(comparison)) == ["manual_lazy", "eager_at_enable"]


def test_the_readme_s_scenario_is_one(repository: Path, tmp_path: Path) -> None:
    scenario = scenario_in(repository / "README.md", tmp_path)
    assert isinstance(scenario, Scenario)
    Comparison.of(scenario, ["manual_lazy", "eager_at_enable"])


def test_the_python_of_the_document_runs(repository: Path) -> None:
    (block,) = blocks(repository / "docs" / "commands.md", "python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        cwd=repository,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["lazy", "eager_in_clear"]


@pytest.mark.parametrize("command", ["run", "compare", "advise"])
def test_every_option_is_in_the_document(command: str, repository: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "mmuviz", command, "--help"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout
    options = set(re.findall(r"--[a-z]+[a-z-]*", shown)) - {"--help", "--output"}
    text = (repository / "docs" / "commands.md").read_text()
    assert len(options) > 4
    assert {option for option in options if f"{option}" not in text} == set()
