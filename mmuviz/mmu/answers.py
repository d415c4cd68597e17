"""Events of one op, in the form of a KVM recording's answer."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from mmuviz.mmu.events import KIND_MASK, TRACEPOINT_NAMES, event_class, expand, merged_runs
from mmuviz.mmu.state import I64, LOG_CODE, LOG_COUNT, LOG_GFN

TRACEPOINTS: Final = frozenset(TRACEPOINT_NAMES.values())
FIRST_EVENTS: Final = 120
"""Events that a recording keeps in their interleaved order."""
COUNTER_NAMES: Final = (
    "pages_4k",
    "pages_2m",
    "pages_1g",
    "pf_taken",
    "pf_fixed",
    "pf_fast",
    "pf_spurious",
    "table_pages",
)


def event_fields(runs: I64, tracepoints: frozenset[str] = TRACEPOINTS) -> dict[str, Any]:
    """`events` and `first_events_in_order` of an op.

    Args:
        runs: int64[n, 4] from Vm.take_events().
        tracepoints: kinds of events that are kept.

    Returns:
        Both fields in the recording's schema.
    """
    kinds = [kind for kind, name in TRACEPOINT_NAMES.items() if name in tracepoints]
    runs = runs[np.isin(runs[:, LOG_CODE] & KIND_MASK, kinds)]
    by_class = []
    in_classes = runs[np.argsort(runs[:, LOG_CODE], kind="stable")]
    for part in np.split(in_classes, np.flatnonzero(np.diff(in_classes[:, LOG_CODE])) + 1):
        if len(part):
            of_class = merged_runs(part[:, LOG_GFN : LOG_COUNT + 1])
            by_class.append([list(event_class(int(part[0, LOG_CODE]))), int(of_class[:, 2].sum()), of_class.tolist()])
    by_class.sort(key=lambda row: [str(part) for part in row[0]])
    codes, gfns = first_events(runs, FIRST_EVENTS)
    first = zip(codes.tolist(), gfns.tolist(), strict=True)
    return {"events": by_class, "first_events_in_order": [[*event_class(code), gfn] for code, gfn in first]}


def first_events(runs: I64, most: int) -> tuple[I64, I64]:
    """The first events of a log, one by one.

    Args:
        runs: int64[n, 4], rows of (code, first gfn, stride, count).
        most: events wanted.

    Returns:
        Codes and gfns, int64[up to most] each.
    """
    begin = runs[:most].copy()
    begin[:, LOG_COUNT] = np.minimum(begin[:, LOG_COUNT], most)
    codes, gfns = expand(begin)
    return codes[:most], gfns[:most]
