"""The documents are correct: their examples run, and the files, commands and targets that they name exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmuviz import __version__
from tests.served import clean_environment

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)


def examples(block: str) -> list[tuple[str, str]]:
    """Each command after a dollar sign, with the lines that it prints."""
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with the command, for an environment in which the project is not installed."""
    command = tmp_path / "mmuviz"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mmuviz "$@"\n')
    command.chmod(0o755)
    return tmp_path


def test_an_example_is_a_command_and_what_it_prints() -> None:
    assert examples("$ one\n1\n2\n$ two\n") == [("one", "1\n2\n"), ("two", "")]


def test_the_readme_s_commands_print_what_it_says(repository: Path, programs: Path) -> None:
    found = [example for block in blocks(repository / "README.md", "console") for example in examples(block)]
    assert len(found) >= 2
    environment = clean_environment(PATH=f"{programs}:{os.environ['PATH']}")
    for command, printed in found:
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=repository,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.stdout == printed, command


def test_the_readme_s_python_runs(repository: Path) -> None:
    found = blocks(repository / "README.md", "python")
    assert found
    for block in found:
        subprocess.run(
            [sys.executable, "-W", "error", "-c", block], cwd=repository, env=clean_environment(), check=True
        )


def test_every_make_target_that_a_document_names_exists(repository: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (repository / "Makefile").read_text(), re.MULTILINE))
    text = "".join((repository / name).read_text() for name in DOCUMENTS)
    fenced = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
    code = " ".join(re.findall(r"`[^`]+`", fenced.sub("", text)) + blocks(repository / "README.md", "sh"))
    named = set(re.findall(r"\bmake (?:[A-Z]+=\S+ )*([a-z]+)", code))
    assert {"run", "test", "lock"} <= named
    assert named <= targets


def test_every_command_is_in_the_readme_s_table(repository: Path, programs: Path) -> None:
    shown = subprocess.run([programs / "mmuviz", "--help"], cwd=repository, capture_output=True, text=True, check=True)
    commands = re.findall(r"^    ([\w-]+)(?: |$)", shown.stdout, re.MULTILINE)
    table = re.findall(r"^\| `mmuviz ([\w-]+)", (repository / "README.md").read_text(), re.MULTILINE)
    assert commands == table != []


def test_the_files_that_the_documents_name_exist(repository: Path) -> None:
    documents = [repository / name for name in DOCUMENTS] + sorted((repository / "docs" / "decisions").glob("*.md"))
    named = {
        path
        for document in documents
        for path in re.findall(r"`((?:tests|docs|mmuviz|tools)/[\w/-]*(?:/|\.\w+)|[A-Z]+\.md)`", document.read_text())
    }
    assert len(named) > 5
    assert {path for path in named if not (repository / path).exists()} == set()


def test_decisions_are_numbered_without_gaps_and_say_what_holds_them(repository: Path) -> None:
    notes = sorted((repository / "docs" / "decisions").glob("*.md"))
    for number, note in enumerate(notes, start=1):
        assert note.name.startswith(f"{number:04d}-")
        text = note.read_text()
        assert text.startswith(f"# {number}. ")
        for part in ["**Context.**", "**Choice.**", "**Cost.**", "**Held by**"]:
            assert part in text, note


def test_the_changelog_has_the_unreleased_or_the_current_version_first(repository: Path) -> None:
    first = re.search(r"^## \[([^\]]+)\]", (repository / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first[1] in {"Unreleased", __version__}
