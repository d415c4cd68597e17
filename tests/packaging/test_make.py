"""The targets of make before an environment exists, with stand-ins for Python."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.packaging.shell import Programs
from tests.served import clean_environment

RULE = "MMUViz needs Python 3.11, 3.12 or 3.13"


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path / "bin")


def python(version: str, *, has_venv: bool = True) -> str:
    """A stand-in for a Python: it knows its version, and makes a folder for an environment."""
    return f"""case "$*" in
        *version_info*) echo {version} ;;
        *ensurepip*) exit {int(not has_venv)} ;;
        *venv*) mkdir -p "$4" && touch "$4/pyvenv.cfg" && echo {version} > "$4/version" ;;
    esac"""


def make_venv(
    programs: Programs, repository: Path, place: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return programs.run("sh", str(repository / "tools" / "make-venv.sh"), str(place), **environment)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"mmuviz: .+\n", done.stderr), done.stderr
    return done.stderr


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_a_supported_python_makes_the_environment(
    programs: Programs, repository: Path, tmp_path: Path, version: str
) -> None:
    programs.add("python3", python(version))
    done = make_venv(programs, repository, tmp_path / "venv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "venv" / "version").read_text() == f"{version}\n"


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.10", "3.14", "3.110"])
def test_any_other_stops_with_one_line(programs: Programs, repository: Path, tmp_path: Path, version: str) -> None:
    programs.add("python3", python(version))
    said = one_line(make_venv(programs, repository, tmp_path / "venv"))
    assert f"python3 is Python {version}; {RULE}; install one, or name one: make PYTHON=" in said
    assert not (tmp_path / "venv").exists()


def test_no_python_at_all_stops_with_one_line(programs: Programs, repository: Path, tmp_path: Path) -> None:
    assert f"no python3 was found; {RULE}" in one_line(make_venv(programs, repository, tmp_path / "venv"))


def test_a_newer_python3_is_passed_over_for_a_supported_one(
    programs: Programs, repository: Path, tmp_path: Path
) -> None:
    programs.add("python3", python("3.14"))
    # A wrapper that is on PATH and runs nothing, as version managers leave behind.
    programs.add("python3.13", "exit 127")
    programs.add("python3.12", python("3.12"))
    assert make_venv(programs, repository, tmp_path / "venv").returncode == 0
    assert (tmp_path / "venv" / "version").read_text() == "3.12\n"


def test_the_named_python_is_taken_or_refused(programs: Programs, repository: Path, tmp_path: Path) -> None:
    programs.add("python3", python("3.12"))
    programs.add("mine", python("3.13"))
    programs.add("old", python("3.9"))
    assert make_venv(programs, repository, tmp_path / "venv", PYTHON="mine").returncode == 0
    assert (tmp_path / "venv" / "version").read_text() == "3.13\n"
    assert "old is Python 3.9" in one_line(make_venv(programs, repository, tmp_path / "two", PYTHON="old"))
    assert "PYTHON=none does not run" in one_line(make_venv(programs, repository, tmp_path / "two", PYTHON="none"))


@pytest.mark.parametrize(("name", "package"), [("python3", "python3-venv"), ("python3.12", "python3.12-venv")])
def test_a_missing_venv_module_names_its_package(
    programs: Programs, repository: Path, tmp_path: Path, name: str, package: str
) -> None:
    programs.add(name, python("3.12", has_venv=False))
    said = one_line(make_venv(programs, repository, tmp_path / "venv"))
    assert said.endswith(f"apt install {package}\n")


def test_a_folder_that_is_no_environment_is_left_alone(programs: Programs, repository: Path, tmp_path: Path) -> None:
    programs.add("python3", python("3.12"))
    place = tmp_path / "venv"
    place.mkdir()
    (place / "letters").touch()
    assert f"{place} exists and is no virtual environment" in one_line(make_venv(programs, repository, place))
    assert (place / "letters").exists()


def dry_run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["make", "--dry-run", *arguments],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def made(repository: Path, tmp_path: Path) -> Path:
    """A checkout in which everything was made once."""
    folder = tmp_path / "checkout"
    (folder / "mmuviz").mkdir(parents=True)
    for name in ["Makefile", "pyproject.toml", "requirements.txt", "requirements-dev.txt"]:
        shutil.copy(repository / name, folder)
    (folder / "mmuviz" / "routes.py").touch()
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to("/bin/sh")
    for stamp in [".python", ".requirements", ".requirements-dev", ".warm"]:
        (folder / ".venv" / stamp).touch()
    return folder


STEPS = ["make-venv.sh", "-r requirements.txt", "-r requirements-dev.txt", "mmuviz warm", "mmuviz serve"]


def steps(folder: Path, *arguments: str) -> list[str]:
    printed = dry_run(folder, *arguments)
    return [step for step in STEPS if step in printed]


def test_the_second_run_only_serves(made: Path) -> None:
    assert steps(made, "run") == ["mmuviz serve"]


def test_a_first_run_does_every_step(made: Path) -> None:
    shutil.rmtree(made / ".venv")
    assert steps(made, "run") == ["make-venv.sh", "-r requirements.txt", "mmuviz warm", "mmuviz serve"]


def later(path: Path) -> None:
    os.utime(path, (time.time() + 10, time.time() + 10))


def test_changed_code_is_compiled_again_and_nothing_installed(made: Path) -> None:
    later(made / "mmuviz" / "routes.py")
    assert steps(made, "run") == ["mmuviz warm", "mmuviz serve"]


def test_changed_requirements_are_installed(made: Path) -> None:
    later(made / "requirements.txt")
    assert steps(made, "run") == ["-r requirements.txt", "mmuviz warm", "mmuviz serve"]


def test_another_python_makes_another_environment(made: Path) -> None:
    assert "make-venv.sh" in steps(made, "run", "PYTHON=python3.12")
    (made / ".venv" / ".python").write_text("python3.12\n")
    for stamp in [".requirements", ".warm"]:
        later(made / ".venv" / stamp)
    assert steps(made, "run", "PYTHON=python3.12") == ["mmuviz serve"]
    assert steps(made, "run") == ["mmuviz serve"]


def test_an_environment_whose_python_is_gone_is_made_anew(made: Path) -> None:
    (made / ".venv" / "bin" / "python").unlink()
    (made / ".venv" / "bin" / "python").symlink_to("/no/such/python")
    assert "make-venv.sh" in steps(made, "run")


def test_the_checks_run_cheapest_first(made: Path) -> None:
    printed = dry_run(made, "test")
    order = [printed.index(check) for check in ["lint-imports", "ruff check", "ruff format", "-m mypy", "-m pytest"]]
    assert order == sorted(order)


def test_the_fast_checks_are_of_the_text_and_of_laws_that_need_no_browser(made: Path, repository: Path) -> None:
    printed = dry_run(made, "check")
    order = [printed.index(check) for check in ["lint-imports", "ruff check", "ruff format", "-m mypy", "-m pytest"]]
    assert order == sorted(order)
    assert "tests/browser" not in printed
    assert "find-browser" not in printed
    named = re.findall(r"tests/[\w/]+(?:\.py)?", printed)
    assert len(named) > 5
    assert [each for each in named if not (repository / each).exists()] == []


def test_the_checks_of_every_change_are_make_test(repository: Path) -> None:
    assert "\nmake test\n" in (repository / ".ci" / "run").read_text()
