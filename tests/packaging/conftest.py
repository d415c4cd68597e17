"""New virtual environments, in which only the packages of the lock are installed."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.packaging)


def run(command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], user: int | None = None) -> str:
    """Run the command to its end and return what it printed; on failure show all of it."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=dict(environment),
        user=user,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} exited {done.returncode}:\n{done.stdout}"
    return done.stdout
