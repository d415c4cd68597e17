"""Sentences on a migration: whether it converged and why, its times and the bytes sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.exports.migration_progress import PERCENT, progress
from mmuviz.exports.setup_text import number
from mmuviz.recording.header import Migration
from mmuviz.recording.quantities import bytes_text, count_text, share_text, time_text
from mmuviz.recording.recording import Recording
from mmuviz.recording.stall_buckets import PS_PER_NS
from mmuviz.studies.convergence import converges, leftover_of, rounds_of_last
from mmuviz.studies.huge_pages import huge_pages_text
from mmuviz.studies.sensitivity import Span, is_decisive

COMPLETED: Final = "completed"
CANCELLED: Final = "cancelled"
TOO_MANY_ROUNDS: Final = "too many rounds"
TOO_LONG: Final = "too long"


def migration_lines(
    recording: Recording, without: Recording | None = None, span: Span | None = None
) -> Iterator[tuple[str, str]]:
    """Write the lines of the summary on a migration.

    Args:
        recording: the Recording of the migration.
        without: the same guest without a migration; None to compare with its speed before the migration.
        span: spread of the results over the plausible ranges of the host's constants, if it was computed.

    Yields:
        A name and a sentence; nothing if the run migrates nothing.
    """
    ended = recording.header.migration
    if ended is None:
        return
    took = recording.totals["migration"]
    yield "Migration", verdict(recording, ended)
    downtime = f"downtime {time_text(took['downtime_ns'])}" if ended.stop_ps is not None else "the guest never stopped"
    setup = f"of which {time_text(took['setup_ns'])} of setup"
    yield "  time", f"{time_text(took['total_ns'])} in all, {setup}, {downtime}, {number(took['rounds'], 'sync')}"
    if span is not None:
        yield "  range", range_text(span)
    if recording.header.host.extrapolated:
        yield "  host", f"{recording.header.host.profile} is extrapolated: no host of its size was measured"
    yield "  sent", sent_text(took)
    if took.get("lost_pages"):
        yield "  lost pages", lost_text(took["lost_pages"], recording.header.versions.kernel)
    if "amplification_percent" in took:
        times = took["amplification_percent"] / PERCENT
        resent, wrote = (count_text(took[name]) for name in ("resent_pages", "rewritten_pages"))
        yield "  tracking at 2M", f"{resent} pages sent again where the guest wrote {wrote} of them, {times:.1f} times"
    if took["throttled_ns"]:
        most = f"up to {took['throttle_percent']} % of their time, " if took["throttle_percent"] else ""
        yield "  vCPUs throttled", f"{most}{time_text(took['throttled_ns'])} of all vCPUs in all"
    if "postcopy" in took:
        yield "  post-copy", postcopy_text(took["postcopy"])
    yield from progress(recording, ended, without)
    yield "  ioctls in it", f"{time_text(took['get_ns'])} in GET, {time_text(took['clear_ns'])} in CLEAR"
    yield "  syncs", f"{time_text(took['sync_ns'])}, with those GETs and what userspace does with the bitmaps"
    if huge := huge_pages_text(recording):
        yield "  huge pages", huge


def sent_text(took: Mapping[str, int]) -> str:
    """Write the bytes sent, the bytes of pages sent again, and the number of zero pages."""
    again = took["resent_pages"] * took["bytes_sent"] // max(took["pages_sent"], 1)
    share = f" ({share_text(again, took['bytes_sent'])})" if again else ""
    times = f"; each page {times_text(took['pages_sent'], took['resent_pages'])} on average" if again else ""
    zeros = f"; {number(took['zero_pages'], 'page')} of zeros" if took["zero_pages"] else ""
    return f"{bytes_text(took['bytes_sent'])}, of which {bytes_text(again)}{share} not for the first time{times}{zeros}"


def lost_text(pages: int, kernel: str) -> str:
    """Write how many pages are stale at the destination, and why.

    Args:
        pages: pages that the guest wrote after each was last sent.
        kernel: name of the kernel row.
    """
    return f"{number(pages, 'page')} {'is' if pages == 1 else 'are'} {lost_cause(kernel)}"


def lost_cause(kernel: str) -> str:
    """Write why pages are lost, as the end of a sentence that names them; `kernel`: name of the kernel row."""
    return (
        "stale at the destination: written after the last CLEAR, and in no later GET. "
        f"Kernel {kernel} leaves a huge page writable where 64 pages of a bitmap end on its first page "
        "(kvm_arch_mmu_enable_log_dirty_pt_masked(), arch/x86/kvm/mmu/mmu.c); memslots whose base is a multiple of "
        "256 KiB have no such mask"
    )


def postcopy_text(rest: Mapping[str, int]) -> str:
    """Write the upper bound of the memory that the destination fetches by page faults."""
    return (
        f"at most {bytes_text(rest['left_bytes'])} by {number(rest['faults_4k'], 'fault')} of 4K, "
        f"{time_text(rest['fault_4k_ns'])} each ({time_text(rest['total_4k_ns'])}), or "
        f"{bytes_text(rest['left_2m_bytes'])} by {number(rest['faults_2m'], 'fault')} of 2M, "
        f"{time_text(rest['fault_2m_ns'])} each ({time_text(rest['total_2m_ns'])})"
    )


def times_text(sent_pages: int, resent_pages: int) -> str:
    """Write how often each sent page was sent on average, e.g. "1.25 times"."""
    return f"{sent_pages / max(sent_pages - resent_pages, 1):.2f} times"


def range_text(span: Span) -> str:
    """Write the spread of a migration's results over the ranges of the constants that matter most.

    Args:
        span: spread from span_of(); its downtime is that of the runs that stopped the guest.
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
    chosen = f" (chosen by runs with 1/{span.parts} of its memory)" if span.parts > 1 else ""
    return (
        f"{', '.join(parts)}, over the ranges of the constants that matter most to it{chosen}: {', '.join(constants)}; "
        f"{_held_text(span)}"
    )


def _held_text(span: Span) -> str:
    """Write whether a migration converges over the ranges of its constants, and which of them decides it."""
    if span.converges is not None:
        return "it converges with all of them at either end" if span.converges else "it converges with none of them"
    decisive = [
        f"{each.name} at {each.low if each.converges[0] else each.high:,} and not at "
        f"{each.high if each.converges[0] else each.low:,} {each.unit}"
        for each in span.constants
        if is_decisive(each)
    ]
    if not decisive:
        return "it converges or not, by several of them together"
    return f"it converges with {', or '.join(decisive)}"


def _from_to(least_ns: int, greatest_ns: int) -> str:
    least, greatest = time_text(least_ns), time_text(greatest_ns)
    return least if least == greatest else f"{least} to {greatest}"


def span_document(span: Span) -> dict[str, Any]:
    """Make the JSON object of a span: times in ns, and each constant with its range."""
    return {
        **{name: list(ends) for name, ends in span.quantities.items()},
        "converges": span.converges,
        "parts": span.parts,
        "constants": [
            {
                "name": each.name,
                "unit": each.unit,
                "low": each.low,
                "high": each.high,
                "fitted": each.fitted,
                "at_low": dict(each.at_low),
                "at_high": dict(each.at_high),
                "converges": list(each.converges),
            }
            for each in span.constants
        ],
    }


def verdict(recording: Recording, ended: Migration) -> str:
    """Write whether the migration converged, and the reason."""
    if ended.switch_ps is not None:
        rest = bytes_text(ended.left_pages * PAGE_BYTES)
        after = time_text((ended.switch_ps - ended.start_ps) // PS_PER_NS)
        return f"switches to post-copy after {after} with {rest} left; the guest runs at the destination from then on"
    leftover = leftover_of(recording)
    left, may = bytes_text(leftover.left_bytes), bytes_text(leftover.may_bytes)
    if converges(recording):
        limit = time_text(recording.header.document()["scenario"]["driver"]["downtime_limit"])
        if not leftover.left_bytes:
            return "converges: at the end of a pass nothing was left to send"
        return f"converges: {left} were left, less than the {may} that the link sends in the limit of {limit}"
    if ended.outcome == COMPLETED:
        return f"stops the guest after its last round with {left} left, and only {may} may be"
    took = time_text((ended.end_ps - ended.start_ps) // PS_PER_NS)
    if ended.outcome == CANCELLED:
        return f"cancelled (driver.cancel_at) after {took}, {still(recording)}"
    return f"does not converge: given up after {took} ({limit_of(recording, ended)}), {still(recording)}"


def limit_of(recording: Recording, ended: Migration) -> str:
    """Name the limit at which a migration was given up, e.g. "too many rounds: driver.most_rounds=50"."""
    driver = recording.header.document()["scenario"]["driver"]
    limits = {
        TOO_MANY_ROUNDS: f"driver.most_rounds={driver['most_rounds']}",
        TOO_LONG: f"driver.longest={time_text(driver['longest'])}",
    }
    return f"{ended.outcome}: {limits[ended.outcome]}"


def still(recording: Recording) -> str:
    """Write the reason, at its last sync, why a migration had not converged yet."""
    if int(np.count_nonzero(rounds_of_last(recording))) <= 1:
        return "before the first pass over memory was over"
    leftover = leftover_of(recording)
    return (
        f"when the last sync found {bytes_text(leftover.found_bytes)} newly dirty, so that "
        f"{bytes_text(leftover.left_bytes)} were left, and only {bytes_text(leftover.may_bytes)} may be left for the "
        "downtime"
    )
