"""The progress bar: on a terminal, after two seconds, and gone with the run."""

import io
import sys

import pytest

from mmuviz.cli import progress
from mmuviz.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def bar_of(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, after_s: float) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "AFTER_S", after_s)
    with Progress("run") as shown:
        shown.update(0.25, 1_000_000)
        shown.update(0.5, 53_600_000)
        shown.update(0.4, 53_600_000)
        shown.update(1.5, 245_000_000)
    return stream.getvalue()


def test_it_says_share_and_simulated_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = bar_of(monkeypatch, Terminal(), 0)
    for part in ("run", "50%", "53.6 ms simulated", "100%", "245 ms simulated"):
        assert part in shown


def test_a_short_run_and_a_pipe_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bar_of(monkeypatch, Terminal(), 1000) == ""
    assert bar_of(monkeypatch, io.StringIO(), 0) == ""


def interrupted_run() -> None:
    with Progress("run") as shown:
        shown.update(0.25, 1)
        raise KeyboardInterrupt


def test_an_interrupted_run_gives_the_terminal_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """click hides the cursor while the bar is there."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "AFTER_S", 0)
    with pytest.raises(KeyboardInterrupt):
        interrupted_run()
    assert terminal.getvalue().endswith("\x1b[?25h\n")
