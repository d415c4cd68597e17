"""State of runs and of jobs that wait for them, shared by all worker processes: one JSON file with a lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple

import orjson

UNASKED_S: Final = 30.0
"""Time without a query after which a job is cancelled, s: its browser tab was probably closed."""
FORGOTTEN_S: Final = 600.0
"""Time after the last query after which a job is deleted, s."""
STATE_FILE: Final = "state.json"
LOCK_FILE: Final = "state.lock"
REQUEST_SUFFIX: Final = ".request"
MOST_OVER: Final = 200
"""Most jobs that are over and not yet deleted."""
MOST_DEATHS: Final = 2
"""A run during which this many processes died is not executed again: it may have killed them."""
DIED: Final = "the server was stopped during this run, more than once; it may need more memory than there is"

RunState = Literal["queued", "running", "done", "failed"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass
class Run:
    """A run of a Scenario, for any number of jobs.

    Attributes:
        state: its state.
        order: its place in the order of the requests.
        seconds, memory_bytes, accesses, end_ns: its estimate; see RunCost.
        owner: the process that runs it, and the number of the run in that process.
        began_s: time.time() at its begin.
        share: share that is done, 0 to 1.
        simulated_ns: simulated time so far, ns.
        message: reason of its failure.
        hash: hash of its Recording.
        deaths: number of processes that died while they ran it.
    """

    state: RunState
    order: int
    seconds: float
    memory_bytes: int
    accesses: int
    end_ns: int
    owner: str = ""
    began_s: float = 0.0
    share: float = 0.0
    simulated_ns: int = 0
    message: str = ""
    hash: str = ""
    deaths: int = 0

    @property
    def left_s(self) -> float:
        """Estimated time left, s: from its time so far, or from its estimate while its share is still too small."""
        if self.state in ("done", "failed"):
            return 0.0
        if self.state == "running" and self.share > 0.02:
            return (time.time() - self.began_s) * (1 - self.share) / self.share
        return self.seconds


class JobRun(NamedTuple):
    """One run of a job.

    Attributes:
        key: key of the run.
        label: its label among the runs of the job.
        short: a short form of the label.
        policy: its policy.
        digest: digest of its Scenario.
    """

    key: str
    label: str
    short: str
    policy: str
    digest: str


@dataclass
class Job:
    """A request that a client waits for.

    Attributes:
        runs: the runs of the request, in order.
        asked_s: time of the last query.
        cancelled: reason of its cancellation; empty if it is not cancelled.
    """

    runs: list[JobRun]
    asked_s: float
    cancelled: str = ""


@dataclass
class Queue:
    """All runs and jobs.

    Attributes:
        runs: runs by key.
        jobs: jobs by id.
        order: `order` of the next run that is added.
    """

    runs: dict[str, Run] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    order: int = 0

    def waiting(self) -> list[tuple[str, Run]]:
        """Runs that have not begun, in the order in which they will begin."""
        return sorted(((key, run) for key, run in self.runs.items() if run.state == "queued"), key=lambda x: x[1].order)

    def running(self) -> list[Run]:
        """Runs in progress."""
        return [run for run in self.runs.values() if run.state == "running"]

    def is_wanted(self, key: str) -> bool:
        """Whether a job waits for a run."""
        return any(not job.cancelled and any(each.key == key for each in job.runs) for job in self.jobs.values())

    def is_over(self, job: Job) -> bool:
        """Whether a job has no run left to do."""
        states = [self.runs[each.key].state for each in job.runs if each.key in self.runs]
        return "failed" in states or states == ["done"] * len(job.runs)

    def tidy(self, now_s: float) -> list[str]:
        """Cancel jobs without queries, delete old jobs, and remove runs that no job waits for.

        Args:
            now_s: time.time().

        Returns:
            Ids of the deleted jobs.
        """
        for job in self.jobs.values():
            if not job.cancelled and now_s - job.asked_s > UNASKED_S and not self.is_over(job):
                job.cancelled = f"nobody asked about it for {UNASKED_S:.0f} s"
        over = [name for name, job in self.jobs.items() if job.cancelled or self.is_over(job)]
        over.sort(key=lambda name: self.jobs[name].asked_s, reverse=True)
        gone = [
            name for at, name in enumerate(over) if at >= MOST_OVER or now_s - self.jobs[name].asked_s > FORGOTTEN_S
        ]
        for name in gone:
            del self.jobs[name]
        # A run in progress aborts itself when it finds that no job waits for it.
        for key in [key for key, run in self.runs.items() if run.state != "running" and not self.is_wanted(key)]:
            del self.runs[key]
        return gone


def queue_of(data: bytes) -> Queue:
    """Parse a queue; one that cannot be parsed counts as empty, since clients will ask again."""
    try:
        found = orjson.loads(data)
        jobs = {
            name: Job([JobRun(*each) for each in job["runs"]], job["asked_s"], job["cancelled"])
            for name, job in found["jobs"].items()
        }
        return Queue({key: Run(**run) for key, run in found["runs"].items()}, jobs, int(found["order"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Queue()


class SharedQueue:
    """The queue in a folder, shared by all processes that use the folder.

    Attributes:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder, and change nothing in it: this process may not be the one that serves.

        Args:
            folder: the folder; it is made if it does not exist.
        """
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._pid = 0
        self._name = ""
        self._held = -1
        self._begun = 0
        self._under_way: set[str] = set()

    @contextlib.contextmanager
    def change(self) -> Iterator[Queue]:
        """Lock the queue against other threads and processes, yield it, and save its changes.

        Raises:
            OSError: the folder cannot be written to.
        """
        lock = os.open(self.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self.folder / STATE_FILE
            before = path.read_bytes() if path.exists() else b""
            queue = queue_of(before)
            self._drop_dead(queue)
            yield queue
            after = orjson.dumps(asdict(queue), default=tuple)
            if after != before:
                self._write(path, after)
        finally:
            os.close(lock)

    def begin(self, queue: Queue) -> str:
        """Name the run that this process begins; the process holds a file lock as long as it lives.

        Args:
            queue: the queue, inside change() only.

        Returns:
            The owner of the run, until end().
        """
        if self._pid != os.getpid():  # a forked process needs its own name
            self._sweep(queue)
            if self._held >= 0:
                os.close(self._held)  # inherited; the parent process keeps its own lock
            self._name, self._pid, self._under_way = secrets.token_hex(8), os.getpid(), set()
            self._held = os.open(self._lock_of(self._name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._begun += 1
        owner = f"{self._name}.{self._begun}"
        self._under_way.add(owner)
        return owner

    def end(self, owner: str) -> None:
        """Mark a run as ended in this process; if the queue was not updated, another process starts the run again."""
        self._under_way.discard(owner)

    def _sweep(self, queue: Queue) -> None:
        """Delete files of dead processes."""
        for path in self.folder.glob("*.alive"):
            self._is_alive(path.stem)
        for path in self.folder.glob(f"*{REQUEST_SUFFIX}"):
            with contextlib.suppress(OSError):
                if path.stem not in queue.jobs and path.stat().st_mtime < time.time() - FORGOTTEN_S:
                    path.unlink()

    def _lock_of(self, process: str) -> Path:
        return self.folder / f"{process}.alive"

    def _goes_on(self, owner: str) -> bool:
        """Whether a run is still in progress."""
        process = owner.partition(".")[0]
        is_here = process == self._name and self._pid == os.getpid()
        return owner in self._under_way if is_here else self._is_alive(process)

    def _is_alive(self, process: str) -> bool:
        """Whether another process is alive, i.e. holds its file lock."""
        try:
            lock = os.open(self._lock_of(process), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(lock)
        self._lock_of(process).unlink(missing_ok=True)
        return False

    def _drop_dead(self, queue: Queue) -> None:
        """Queue the runs of dead processes again, at their old places."""
        dead = {run.owner for run in queue.running() if not self._goes_on(run.owner)}
        for run in queue.running():
            if run.owner in dead:
                run.deaths += 1
                again = run.deaths < MOST_DEATHS
                run.state, run.message = ("queued", "") if again else ("failed", DIED)
                run.owner, run.share, run.simulated_ns = "", 0.0, 0

    def _write(self, path: Path, data: bytes) -> None:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=self.folder)
        beside = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
