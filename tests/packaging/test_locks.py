"""The locks: every requirement pinned and hashed, nothing of the machine that made them."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

LOCKS = ["requirements.txt", "requirements-dev.txt", "requirements-firefox.txt"]
PYTHONS = ["3.11", "3.12", "3.13"]


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text())


def pins(lock: Path) -> list[tuple[Requirement, list[str]]]:
    """Each requirement with its hashes."""
    text = lock.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [
        (Requirement(line.split(" --hash")[0]), re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)) for line in lines
    ]


def chosen(lock: Path, python: str) -> dict[str, Version]:
    """Return the packages that the lock installs with that Python on Linux."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": "linux",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    found: dict[str, Version] = {}
    for requirement, _ in pins(lock):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            assert requirement.name not in found, f"{requirement.name} is pinned twice for Python {python}"
            found[requirement.name] = Version(str(requirement.specifier).removeprefix("=="))
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_everything_is_pinned_and_hashed(repository: Path, name: str) -> None:
    found = pins(repository / name)
    assert len(found) > 10
    for requirement, hashes in found:
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), requirement
        assert requirement.url is None
        assert hashes, requirement


@pytest.mark.parametrize("name", LOCKS)
def test_nothing_of_a_machine_or_an_index_is_in_it(repository: Path, name: str) -> None:
    text = (repository / name).read_text()
    assert (
        re.findall(r"https?://|file:|@ |--index|--extra-index|--find-links|^-e |/home/|/tmp/", text, re.MULTILINE) == []
    )


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_answers_what_the_project_asks(repository: Path, project: dict[str, Any], python: str) -> None:
    groups = project["dependency-groups"]
    asked = {
        "requirements.txt": project["project"]["dependencies"] + groups["build"],
        "requirements-dev.txt": project["project"]["dependencies"] + groups["build"] + groups["dev"],
        "requirements-firefox.txt": groups["firefox"],
    }
    for name, requirements in asked.items():
        locked = chosen(repository / name, python)
        for requirement in map(Requirement, requirements):
            assert locked[requirement.name] in requirement.specifier


@pytest.mark.parametrize("python", PYTHONS)
def test_tests_run_with_the_pins_that_people_run(repository: Path, python: str) -> None:
    runtime = chosen(repository / "requirements.txt", python)
    tests = chosen(repository / "requirements-dev.txt", python)
    assert runtime.items() <= tests.items()


def test_the_build_backend_is_locked(project: dict[str, Any]) -> None:
    assert project["build-system"]["requires"] == project["dependency-groups"]["build"]


def test_every_place_names_the_same_pythons(repository: Path, project: dict[str, Any]) -> None:
    accepted = SpecifierSet(project["project"]["requires-python"])
    assert [f"3.{minor}" for minor in range(30) if f"3.{minor}.1" in accepted] == PYTHONS
    classifiers = project["project"]["classifiers"]
    assert [c.rpartition(" ")[2] for c in classifiers if "Python :: 3." in c] == PYTHONS
    assert "3.11 | 3.12 | 3.13)" in (repository / "tools" / "make-venv.sh").read_text()
    assert project["tool"]["ruff"]["target-version"] == "py311"
    assert project["tool"]["mypy"]["python_version"] == PYTHONS[0]
