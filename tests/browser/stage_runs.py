"""Small Recordings for tests of the stage, and what Python makes of them."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import mmuviz
from mmuviz.core.pages import PAGE_BYTES
from mmuviz.recording.recording import Recording
from tests.browser.chooser import chooser
from tests.recording.made_recordings import made_recording

MIB: Final = 1 << 20
GIB: Final = 1 << 30

_LIVE: Final = {"kind": "enable_only", "lead": "3 ms", "tail": "30 ms"}
_SWEEP: Final = {"pattern": "sequential", "rate_hz": 5_000_000}
_GUEST: Final = {"memory": [{"base": 4 * GIB, "size": GIB, "backing": "hugetlb_1g"}], "workload": _SWEEP}
DOCUMENTS: Final[dict[str, dict[str, Any]]] = {
    "lazy": {**_GUEST, "vm": {"vcpus": 4, "dirty_log_mode": "manual", "eager_page_split": False}, "driver": _LIVE},
    "eager": {**_GUEST, "vm": {"vcpus": 4, "dirty_log_mode": "manual", "eager_page_split": True}, "driver": _LIVE},
    "perf test": {"vm": {"vcpus": 2}, "memory": [{"size": 8 * MIB}]},
    "chunks": {
        "vm": {"vcpus": 3},
        "memory": [{"size": 16 * MIB, "backing": "hugetlb_2m", "host_populated": True}],
        "driver": {"kind": "live_rounds", "lead": "1 ms", "rounds": 2, "interval": "2 ms", "clear_chunk": 4 * MIB},
    },
    "ring": {
        "vm": {"vcpus": 2, "dirty_log_mode": "ring", "ring_entries": 1024},
        "memory": [{"size": 64 * MIB, "backing": "hugetlb_2m"}],
        "workload": {"pattern": "uniform_random", "rate_hz": 1_000_000},
        "driver": {"kind": "live_rounds", "lead": "1 ms", "rounds": 2, "interval": "4 ms", "disable": True},
    },
    "memslots": {
        "vm": {"vcpus": 2},
        "memory": [
            {"base": GIB, "size": 8 * MIB + 3 * PAGE_BYTES, "backing": "thp"},
            {"base": GIB + 32 * MIB, "size": 4 * MIB, "backing": "4k"},
            {"base": GIB + 64 * MIB, "size": 16 * PAGE_BYTES, "backing": "4k", "read_only": True},
        ],
        "driver": {"kind": "dirty_log_perf_test", "iterations": 1},
    },
    "eager memslots": {
        "vm": {"vcpus": 2, "dirty_log_mode": "manual", "eager_page_split": True},
        "memory": [{"base": base, "size": GIB, "backing": "hugetlb_1g"} for base in (4 * GIB, GIB)],
        "workload": {"pattern": "strided", "stride": 64 * PAGE_BYTES, "shared": True},
        "driver": {"kind": "enable_only", "lead": "1 ms", "tail": "3 ms"},
    },
    "without logging": {"memory": [{"size": 8 * MIB}], "driver": {"kind": "without_logging"}},
}
NAMES: Final = tuple(DOCUMENTS)
MADE: Final = {"made 1": 1, "made 2": 2}
"""Recordings of no run: their numbers are any that a Recording may have."""
ALL: Final = (*NAMES, *MADE)


@cache
def recording_of(name: str) -> Recording:
    """A small Recording by name."""
    if name in MADE:
        return made_recording(MADE[name])
    return mmuviz.run(mmuviz.Scenario(**DOCUMENTS[name]))


def replayed(made: Recording) -> npt.NDArray[np.uint8]:
    """The shares of all cells at all frames, uint8[bins + 1, cells, 8]."""
    frames = np.zeros((made.header.bins + 1, len(made.cell_map.pages), 8), dtype=np.uint8)
    starts = made.cells.frame_start
    for frame in range(len(frames)):
        rows = slice(starts[frame], starts[frame + 1])
        frames[frame] = frames[max(frame - 1, 0)]
        frames[frame, made.cells.cell[rows]] = made.cells.shares[rows]
    return frames


def frame_times(made: Recording) -> npt.NDArray[np.int64]:
    return np.minimum(np.arange(made.header.bins + 1) * made.header.bin_ps, made.header.end_ps)


def some_times(made: Recording, *seed: object, count: int = 200) -> npt.NDArray[np.int64]:
    """Times all over a run, ascending, with its edges and the edges of its calls."""
    drawn = chooser(*seed).integers(0, made.header.end_ps + 1, count)
    edges = np.concatenate([made.calls.start_ps, made.calls.end_ps])[:50]
    ends = frame_times(made)[[0, 1, -2, -1]]
    times = np.concatenate([drawn, edges - 1, edges, edges + 1, ends, ends - 1])
    return np.unique(np.clip(times, 0, made.header.end_ps))
