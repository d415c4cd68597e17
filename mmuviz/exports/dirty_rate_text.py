"""Sentences on a measured dirty rate: the pages that the guest wrote, and the rate that QEMU would print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.exports.setup_text import number
from mmuviz.recording.quantities import bytes_text, digits, share_text, time_text
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS

KIND: Final = "calc_dirty_rate"
PS_PER_S: Final = 10**12
PS_PER_MS: Final = 10**9
MIB_SHIFT: Final = 20
MEASURED: Final = 1
"""Iteration number of the measured window and of the GETs after it."""


def dirty_rate_of(recording: Recording) -> dict[str, Any]:
    """Compute the dirty rate that a run measured.

    Args:
        recording: the Recording of the run.

    Returns:
        An empty dict if the run measured none; else `pages`, the distinct pages that the second GET found; `window_ns`;
        `guest_ns`, the window less the average stall of a vCPU in it; `pages_per_s` and `mib_per_s`, per second of
        guest_ns; and `qemu_mb_per_s`, the number that QEMU prints: the pages in MiB, rounded down, per second of the
        window, rounded down again.

    QEMU: do_calculate_dirtyrate(), migration/dirtyrate.c
    """
    if dict(recording.header.scenario.get("driver", {})).get("kind") != KIND:
        return {}
    calls = recording.calls
    window = np.flatnonzero((calls.kind == CALL_KINDS.index("interval")) & (calls.iteration == MEASURED))
    if not len(window):
        return {}
    at = int(window[0])
    found = (calls.kind == CALL_KINDS.index("get")) & (calls.iteration == MEASURED)
    pages = sum(calls.reported_pages[found].tolist())
    window_ps = int(calls.end_ps[at] - calls.start_ps[at])
    guest_ps = max(window_ps - int(calls.stall_ps[at]) // recording.header.vcpus, 1)
    per_s = pages * PS_PER_S / guest_ps
    return {
        "pages": pages,
        "window_ns": window_ps // 1000,
        "guest_ns": guest_ps // 1000,
        "pages_per_s": per_s,
        "mib_per_s": per_s * PAGE_BYTES / (1 << MIB_SHIFT),
        "qemu_mb_per_s": (pages * PAGE_BYTES >> MIB_SHIFT) * 1000 // max(window_ps // PS_PER_MS, 1),
    }


def dirty_rate_lines(recording: Recording) -> Iterator[tuple[str, str]]:
    """Write the lines of the summary on a dirty rate.

    Args:
        recording: the Recording of the run.

    Yields:
        A name and a sentence; nothing if the run measured no dirty rate.
    """
    found = dirty_rate_of(recording)
    if not found:
        return
    pages, rate = found["pages"], number(round(found["pages_per_s"]), "page")
    wrote = f"{number(pages, 'page')} ({bytes_text(pages * PAGE_BYTES)}) in {time_text(found['window_ns'])}"
    ran = share_text(found["guest_ns"], found["window_ns"])
    yield (
        "Dirty rate",
        f"{rate} or {digits(found['mib_per_s'])} MiB per second of guest time: {wrote}, of which the guest ran {ran}",
    )
    printed = f"{found['qemu_mb_per_s']} MB/s is what QEMU prints in mode dirty-bitmap: whole MiB, rounded down"
    yield "  calc-dirty-rate", f"{printed}; its modes page-sampling and dirty-ring are not modelled"
