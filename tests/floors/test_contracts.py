"""The import contracts, tried on small packages that break them: a contract that cannot fail holds nothing."""

import subprocess
import sysconfig
from pathlib import Path

import pytest

UPPER = ["__main__", "cli", "web", "components", "figures", "exports", "studies"]
LOWER = ["engine", "mmu", "workloads", "costs", "recording", "core"]
# The contracts speak of packages that somebody must import.
SERVING = "import dash, flask, flask_compress, gunicorn"

FLOORS = "A module imports only from floors below its own BROKEN"
DRAWING = "Only the upper floors draw and serve BROKEN"
VIEW = "The view knows recordings, never the machine BROKEN"


def lint(root: Path, repository: Path, imports: dict[str, str]) -> str:
    package = root / "mmuviz"
    for room in [*UPPER, *LOWER, *imports]:
        (package / room).mkdir(parents=True, exist_ok=True)
        (package / room / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "web" / "server.py").write_text(f"{SERVING}\n")
    for room, line in imports.items():
        (package / room / "__init__.py").write_text(f"{line}\n")
    (root / "pyproject.toml").write_text((repository / "pyproject.toml").read_text())
    command = Path(sysconfig.get_path("scripts")) / "lint-imports"
    done = subprocess.run([command, "--no-logo", "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == ("0 broken" in done.stdout), done.stdout + done.stderr
    return done.stdout


def test_the_design_s_own_imports_are_kept(tmp_path: Path, repository: Path) -> None:
    lines = {
        "__main__": "import mmuviz.cli",
        "cli": "import mmuviz.web, mmuviz.mmu",
        "web": "import flask, mmuviz.components",
        "components": "import dash, mmuviz.figures",
        "figures": "import mmuviz.recording",
        "engine": "import mmuviz.workloads, mmuviz.costs, mmuviz.recording",
        "mmu": "import mmuviz.core",
    }
    assert "0 broken" in lint(tmp_path, repository, lines)


@pytest.mark.parametrize(
    ("room", "line", "broken"),
    [
        ("core", "import mmuviz.mmu", FLOORS),
        ("mmu", "import mmuviz.engine", FLOORS),
        ("mmu", "import mmuviz.recording", FLOORS),
        ("recording", "import mmuviz.mmu", FLOORS),
        ("figures", "import mmuviz.exports", FLOORS),
        ("components", "import mmuviz.web", FLOORS),
        ("web", "import mmuviz.cli", FLOORS),
        ("attic", "", FLOORS),
        ("mmu", "import dash", DRAWING),
        ("engine", "from flask import Flask", DRAWING),
        ("components", "import mmuviz.mmu", VIEW),
        ("figures", "import mmuviz.mmu", VIEW),
    ],
)
def test_a_breach_is_found(tmp_path: Path, repository: Path, room: str, line: str, broken: str) -> None:
    assert broken in lint(tmp_path, repository, {room: line})
