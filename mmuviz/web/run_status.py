"""The status of a request, as the page shows it."""

from __future__ import annotations

from typing import Any, NamedTuple

from mmuviz.studies.estimate import RunCost
from mmuviz.studies.side_by_side import AT_ONCE
from mmuviz.web.run_states import Job, JobRun, JobState, Queue, Run

LEAST_S = 1e-3
"""Least weight of a run in the common share of several runs, s."""


class JobStatus(NamedTuple):
    """The status of a request.

    Attributes:
        state: state of all its runs together.
        place: position of its next run in the queue, counted from 1; 0 if one of its runs is in progress or over.
        share: share of the work that is done, 0 to 1.
        eta_s: estimated seconds until it is done.
        simulated_ns: the largest simulated time of its runs, ns.
        runs: label, short label, policy, digest, hash and url of each; the last two are None until it is done.
        message: reason of its failure or cancellation.
    """

    state: JobState
    place: int
    share: float
    eta_s: float
    simulated_ns: int
    runs: list[dict[str, Any]]
    message: str


def address_of(hash_: str) -> str:
    """Return the address of a Recording, for browsers."""
    return f"/api/recording/{hash_}.bin"


def _listed(each: JobRun, hash_: str | None) -> dict[str, Any]:
    address = address_of(hash_) if hash_ else None
    names = {"label": each.label, "short": each.short, "policy": each.policy}
    return {**names, "digest": each.digest, "hash": hash_ or None, "url": address}


def status_of_stored(job: Job, hashes: dict[str, str | None]) -> JobStatus:
    """Make the status of a job whose results are all stored.

    Args:
        job: the job.
        hashes: key of a run -> content hash of its Recording.
    """
    return JobStatus("done", 0, 1.0, 0.0, 0, [_listed(each, hashes[each.key]) for each in job.runs], "")


def status_of(queue: Queue, job: Job) -> JobStatus:
    """Make the status of a job.

    Args:
        queue: the queue with its runs.
        job: a job of the queue.
    """
    state = _state(queue, job)
    known = [] if state == "cancelled" else [each for each in job.runs if each.key in queue.runs]
    runs = [queue.runs[each.key] for each in known]
    hashes = {each.key: run.hash for each, run in zip(known, runs, strict=True)}
    weights = [max(each.seconds, LEAST_S) for each in runs]
    done = sum(each.share * weight for each, weight in zip(runs, weights, strict=True))
    ahead = _ahead(queue, runs) if state == "queued" else []
    return JobStatus(
        state,
        sum(each.state == "queued" for each in ahead) + 1 if state == "queued" else 0,
        round(done / sum(weights), 4) if weights else 0.0,
        round(_left_s(runs, ahead), 1) if state in ("queued", "running") else 0.0,
        max((each.simulated_ns for each in runs), default=0),
        [_listed(each, hashes.get(each.key)) for each in job.runs],
        job.cancelled or next((each.message for each in runs if each.message), ""),
    )


def _state(queue: Queue, job: Job) -> JobState:
    states = [queue.runs[each.key].state for each in job.runs if each.key in queue.runs]
    if job.cancelled or len(states) < len(job.runs):
        return "cancelled"
    if "failed" in states:
        return "failed"
    if all(each == "done" for each in states):
        return "done"
    return "running" if "running" in states else "queued"


def _ahead(queue: Queue, runs: list[Run]) -> list[Run]:
    """Return the runs in progress, and the queued ones before the first of `runs`."""
    first = min((each.order for each in runs if each.state == "queued"), default=0)
    return [*queue.running(), *(each for _, each in queue.waiting() if each.order < first)]


def _left_s(runs: list[Run], ahead: list[Run]) -> float:
    """Estimate the seconds until `runs` are over: at least the longest, at least all work divided by AT_ONCE."""
    left = [each.left_s for each in runs]
    return max([*left, sum(left + [each.left_s for each in ahead]) / AT_ONCE])


def together(costs: list[RunCost], at_once: int) -> RunCost:
    """Combine the estimates of runs of which `at_once` are concurrent.

    Args:
        costs: estimate of each run; may be empty.
        at_once: number of concurrent runs.
    """
    largest = sorted((each.memory_bytes for each in costs), reverse=True)[:at_once]
    seconds = [each.seconds for each in costs]
    return RunCost(
        sum(each.accesses for each in costs),
        sum(each.faults for each in costs),
        sum(largest),
        round(max([*seconds, sum(seconds) / at_once]), 3),
    )
