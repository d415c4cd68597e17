"""How a request stands, as its page shows it."""

from __future__ import annotations

from typing import Any, NamedTuple

from mmuviz.studies.estimate import Cost
from mmuviz.studies.side_by_side import AT_ONCE
from mmuviz.web.run_states import Job, JobRun, JobState, Queue, Run

LEAST_S = 1e-3
"""A run that is estimated to take no time counts as much, in the share of several."""


class JobStatus(NamedTuple):
    """How a request stands.

    Attributes:
        state: of all its runs together.
        place: which of the waiting runs is its next one, counted from 1; 0 where one of its runs is under way or over.
        share: of the work that is done, 0 to 1.
        eta_s: seconds until it is done.
        simulated_ns: the clock of the run that is furthest.
        runs: label, policy, digest, hash and url of each; the last two are None until it is done.
        message: why it failed or was cancelled.
    """

    state: JobState
    place: int
    share: float
    eta_s: float
    simulated_ns: int
    runs: list[dict[str, Any]]
    message: str


def address_of(hash_: str) -> str:
    """Where a browser fetches a Recording."""
    return f"/api/recording/{hash_}.bin"


def _listed(each: JobRun, hash_: str | None) -> dict[str, Any]:
    address = address_of(hash_) if hash_ else None
    return {"label": each.label, "policy": each.policy, "digest": each.digest, "hash": hash_ or None, "url": address}


def status_of_stored(job: Job, hashes: dict[str, str | None]) -> JobStatus:
    """How a job stands whose results were all there.

    Args:
        job: what was asked for.
        hashes: key of a run -> content hash of its Recording.
    """
    return JobStatus("done", 0, 1.0, 0.0, 0, [_listed(each, hashes[each.key]) for each in job.runs], "")


def status_of(queue: Queue, job: Job) -> JobStatus:
    """How a job stands.

    Args:
        queue: in which its runs are.
        job: one of the queue.
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
    """Runs that begin before the first of these does, and those under way."""
    first = min((each.order for each in runs if each.state == "queued"), default=0)
    return [*queue.running(), *(each for _, each in queue.waiting() if each.order < first)]


def _left_s(runs: list[Run], ahead: list[Run]) -> float:
    """Seconds until all these are over: not before the longest, and those ahead share the same places."""
    left = [each.left_s for each in runs]
    return max([*left, sum(left + [each.left_s for each in ahead]) / AT_ONCE])


def together(costs: list[Cost], at_once: int) -> Cost:
    """What several runs take side by side.

    Args:
        costs: of each; none is nothing.
        at_once: how many at the same time.
    """
    largest = sorted((each.memory_bytes for each in costs), reverse=True)[:at_once]
    seconds = [each.seconds for each in costs]
    return Cost(
        sum(each.accesses for each in costs),
        sum(each.faults for each in costs),
        sum(largest),
        round(max([*seconds, sum(seconds) / at_once]), 3),
    )
