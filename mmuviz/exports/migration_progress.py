"""The guest's progress during a migration, phase by phase."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from mmuviz.recording.header import Migration
from mmuviz.recording.quantities import rate_text
from mmuviz.recording.recording import Recording

PHASES: Final = ("setup", "round", "downtime")
"""Phases of a migration in which the guest runs at the source."""
LEAST_ACCESSES: Final = 100
"""A phase in which a guest would make fewer accesses is too short to have a speed."""
PERCENT: Final = 100
PS_PER_S: Final = 10**12


def progress(recording: Recording, ended: Migration, without: Recording | None) -> Iterator[tuple[str, str]]:
    """Write the guest's speed in each phase, relative to the same guest without a migration or to its speed before.

    Args:
        recording: the Recording of the migration.
        ended: the outcome of the migration.
        without: the same guest without a migration, for as long or longer; None to compare with its speed before it.

    Yields:
        A name and a sentence; nothing if that speed is unknown.
    """
    full = rate_without(recording, without)
    if not full:
        return
    calls, kinds = recording.calls, recording.header.vocabularies.call_kinds
    inside = (calls.start_ps >= ended.start_ps) & (calls.end_ps > calls.start_ps)
    shares: dict[str, list[float]] = {}
    for row in np.flatnonzero(inside & np.isin(calls.kind, [kinds.index(each) for each in PHASES])).tolist():
        expected = int(calls.end_ps[row] - calls.start_ps[row]) * full / PS_PER_S
        if expected >= LEAST_ACCESSES:
            shares.setdefault(kinds[int(calls.kind[row])], []).append(int(calls.accesses[row]) / expected)
    parts = [f"{phase} {percent_text(shares[phase])}" for phase in PHASES if phase in shares]
    if not parts:
        return
    against = "before it" if without is None else "without a migration"
    yield "  guest progress", f"{', '.join(parts)} of the {rate_text(full)} {against}"


def rate_without(recording: Recording, without: Recording | None) -> float:
    """Return the guest's accesses per second without a migration in the run's time, or before it; 0 if unknown."""
    if without is not None:
        return accesses_until(without, recording.header.end_ps) * PS_PER_S / _lasted_ps(without, recording)
    calls, lead = recording.calls, recording.header.vocabularies.call_kinds.index("lead")
    rows = calls.kind == lead
    took_ps = int((calls.end_ps - calls.start_ps)[rows].sum())
    return int(calls.accesses[rows].sum()) * PS_PER_S / took_ps if took_ps else 0.0


def _lasted_ps(without: Recording, recording: Recording) -> int:
    """Return the time that two runs have in common, ps; 1 if one has none, in which nothing was accessed."""
    return max(min(without.header.end_ps, recording.header.end_ps), 1)


def accesses_until(recording: Recording, end_ps: int) -> float:
    """Count the guest's accesses up to a time; those of the bin that contains it count in proportion.

    Args:
        recording: the run.
        end_ps: the time, ps; the run's whole length counts at most.
    """
    if end_ps >= recording.header.end_ps:
        return float(recording.totals["accesses"])
    accesses, whole = recording.bins.accesses, end_ps // recording.header.bin_ps
    part = end_ps % recording.header.bin_ps / recording.header.bin_ps
    return float(accesses[:whole].sum()) + part * float(accesses[whole])


def percent_text(shares: list[float]) -> str:
    """Format the range of shares in percent, e.g. "81 to 97 %"."""
    low, high = (round(PERCENT * each) for each in (min(shares), max(shares)))
    return f"{low} %" if low == high else f"{low} to {high} %"
