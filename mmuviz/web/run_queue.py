"""The queue of visitors' runs, shared by all worker processes: a limited number execute, the others wait.

No process is the master. A process that receives a request takes the next run of the shared queue while fewer than
Limits.at_once are running in all processes, and continues until the queue is empty. A run is computed once, for any
number of requests. It is aborted when its last request is cancelled: the engine reports progress several times a
second, and that call may abort it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from threading import Condition, Thread
from typing import Final, NamedTuple

import orjson

from mmuviz.core.errors import InputError, MmuvizError
from mmuviz.engine.choices.scenario import Focus, Scenario
from mmuviz.engine.run import run as run_scenario
from mmuviz.recording.recording import Recording
from mmuviz.studies.estimate import RunCost, share_done
from mmuviz.studies.requests import Request, costs_of
from mmuviz.studies.side_by_side import AbandonedError
from mmuviz.web.result_store import ResultStore, key_of, program_stamp
from mmuviz.web.run_limits import Limits, limits_of_settings, store_of_settings
from mmuviz.web.run_states import REQUEST_SUFFIX, Job, JobRun, Queue, Run, RunState, SharedQueue
from mmuviz.web.run_status import JobStatus, status_of, status_of_stored, together

BETWEEN_S: Final = 0.2
"""Interval at which a run reports its progress and checks whether a job still waits for it, s."""
LOOK_S: Final = 0.02
"""Interval at which ask() checks for a result while it waits, s."""
FAILED: Final = "the server failed on this run; the reason is in its log"
_LOG: Final = logging.getLogger(__name__)

Engine = Callable[..., Recording]


class QueueFullError(MmuvizError):
    """The limit of waiting jobs is reached."""


class Answer(NamedTuple):
    """Answer to a request.

    Attributes:
        job: id of the job.
        status: status of the job.
        estimate: estimate for the runs that are left, two of them concurrent.
    """

    job: str
    status: JobStatus
    estimate: RunCost


class RunQueue:
    """A process's access to the queue of runs; any number of processes may have one on the same folder."""

    def __init__(
        self, store: ResultStore | None = None, limits: Limits | None = None, engine: Engine = run_scenario
    ) -> None:
        """Start no thread: the process that makes the app may not be the one that serves it.

        Args:
            store: the store of results; None for the one that the environment names.
            limits: limits; None for those of the environment.
            engine: function that makes the Recordings, like mmuviz.engine.run.run().

        Raises:
            InputError: a setting is invalid, or the folder cannot be written to.
        """
        self.store = store_of_settings() if store is None else store
        self.limits = limits_of_settings() if limits is None else limits
        self._engine = engine
        # Another version of the program makes other Recordings, so it has another queue.
        self._shared = SharedQueue(self.store.folder / f"queue-{program_stamp()}")
        self._changed = Condition()

    # Called by request handlers

    def ask(self, request: Request) -> Answer:
        """Accept a request, and wait up to Limits.answer_s for its results.

        Args:
            request: the request.

        Returns:
            Its status, with every result that is already available.

        Raises:
            RequestError: a run is over a limit.
            QueueFullError: too many jobs wait.
            OSError: the folder cannot be written to.
        """
        costs = costs_of(request, most_seconds=self.limits.seconds, most_bytes=self.limits.memory_bytes)
        keys = [key_of(each, request.focus) for each in request.scenarios]
        stored = {key: self.store.get(key) for key in keys}
        name = secrets.token_hex(16)
        digests = [each.digest() for each in request.scenarios]
        listed = zip(keys, request.labels, request.short, request.policies, digests, strict=True)
        job = Job([JobRun(*each) for each in listed], time.time())
        left = [cost for key, cost in zip(keys, costs, strict=True) if stored[key] is None]
        estimate = together(left, self.limits.at_once)
        if not left:
            return Answer(name, status_of_stored(job, stored), estimate)
        self._write_request(name, keys, request)
        with self._shared.change() as queue:
            self._tidy(queue)
            if sum(not each.cancelled and not queue.is_over(each) for each in queue.jobs.values()) >= self.limits.jobs:
                self._forget([name])
                raise QueueFullError(f"{self.limits.jobs} requests wait already; ask again in a minute")
            queue.jobs[name] = job
            for key, cost in zip(keys, costs, strict=True):
                _enqueue(queue, key, cost, stored[key])
        status = self._wait(name, self.limits.answer_s if estimate.seconds < 2 * self.limits.answer_s else 0.0)
        if status.state == "done":  # the client never learns its id
            with self._shared.change() as queue:
                queue.jobs.pop(name, None)
                self._tidy(queue)
            self._forget([name])
        return Answer(name, status, estimate)

    def status(self, name: str) -> JobStatus | None:
        """Return the status of a job; a job that is not queried is cancelled.

        Args:
            name: its id; any text is accepted.

        Returns:
            Its status; None if there is no such job.

        Raises:
            OSError: the folder cannot be written to.
        """
        with self._shared.change() as queue:
            self._tidy(queue)
            job = queue.jobs.get(name)
            if job is None:
                return None
            if not job.cancelled:
                self._revive(queue, job)
                # Rounded to seconds, so that not every query writes the file.
                job.asked_s = max(job.asked_s, math.floor(time.time()))
            found = status_of(queue, job)
            may_start = self._next(queue) is not None
        if may_start:
            self._start()
        return found

    def cancel(self, name: str) -> JobStatus | None:
        """Cancel a job, and abort its runs that no other job waits for.

        Args:
            name: its id; any text is accepted.

        Returns:
            Its status; None if there is no such job.

        Raises:
            OSError: the folder cannot be written to.
        """
        with self._shared.change() as queue:
            job = queue.jobs.get(name)
            if job is not None and not job.cancelled and not queue.is_over(job):
                job.cancelled = "as asked"
            self._tidy(queue)
            return None if job is None else status_of(queue, job)

    def _wait(self, name: str, seconds: float) -> JobStatus:
        until = time.monotonic() + seconds
        while True:
            status = self.status(name)
            left = until - time.monotonic()
            if status is None:  # its file is missing only if somebody emptied the folder
                raise OSError("the queue's folder was emptied")
            if status.state not in ("queued", "running") or left <= 0:
                return status
            with self._changed:
                self._changed.wait(min(LOOK_S, left))

    # Requests are in files of their own, so that the queue's file stays small

    def _request_path(self, name: str) -> Path:
        return self._shared.folder / f"{name}{REQUEST_SUFFIX}"

    def _write_request(self, name: str, keys: list[str], request: Request) -> None:
        focus = None if request.focus is None else request.focus.model_dump(mode="json")
        documents = {key: each.as_document() for key, each in zip(keys, request.scenarios, strict=True)}
        self._request_path(name).write_bytes(orjson.dumps({"scenarios": documents, "focus": focus}))

    def _read_request(self, queue: Queue, key: str) -> tuple[Scenario, Focus | None]:
        """Return Scenario and Focus of a run, from the request of any job that waits for it.

        Raises:
            InputError: none can be read.
        """
        for name, job in queue.jobs.items():
            if any(each.key == key for each in job.runs):
                with contextlib.suppress(OSError, ValueError, KeyError):
                    found = orjson.loads(self._request_path(name).read_bytes())
                    focus = None if found["focus"] is None else Focus.model_validate(found["focus"])
                    return Scenario.model_validate(found["scenarios"][key]), focus
        raise InputError("the server lost what was asked for; ask again")

    def _forget(self, names: list[str]) -> None:
        for name in names:
            self._request_path(name).unlink(missing_ok=True)

    def _tidy(self, queue: Queue) -> None:
        self._forget(queue.tidy(time.time()))

    def _revive(self, queue: Queue, job: Job) -> None:
        """Queue runs of a job again whose results have been deleted meanwhile."""
        for each in job.runs:
            run = queue.runs.get(each.key)
            if run is not None and run.state == "done" and not self.store.has(each.key, run.hash):
                run.state, run.hash, run.share, run.order = "queued", "", 0.0, queue.order
                queue.order += 1

    # Executing runs

    def _next(self, queue: Queue) -> str | None:
        """Return the run that may begin now: only the first in the queue, or a large run would never begin."""
        waiting, running = queue.waiting(), queue.running()
        if not waiting or len(running) >= self.limits.at_once:
            return None
        key, run = waiting[0]
        together = run.memory_bytes + sum(each.memory_bytes for each in running)
        return key if not running or together <= self.limits.memory_bytes else None

    def _start(self) -> None:
        Thread(target=self._work, name="run", daemon=True).start()

    def _work(self) -> None:
        """Execute waiting runs until none may begin; the processes of the runs in progress take the rest later."""
        try:
            while (taken := self._take()) is not None:
                try:
                    self._run(taken[0])
                finally:
                    self._shared.end(taken[1])
        except OSError:
            _LOG.exception("the queue cannot be changed")

    def _take(self) -> tuple[str, str] | None:
        """Begin the next run; return its key and its owner."""
        with self._shared.change() as queue:
            self._tidy(queue)
            key = self._next(queue)
            if key is None:
                return None
            run = queue.runs[key]
            run.state, run.owner, run.began_s = "running", self._shared.begin(queue), time.time()
            owner, another = run.owner, self._next(queue) is not None
        if another:
            self._start()
        return key, owner

    def _run(self, key: str) -> None:
        """Execute one run, and store its Recording or its failure."""
        hash_, message = "", ""
        try:
            hash_ = self.store.get(key) or self._make(key)
        except AbandonedError:
            pass
        except MmuvizError as error:
            message = str(error)
        except Exception:  # noqa: BLE001 - in any case the slot must be freed, and clients must be informed
            _LOG.exception("the run %s failed", key)
            message = FAILED
        with self._shared.change() as queue:
            run = queue.runs.get(key)
            if run is not None:
                run.state = "done" if hash_ else "failed" if message else "queued"
                run.hash, run.message, run.owner, run.share = hash_, message, "", float(bool(hash_))
            self._tidy(queue)  # an aborted run is removed, unless it was requested again since
        with self._changed:
            self._changed.notify_all()

    def _make(self, key: str) -> str:
        with self._shared.change() as queue:
            scenario, focus = self._read_request(queue, key)
            cost = queue.runs[key]
        reported_s = time.monotonic()

        def report_progress(time_ns: int, accesses: int) -> None:
            nonlocal reported_s
            if time.monotonic() - reported_s < BETWEEN_S:
                return
            reported_s = time.monotonic()
            with self._shared.change() as queue:
                self._tidy(queue)
                run = queue.runs.get(key)
                if run is None or not queue.is_wanted(key):
                    raise AbandonedError
                run.share, run.simulated_ns = share_done(cost, time_ns, accesses), time_ns

        recording = self._engine(scenario, focus, progress=report_progress)
        try:
            return self.store.put(key, recording)
        except InputError as error:  # the message names the results' folder, which visitors must not see
            raise OSError(str(error)) from error


def _enqueue(queue: Queue, key: str, cost: RunCost, stored: str | None) -> None:
    """Add a run to the queue unless it is there; a failed one is queued again."""
    run = queue.runs.get(key)
    if stored is None and run is not None and run.state in ("queued", "running"):
        return
    state: RunState = "queued" if stored is None else "done"
    queue.runs[key] = Run(
        state, queue.order, cost.seconds, cost.memory_bytes, cost.accesses, cost.end_ns, hash=stored or ""
    )
    queue.order += 1
