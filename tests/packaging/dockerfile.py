"""Builds and starts a Dockerfile without a container engine: its lines run as a script in an empty folder.

What stands in for the image: the folder is its root, with the working directory inside it; a virtual environment is
the base image's Python; `useradd` is a stand-in that makes the home folder. As root, and where another user can run a
Python at all, lines after USER run under the user id that `useradd` was given, so that what the user may not read or
write is found out.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.packaging.conftest import run
from tests.served import Served, clean_environment, serve

# It answers `useradd --create-home --uid N NAME` for the image's root, and leaves this machine's users alone.
USERADD = """#!/bin/sh
set -eu
while [ $# -gt 1 ]; do
    case $1 in --uid) uid=$2; shift ;; esac
    shift
done
mkdir -p "$IMAGE/home/$1"
echo "$uid" > "$IMAGE/home/$1/.uid"
[ "$(id -u)" -ne 0 ] || chown -R "$uid" "$IMAGE/home/$1"
"""


def instructions(text: str) -> list[tuple[str, str]]:
    """Split a Dockerfile into instructions and their arguments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    pairs = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name.upper(), rest.strip()) for name, _, rest in pairs]


@dataclass
class Image:
    """An image being built in a folder."""

    context: Path
    root: Path
    environment: dict[str, str]
    can_become_user: bool
    workdir: Path = Path("/")
    user: int | None = None
    user_name: str = "root"
    exposed: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def inside(self, path: str) -> Path:
        """Return the path on this machine of a path in the image."""
        return self.root / (self.workdir / path).relative_to("/")

    def apply(self, name: str, rest: str) -> None:
        """Carry out one instruction; one that this class does not know is an error."""
        match name:
            case "FROM":
                assert re.fullmatch(r"python:3\.1[123]-slim", rest), rest
            case "ENV":
                self._set(shlex.split(rest))
            case "WORKDIR":
                self.workdir /= rest
                self.inside(".").mkdir(parents=True)
            case "COPY":
                self._copy(*shlex.split(rest))
            case "RUN":
                run(["sh", "-euc", rest], cwd=self.inside("."), environment=self.surroundings(), user=self.user)
            case "USER":
                self._become(rest)
            case "EXPOSE":
                self.exposed = rest.split()
            case "CMD":
                self.command = [part.strip('"') for part in re.findall(r'"[^"]*"', rest)]
            case _:
                raise AssertionError(f"{name} {rest}: teach this class what it does")

    def _set(self, assignments: list[str]) -> None:
        for variable, _, value in (each.partition("=") for each in assignments):
            self.environment[variable] = value

    def _copy(self, *sources_and_target: str) -> None:
        *sources, target = sources_and_target
        for origin in (self.context / source for source in sources):
            if origin.is_dir():
                shutil.copytree(origin, self.inside(target), ignore=shutil.ignore_patterns("__pycache__"))
            else:
                self.inside(target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(origin, self.inside(target))

    def _become(self, name: str) -> None:
        home = self.root / "home" / name
        uid = int((home / ".uid").read_text())
        self.user_name = name
        self.environment["HOME"] = str(home)
        self.user = uid if self.can_become_user else None

    def surroundings(self) -> dict[str, str]:
        """The environment of a process in the image."""
        # An image knows nothing of where this machine keeps compiled code, or for which CPU.
        outside = {
            name: value
            for name, value in clean_environment().items()
            if not name.startswith(("MMUVIZ_", "NUMBA_", "XDG_"))
        }
        # The build's downloads are the tests' to keep: PIP_NO_CACHE_DIR makes images small, and tests slow.
        kept = {name: value for name, value in self.environment.items() if name != "PIP_NO_CACHE_DIR"}
        # So do the thousands of modules whose bytecode pip would write, and which nothing here imports.
        return outside | kept | {"IMAGE": str(self.root), "PIP_NO_COMPILE": "1"}


@contextmanager
def build(context: Path) -> Iterator[Image]:
    """Build the context's Dockerfile in a new folder, which is removed afterwards."""
    # Not below pytest's folder, which other users may not enter.
    root = Path(tempfile.mkdtemp(prefix="mmuviz-image-"))
    try:
        root.chmod(0o755)
        python = root / "usr" / "local"
        base, can_become_user = base_python()
        run([base, "-m", "venv", str(python)], cwd=root, environment=clean_environment())
        (root / "sbin").mkdir()
        useradd = root / "sbin" / "useradd"
        useradd.write_text(USERADD)
        useradd.chmod(0o755)
        path = f"{root / 'sbin'}:{python / 'bin'}:/usr/bin:/bin"
        image = Image(context, root, {"PATH": path}, can_become_user)
        for name, rest in instructions((context / "Dockerfile").read_text()):
            image.apply(name, rest)
        yield image
    finally:
        shutil.rmtree(root)


def base_python() -> tuple[str, bool]:
    """A Python for the image, and whether another user may run it: one in somebody's home is out of reach."""
    accepted = "import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))"
    this = os.path.realpath(sys.executable)
    for python in (this, "/usr/bin/python3"):
        if os.geteuid() != 0 or not Path(python).exists():
            continue
        try:
            done = subprocess.run([python, "-c", accepted], user=65534, cwd="/", capture_output=True, check=False)
        except PermissionError:
            continue
        if done.returncode == 0:
            return python, True
    return this, False


@contextmanager
def start(image: Image) -> Iterator[Served]:
    """Start the image's command, on a free port in place of the exposed one."""
    environment = image.surroundings() | {"PORT": "0"}
    with serve(image.command, cwd=image.inside("."), environment=environment, user=image.user) as served:
        yield served
