"""Starts MMUViz as a process of its own, as people do, and speaks HTTP to it."""

import http.client
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

READY = "MMUViz is ready: "


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True)
class Served:
    url: str
    process: subprocess.Popen[str]
    command: Path

    def get(self, path: str, *, host: str | None = None) -> Answer:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(host or address.hostname or "", address.port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())
        finally:
            connection.close()


def clean_environment(**changes: str) -> dict[str, str]:
    """The process's environment without what steers make, the server or Python's search path."""
    steering = {"HOST", "PORT", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHONPATH", "PYTHON", "VENV", "VIRTUAL_ENV"}
    kept = {name: value for name, value in os.environ.items() if name not in steering}
    return kept | changes


@contextmanager
def serve(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    user: int | None = None,
    timeout_s: float = 60,
) -> Iterator[Served]:
    """Run the command until the block ends, and hand over the address that it printed."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(environment),
            user=user,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        try:
            yield Served(_ready_url(process, errors, timeout_s), process, Path(command[0]))
        finally:
            stop(process)


def stop(process: subprocess.Popen[str], number: int = signal.SIGINT) -> int:
    """Send the signal to the whole process group, as Ctrl-C does, and return the exit status."""
    if process.poll() is None:
        os.killpg(process.pid, number)
    try:
        status = process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
    if process.stdout:
        process.stdout.close()
    return status


def _ready_url(process: subprocess.Popen[str], errors: IO[str], timeout_s: float) -> str:
    assert process.stdout is not None
    lines: queue.Queue[str] = queue.Queue()
    # A thread, since a pipe has no time limit of its own.
    threading.Thread(target=lambda out: lines.put(out.readline()), args=(process.stdout,), daemon=True).start()
    try:
        line = lines.get(timeout=timeout_s)
    except queue.Empty:
        line = ""
    if not line.startswith(READY):
        errors.seek(0)
        raise AssertionError(f"not ready within {timeout_s} s; it printed {line!r} and {errors.read()!r}")
    return line.removeprefix(READY).split()[0]
