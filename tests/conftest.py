"""Fixtures and hooks of all tests."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it ships no types

REPOSITORY = Path(__file__).resolve().parent.parent

# The same examples in every run, or a check would fail for who did not change it. Others are drawn by
# `make tests ARGS=--hypothesis-profile=explore`. Times vary with the machine's load; a slow example is no wrong one.
settings.register_profile("mmuviz", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("mmuviz")


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@cache
def is_whole(file: str) -> bool:
    """Whether the tests of a file run in one worker, because each worker would make their shared fixtures again."""
    return "\npytestmark = pytest.mark.xdist_group(" in (REPOSITORY / file).read_text()


class WholeFilesFirst(LoadScopeScheduling):  # type: ignore[misc]  # as above
    """A file that is marked as a group goes to one worker, largest first; every other test goes where there is room.

    xdist's own loadgroup writes the group into the test's id, which pytest 9.2 does not let it do.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if is_whole(file) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Callable[..., Any]) -> WholeFilesFirst:
    return WholeFilesFirst(config, log)
