"""Advice for a migration as a JSON object: the candidates with their numbers, the best of them, and what would help."""

from __future__ import annotations

from typing import Any

from mmuviz.exports.advice_text import Advice, best_of, lost_text, price_text, took
from mmuviz.exports.migration_text import verdict
from mmuviz.recording.recording import Recording
from mmuviz.studies.advice import Candidate
from mmuviz.studies.convergence import converges, lost_pages
from mmuviz.studies.remedies import Remedy


def advice_document(advice: Advice) -> dict[str, Any]:
    """Make the advice as a JSON object.

    Args:
        advice: all that is known.

    Returns:
        `candidates`, `best` (indices in candidates), `lost` (which candidates lose pages, and why), `not_run`,
        `refused`, `remedies`, `not_known` (kinds of change) and `notes`; times in ns, memory in bytes.
    """
    return {
        "candidates": [
            {
                **_named(candidate),
                "converges": converges(recording),
                **took(recording),
                **_run(recording),
            }
            for candidate, recording in advice.tried
        ],
        "best": best_of(advice.tried),
        "lost": lost_text(advice),
        "not_run": [{**_named(each.candidate), "why": each.why} for each in advice.not_run],
        "refused": [each._asdict() for each in advice.refused],
        "remedies": [
            {
                "name": each.name,
                "change": each.change,
                "works": each.works,
                "why": each.why,
                **_price(each),
                **({} if each.recording is None else {**took(each.recording), **_run(each.recording)}),
            }
            for each in advice.remedies
        ],
        "not_known": advice.open_kinds,
        "notes": advice.notes,
    }


def _named(candidate: Candidate) -> dict[str, Any]:
    return {"policy": candidate.policy, "chunk_bytes": candidate.chunk_bytes, "own": candidate.own}


def _price(remedy: Remedy) -> dict[str, str]:
    if remedy.recording is None or not remedy.works:
        return {}
    return {"price": price_text(remedy.name, remedy.recording)}


def _run(recording: Recording) -> dict[str, Any]:
    ended = recording.header.migration
    return {
        "verdict": "" if ended is None else verdict(recording, ended),
        "lost_pages": lost_pages(recording),
        "extrapolated": recording.header.host.extrapolated,
        "hash": recording.hash,
        "scenario": recording.header.document()["scenario"],
        "totals": recording.totals,
    }
