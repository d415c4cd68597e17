"""A migration in words: whether it converged and why, and what it took."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mmuviz.exports.setup_text import number
from mmuviz.recording.header import Migration
from mmuviz.recording.quantities import bytes_text, share_text, time_text
from mmuviz.recording.recording import Recording
from mmuviz.recording.stall_buckets import PS_PER_NS
from mmuviz.studies.convergence import converges, leftover_of
from mmuviz.studies.huge_pages import huge_pages_text
from mmuviz.studies.sensitivity import Span

COMPLETED: Final = "completed"
CANCELLED: Final = "cancelled"


def migration_lines(recording: Recording, span: Span | None = None) -> Iterator[tuple[str, str]]:
    """What a person asks of a migration.

    Args:
        recording: not changed.
        span: what the ranges of the host's constants make of it, where that was worked out.

    Yields:
        A name and a sentence; nothing where there was no migration.
    """
    ended = recording.header.migration
    if ended is None:
        return
    took = recording.totals["migration"]
    yield "Migration", verdict(recording, ended)
    downtime = f"downtime {time_text(took['downtime_ns'])}" if ended.stop_ps is not None else "the guest never stopped"
    yield "  time", f"{time_text(took['total_ns'])} in all, {downtime}, {number(took['rounds'], 'sync')}"
    if span is not None:
        yield "  range", range_text(span)
    if recording.header.host.extrapolated:
        yield "  host", f"{recording.header.host.profile} is extrapolated: no host of its size was measured"
    again = took["resent_pages"] * took["bytes_sent"] // max(took["pages_sent"], 1)
    share = f" ({share_text(again, took['bytes_sent'])})" if again else ""
    times = f"; each page {times_text(took['pages_sent'], took['resent_pages'])} on average" if again else ""
    yield (
        "  sent",
        f"{bytes_text(took['bytes_sent'])}, of which {bytes_text(again)}{share} not for the first time{times}",
    )
    yield "  ioctls in it", f"{time_text(took['get_ns'])} in GET, {time_text(took['clear_ns'])} in CLEAR"
    if huge := huge_pages_text(recording):
        yield "  huge pages", huge


def times_text(sent_pages: int, resent_pages: int) -> str:
    """How often a page was sent, of those that were sent at all, e.g. "1.25 times"."""
    return f"{sent_pages / max(sent_pages - resent_pages, 1):.2f} times"


def range_text(span: Span) -> str:
    """What the ranges of the constants that matter most make of a migration.

    Args:
        span: from span_of(); its downtime is that of runs that stopped the guest.
    """
    names = {"total_ns": "in all", "downtime_ns": "downtime", "stall_ns": "stall"}
    if not span.quantities["downtime_ns"][1]:
        del names["downtime_ns"]
    parts = [f"{_from_to(*span.quantities[key])} {name}" for key, name in names.items()]
    if not span.constants:
        return f"{', '.join(parts)}: no constant of the host changes it"
    constants = [
        f"{each.name} ({each.low:,} to {each.high:,} {each.unit}, {'fitted' if each.fitted else 'assumption'})"
        for each in span.constants
    ]
    held = {
        True: "it converges with all of them at either end",
        False: "it never converges",
        None: "it converges or not, by where they lie",
    }
    return (
        f"{', '.join(parts)}, over the ranges of the constants that matter most to it: {', '.join(constants)}; "
        f"{held[span.converges]}"
    )


def _from_to(least_ns: int, greatest_ns: int) -> str:
    least, greatest = time_text(least_ns), time_text(greatest_ns)
    return least if least == greatest else f"{least} to {greatest}"


def span_document(span: Span) -> dict[str, Any]:
    """The same as a JSON object: times in ns, and each constant with its range."""
    return {
        **{name: list(ends) for name, ends in span.quantities.items()},
        "converges": span.converges,
        "constants": [
            {
                "name": each.name,
                "unit": each.unit,
                "low": each.low,
                "high": each.high,
                "fitted": each.fitted,
                "at_low": dict(each.at_low),
                "at_high": dict(each.at_high),
            }
            for each in span.constants
        ],
    }


def verdict(recording: Recording, ended: Migration) -> str:
    """Whether it converged, and why or why not."""
    leftover = leftover_of(recording)
    left, may = bytes_text(leftover.left_bytes), bytes_text(leftover.may_bytes)
    if converges(recording):
        return f"converges: {left} were left, less than the {may} that the link sends meanwhile"
    if ended.outcome == COMPLETED:
        return f"stops the guest after its last round with {left} left, and only {may} may be"
    took = time_text((ended.end_ps - ended.start_ps) // PS_PER_NS)
    if ended.outcome == CANCELLED:
        return f"cancelled after {took}, {still(recording)}"
    return f"does not converge: given up after {took} ({ended.outcome}), {still(recording)}"


def still(recording: Recording) -> str:
    """What stood in the way at its last sync."""
    if len(recording.rounds.round) <= 1:
        return "before the first pass over memory was over"
    leftover = leftover_of(recording)
    return (
        f"when the last sync found {bytes_text(leftover.found_bytes)} newly dirty, so that "
        f"{bytes_text(leftover.left_bytes)} were left, and only {bytes_text(leftover.may_bytes)} may be left for the "
        "downtime"
    )
