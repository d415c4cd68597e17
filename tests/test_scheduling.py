"""Tests that share what is dear to make run in one process."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import is_whole
from tests.served import clean_environment

WHOLE = ("packaging/test_docker.py", "packaging/test_wheel.py", "mmu/test_twins.py", "engine/test_one_ledger.py")
PLAIN = """import pytest


@pytest.mark.parametrize("each", range(8))
def test_where(each):
    pass
"""
MARKED = PLAIN.replace("\n\n\n", '\n\npytestmark = pytest.mark.xdist_group("marked")\n\n\n')


def test_what_is_dear_is_marked() -> None:
    assert all(is_whole(f"tests/{name}") for name in WHOLE)
    assert not is_whole("tests/test_cli.py")


def test_a_marked_file_goes_to_one_worker(tmp_path: Path, repository: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    shutil.copy(repository / "tests" / "conftest.py", tests)
    (tests / "test_plain.py").write_text(PLAIN)
    (tests / "test_marked.py").write_text(MARKED)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:dash", "-p", "no:cacheprovider", "--numprocesses=2"]
    done = subprocess.run(command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    ran = re.findall(r"^\[(gw\d)\] .*PASSED tests/(\w+)\.py", done.stdout, re.MULTILINE)
    assert len(ran) == 16
    (one,) = {worker for worker, file in ran if file == "test_marked"}
    # Which worker is heard of first is up to the machine.
    assert next(file for worker, file in ran if worker == one) == "test_marked"
