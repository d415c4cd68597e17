"""Advice for a migration as a table for a mail: ASCII, at most 72 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from mmuviz.core.errors import one_line
from mmuviz.engine.choices.units import size_text
from mmuviz.exports.migration_text import verdict
from mmuviz.exports.setup_text import common_text, number
from mmuviz.exports.summary import accesses_per_second
from mmuviz.recording.quantities import bytes_text, rate_text, share_text, time_text
from mmuviz.recording.recording import Recording
from mmuviz.studies.advice import Candidate, Refused, Remedy
from mmuviz.studies.convergence import converges

COLUMNS: Final = 72
WIDTHS: Final = (16, 7, 5, 9, 9, 9, 7, 10)
HEADS: Final = ("policy", "CLEAR", "ends", "time", "downtime", "stall", "again", "memory")
LEGEND: Final = (
    "CLEAR: what one covers. ends: what was left fitted the downtime limit. time: of the whole migration. stall: of "
    "all vCPUs. again: bytes sent not for the first time, of all. memory: of KVM, page tables added and all else. "
    "* the scenario as it stands."
)
AS_GOOD: Final = 1.01
"""A candidate whose value is at most this many times the best one counts as equal: the model is not more exact."""
Tried = tuple[Candidate, Recording]


def memory_bytes(recording: Recording) -> int:
    """Return the bytes of page tables added since logging was enabled and of all other memory of KVM's MMU."""
    totals = recording.totals
    return int(totals["table_bytes_added"] + sum(totals["memory_bytes"].values()))


def took(recording: Recording) -> dict[str, int]:
    """Return the quantities by which candidates are compared: times in ns, memory in bytes."""
    totals = recording.totals
    return {
        "stall_ns": totals["stall_total_ns"],
        "total_ns": totals["migration"]["total_ns"],
        "downtime_ns": totals["migration"]["downtime_ns"],
        "memory_bytes": memory_bytes(recording),
    }


BEST: Final[dict[str, tuple[str, Callable[[float], str]]]] = {
    "stall_ns": ("Least stall of all vCPUs", time_text),
    "total_ns": ("Shortest migration", time_text),
    "downtime_ns": ("Shortest downtime", time_text),
    "memory_bytes": ("Least memory of KVM", bytes_text),
}
ENDS: Final = ("total_ns", "downtime_ns")
"""Quantities that are compared only among migrations that converge."""


def best_of(tried: Sequence[Tried]) -> dict[str, list[int]]:
    """Find the best candidates by each quantity, among those that converge.

    If no candidate converges, all of them are compared, by stall and memory only.

    Args:
        tried: candidates and their runs.

    Returns:
        Key of took() -> indices in `tried` of all candidates that are as good as the best one.
    """
    ends = [at for at, (_, recording) in enumerate(tried) if converges(recording)]
    found = {}
    for name in BEST:
        among = ends or ([] if name in ENDS else list(range(len(tried))))
        values = {at: took(tried[at][1])[name] for at in among}
        found[name] = [at for at in among if values[at] <= min(values.values()) * AS_GOOD]
    return found


def advice_table(title: str, tried: Sequence[Tried], refused: Sequence[Refused], remedies: Sequence[Remedy]) -> str:
    """Write the advice as text.

    Args:
        title: the question.
        tried: candidates and their runs, one or more.
        refused: policies that the scenario does not allow.
        remedies: changes of a scenario that does not converge, and their runs.

    Returns:
        ASCII lines of at most 72 columns.
    """
    recordings = [recording for _, recording in tried]
    notes = dict.fromkeys(note for each in recordings for note in each.header.notes)
    blocks = [
        wrapped(title) if title else [],
        wrapped(", ".join(common_text(recordings))),
        [row_of(HEADS), *(row_of(cells_of(*each)) for each in tried)],
        wrapped(LEGEND),
        list(best_lines(tried)),
        list(refused_lines(refused)),
        list(remedy_lines(tried, remedies)),
        [line for note in notes for line in wrapped(note)],
    ]
    return ascii_only("\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n")


def cells_of(candidate: Candidate, recording: Recording) -> tuple[str, ...]:
    """Make the cells of a candidate's row, in the columns of HEADS."""
    found, sent = took(recording), recording.totals["migration"]
    return (
        candidate.policy + ("*" if candidate.own else ""),
        chunk_text(candidate),
        "yes" if converges(recording) else "no",
        time_text(found["total_ns"]),
        time_text(found["downtime_ns"]) if converges(recording) else "-",
        time_text(found["stall_ns"]),
        share_text(sent["resent_pages"], sent["pages_sent"]),
        bytes_text(found["memory_bytes"]),
    )


def row_of(cells: Iterable[str]) -> str:
    """Format a row of the table: the policy aligned left, numbers aligned right."""
    first, *rest = zip(cells, WIDTHS, strict=True)
    return first[0].ljust(first[1]) + "".join(cell.rjust(width) for cell, width in rest)


def best_lines(tried: Sequence[Tried]) -> Iterator[str]:
    """Write one line per quantity, as `compare` does, with all candidates that are as good as the best one."""
    ends = [candidate for candidate, recording in tried if converges(recording)]
    if not ends:
        yield from wrapped("No policy converges: none makes the guest write less, and none makes the link faster.")
    for name, places in best_of(tried).items():
        if places:
            title, text = BEST[name]
            value = text(min(took(tried[at][1])[name] for at in places))
            same = len(places) == (len(ends) or len(tried)) > 1
            who = "all the same" if same else label([tried[at][0] for at in places], [each for each, _ in tried])
            yield from wrapped(f"{title}: {who} ({value})")


def label(some: Sequence[Candidate], every: Sequence[Candidate]) -> str:
    """Name candidates in a sentence; a policy is named without chunk sizes if all its sizes are among them.

    Args:
        some: candidates to name.
        every: all candidates.
    """
    parts = []
    for policy in dict.fromkeys(each.policy for each in some):
        mine = [each for each in some if each.policy == policy]
        whole = len(mine) == sum(each.policy == policy for each in every)
        sizes = ", ".join(chunk_text(each) for each in mine)
        parts.append(policy if whole else f"{policy} by {sizes}")
    return "; ".join(parts)


def chunk_text(candidate: Candidate) -> str:
    """Return the memory that one CLEAR covers, a power of two, as text; "-" if the policy issues no CLEAR."""
    return "-" if candidate.chunk_bytes is None else size_text(candidate.chunk_bytes)


def refused_lines(refused: Sequence[Refused]) -> Iterator[str]:
    """Write the policies that the scenario does not allow, grouped by reason."""
    reasons: dict[str, list[str]] = {}
    for each in refused:
        reasons.setdefault(each.why, []).append(each.policy)
    for why, policies in reasons.items():
        yield from wrapped(f"Not to be had: {', '.join(policies)}: {why}")


def remedy_lines(tried: Sequence[Tried], remedies: Sequence[Remedy]) -> Iterator[str]:
    """Write why the unchanged scenario does not converge, and which changes make it converge."""
    own = next(recording for candidate, recording in tried if candidate.own)
    ended = own.header.migration
    if converges(own) or ended is None:
        return
    yield from wrapped(f"As it stands it {verdict(own, ended)}.")
    yield from wrapped("What would make it converge, the smallest of each kind:")
    for each in remedies:
        yield from wrapped(f"  {each.name}: {remedy_text(each)}")


def remedy_text(remedy: Remedy) -> str:
    """Write the effect and the cost of a change."""
    if remedy.recording is None:
        return f"{remedy.change} was not run: {remedy.why}"
    if not remedy.works:
        ended = remedy.recording.header.migration
        outcome = "" if ended is None else f": {verdict(remedy.recording, ended)}"
        return f"{remedy.change} is not enough{outcome}{f' ({remedy.why})' if remedy.why else ''}"
    found = took(remedy.recording)
    return (
        f"{remedy.change}: {time_text(found['total_ns'])} in all, downtime {time_text(found['downtime_ns'])}, stall "
        f"{time_text(found['stall_ns'])}, {rate_text(accesses_per_second(remedy.recording))} guest accesses"
        f"{price_text(remedy.recording.totals['migration'])}"
    )


def price_text(took: Mapping[str, Any]) -> str:
    """Write what a change costs the guest beside its time: throttling, and faults at the destination."""
    throttled = f", vCPUs throttled by up to {took['throttle_percent']} %" if took["throttle_percent"] else ""
    rest = took.get("postcopy")
    if not rest or not rest["faults_4k"]:
        return throttled
    return f"{throttled}, then at most {number(rest['faults_4k'], 'fault')} of {time_text(rest['fault_4k_ns'])} each"


def advice_document(tried: Sequence[Tried], refused: Sequence[Refused], remedies: Sequence[Remedy]) -> dict[str, Any]:
    """Make the advice as a JSON object.

    Args:
        tried: candidates and their runs.
        refused: policies that the scenario does not allow.
        remedies: changes that were tried.

    Returns:
        `candidates`, `best` (indices in candidates), `refused`, `remedies`; times in ns, memory in bytes.
    """
    return {
        "candidates": [
            {
                "policy": candidate.policy,
                "chunk_bytes": candidate.chunk_bytes,
                "own": candidate.own,
                "converges": converges(recording),
                **took(recording),
                **_run(recording),
            }
            for candidate, recording in tried
        ],
        "best": best_of(tried),
        "refused": [each._asdict() for each in refused],
        "remedies": [
            {
                "name": each.name,
                "change": each.change,
                "works": each.works,
                "why": each.why,
                **({} if each.recording is None else {**took(each.recording), **_run(each.recording)}),
            }
            for each in remedies
        ],
    }


def _run(recording: Recording) -> dict[str, Any]:
    ended = recording.header.migration
    return {
        "verdict": "" if ended is None else verdict(recording, ended),
        "extrapolated": recording.header.host.extrapolated,
        "hash": recording.hash,
        "scenario": recording.header.document()["scenario"],
        "totals": recording.totals,
    }


def wrapped(text: str) -> list[str]:
    """Wrap a paragraph; the indentation of its first line is kept."""
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(
        ascii_only(one_line(text.strip())),
        COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent + ("    " if indent else ""),
        break_on_hyphens=False,
    )


def ascii_only(text: str) -> str:
    """Convert text to ASCII: a micro sign to u, other characters outside ASCII to question marks."""
    return text.replace("\u00b5", "u").encode("ascii", "replace").decode("ascii")
