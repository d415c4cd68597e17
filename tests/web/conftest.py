"""Fixtures of the tests of the queue and its routes: sites with their own folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mmuviz.web.run_limits import Limits
from tests.web.run_site import Engine, Site, until


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """One worker, patient enough for the first run of a process, which loads what was compiled."""
    return Site(tmp_path, Engine(), Limits(answer_s=30.0))


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Site]:
    """Two workers whose runs wait to be let go."""
    made = Site(tmp_path, Engine(held=True), Limits(answer_s=0.05), workers=2)
    yield made
    made.engine.go.set()
    until(lambda: made.engine.now == 0)
