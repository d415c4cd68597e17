"""The answer to an operator's question in one sentence: whether a migration converges, its time and its downtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mmuviz.engine.choices.units import rate_text
from mmuviz.exports.migration_text import COMPLETED, migration_lines, verdict
from mmuviz.exports.setup_text import number
from mmuviz.recording.header import Migration
from mmuviz.recording.quantities import bytes_text, time_text
from mmuviz.recording.recording import Recording
from mmuviz.studies.convergence import converges, lost_pages

WHOLE: Final = 100
NS_PER_S: Final = 10**9


def migration_answer(recording: Recording, uncertainty: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Make the answer for one migration.

    Args:
        recording: the Recording of the migration.
        uncertainty: uncertainty of times by host profile, from the evidence: `percent`, number of `values`, `host`.

    Returns:
        A JSON object: `sentence`, and `lines`, pairs of a name and a text; both empty if the run migrates nothing.
    """
    ended = recording.header.migration
    if ended is None:
        return {"sentence": "", "lines": []}
    lines = [[name.strip(), text] for name, text in migration_lines(recording)]
    return {"sentence": f"{_outcome(recording, ended, uncertainty)}. {_basis(recording, uncertainty)}", "lines": lines}


def _outcome(recording: Recording, ended: Migration, uncertainty: Mapping[str, Mapping[str, Any]]) -> str:
    """Write whether the migration converges, its time and its downtime; times with their ranges."""
    took, scenario = recording.totals["migration"], recording.header.document()["scenario"]
    percent = _percent(recording, uncertainty)
    memory_bytes = sum(slot["size"] for slot in scenario["memory"])
    vcpus, link = scenario["vm"]["vcpus"], rate_text(scenario["driver"]["link"])
    who = f"{_plain(bytes_text(memory_bytes))} with {number(vcpus, 'vCPU')} over {link}"
    total, downtime = (_with_range(took[name], percent) for name in ("total_ns", "downtime_ns"))
    if ended.outcome != COMPLETED:
        return f"{who}: {verdict(recording, ended)}{_one_pass(recording, memory_bytes)}"
    if ended.switch_ps is not None:
        left = bytes_text(took["postcopy"]["left_bytes"])
        return (
            f"{who}: goes over to post-copy with {left} left, after {total}, of which the guest stands still {downtime}"
        )
    if not converges(recording):
        took_text = f"in all {total}, downtime {downtime}{_lost(recording)}"
        return f"{who}: does not converge, but {verdict(recording, ended)}; {took_text}"
    return f"{who}: converges in {total}, with a downtime of {downtime}{_lost(recording)}"


def _lost(recording: Recording) -> str:
    """Write that what arrives is another guest; the line on lost pages says why."""
    lost = lost_pages(recording)
    return f", but {number(lost, 'page')} would be lost: stale at the destination" if lost else ""


def _one_pass(recording: Recording, memory_bytes: int) -> str:
    """Write the reason of a migration that was given up in its first pass: the link is too slow for one pass."""
    if recording.totals["migration"]["rounds"] > 1:
        return ""
    link = recording.header.document()["scenario"]["driver"]["link"]
    return f"; to send all of it once takes {time_text(memory_bytes * NS_PER_S // link)} at least"


def _plain(text: str) -> str:
    """Remove zeros at the end of a size's decimals: "384.0 GiB" becomes "384 GiB"."""
    value, _, unit = text.partition(" ")
    return f"{value.rstrip('0').rstrip('.') if '.' in value else value} {unit}"


def _percent(recording: Recording, uncertainty: Mapping[str, Mapping[str, Any]]) -> int | None:
    """Return the uncertainty of times in percent; None if it is unknown."""
    known = uncertainty.get(recording.header.host.profile)
    changed = recording.header.document()["scenario"].get("host", {}).get("overrides")
    return None if known is None or changed else int(known["percent"])


def _with_range(time_ns: int, percent: int | None) -> str:
    if percent is None or time_ns == 0:
        return time_text(time_ns)
    low, high = (time_ns * (WHOLE + sign * percent) // WHOLE for sign in (-1, 1))
    return f"{time_text(time_ns)} ({time_text(low)} to {time_text(high)})"


def _basis(recording: Recording, uncertainty: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a sentence on how far times may be off; it says so if the host profile is extrapolated.

    The times of a migration that was given up are set by its limits, and have no ranges.
    """
    host, percent, ended = recording.header.host, _percent(recording, uncertainty), recording.header.migration
    if percent is None:
        return f"How far times of host {host.profile} may be off is not known."
    known = uncertainty[host.profile]
    whose = "of this host" if known["host"] else "of all hosts"
    extrapolated = "; extrapolated: no host of this size was measured" if host.extrapolated else ""
    ranges = "Ranges are the" if ended is not None and ended.outcome == COMPLETED else "Modelled times have the"
    return (
        f"{ranges} ±{percent} % of host {host.profile}, which two thirds of {known['values']} published values "
        f"{whose} keep{extrapolated}."
    )
