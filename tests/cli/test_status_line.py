"""The status line: on a terminal, after a while, and gone at the end."""

from __future__ import annotations

import io
import sys

import pytest

from mmuviz.cli import status_line
from mmuviz.cli.status_line import ERASE, StatusLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_each_line_replaces_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(status_line, "AFTER_S", 0)
    with StatusLine() as status:
        status.say("point 1 of 2")
        status.say("point 2 of 2")
    assert isinstance(sys.stderr, Terminal)
    assert sys.stderr.getvalue() == f"{ERASE}point 1 of 2{ERASE}point 2 of 2{ERASE}"


def test_a_short_run_and_a_file_get_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, after_s in ((Terminal(), 1000.0), (io.StringIO(), 0.0)):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(status_line, "AFTER_S", after_s)
        with StatusLine() as status:
            status.say("point 1 of 2")
        assert stream.getvalue() == ""
