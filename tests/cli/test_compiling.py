"""The line that says how far the first compilation is."""

import sys
import time
from pathlib import Path

import pytest

from mmuviz.cli import compiling, main, status_line
from mmuviz.cli.compiling import Compiling
from tests.cli.small_files import small_file
from tests.cli.test_progress import Terminal


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("mmuviz.core.jit.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(compiling, "EVERY_S", 0.001)
    monkeypatch.setattr(status_line, "AFTER_S", 0)
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def test_it_counts_what_is_compiled_and_goes_away(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Compiling() as line:
        (cache / "one.nbi").touch()
        until_s = time.monotonic() + 10
        while ": 1 functions so far, 0:0" not in terminal.getvalue() and time.monotonic() < until_s:
            time.sleep(0.001)
        line.end()
        shown = terminal.getvalue()
    assert ": 1 functions so far, 0:0" in shown
    assert shown.endswith(status_line.ERASE)
    assert terminal.getvalue() == shown


def test_nothing_is_said_of_what_is_compiled(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "one.nbi").touch()
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Compiling():
        time.sleep(0.05)
    assert terminal.getvalue() == ""


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("command", [["run"], ["compare", "--policies", "lazy,manual_lazy"]])
def test_run_and_compare_say_it(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[bool] = []
    monkeypatch.setattr(Compiling, "end", lambda _: ended.append(True))
    assert main([command[0], str(small_file(tmp_path)), *command[1:], "--json"]) == 0
    assert len(ended) > 1


def test_warm_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[bool] = []
    monkeypatch.setattr(Compiling, "end", lambda _: ended.append(True))
    monkeypatch.setattr("mmuviz.engine.warm.warm", lambda: None)
    assert main(["warm"]) == 0
    assert ended == [True]
