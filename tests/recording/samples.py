"""Recordings for tests: small ones made by hand or drawn by Hypothesis."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from mmuviz.recording import columns
from mmuviz.recording.codec import TABLES, U8_COLUMNS
from mmuviz.recording.columns import (
    DIRTY,
    MMU_WRITABLE,
    PRESENT,
    WRITABLE,
    Config,
    DirtyRanges,
    Leaves,
    Op,
    OpColumns,
    Recording,
    Runs,
    Slot,
    Touches,
)

LEAF = PRESENT | WRITABLE | MMU_WRITABLE | DIRTY
CONFIG = Config(
    dirty_log_mode="legacy", eager_page_split=False, tdp_mmu=True, vcpus=1, ring_entries=0, vendor="amd", pml=False
)
Rows = Sequence[tuple[int, ...]]


def table(kind: Any, rows: Rows) -> Any:  # noqa: ANN401 - any of the NamedTuples of columns
    values = np.array(rows, dtype=np.int64).reshape(-1, len(kind._fields))
    return kind._make(
        values[:, index].astype(np.uint8 if name in U8_COLUMNS else np.int64) for index, name in enumerate(kind._fields)
    )


def recording(slot: Slot, runs: Rows, start: Rows, **changes: Any) -> Recording:  # noqa: ANN401 - any field
    """A recording of one op that holds these rows of Runs and of Leaves."""
    figures = {name: np.zeros(1, dtype=np.uint8 if name in U8_COLUMNS else np.int64) for name in OpColumns._fields}
    none = np.zeros(2, dtype=np.int64)
    fields: dict[str, Any] = {
        "name": "sample",
        "kernel": "6.12",
        "note": "",
        "config": CONFIG,
        "slot": slot,
        "ops": (Op("write", (("vcpu", 0),)),),
        "op_columns": OpColumns(
            **{**figures, "first_run": np.array([0, len(runs)]), "first_touch": none, "first_range": none}
        ),
        "runs": table(Runs, runs),
        "touches": table(Touches, []),
        "ranges": table(DirtyRanges, []),
        "start": table(Leaves, start),
    }
    return Recording(**{**fields, **changes})


@st.composite
def drawn_recordings(draw: st.DrawFn) -> Recording:
    """Any columns at all: the codec must not care what they mean."""
    wide = st.integers(0, (1 << 31) - 1)
    tables = {}
    for name, kind in TABLES.items():
        rows = draw(st.integers(0, 5))
        tables[name] = kind._make(
            np.array(draw(st.lists(st.integers(0, 255), min_size=rows, max_size=rows)), dtype=np.uint8)
            if column in U8_COLUMNS
            else np.array(draw(st.lists(wide, min_size=rows, max_size=rows)), dtype=np.int64)
            for column in kind._fields
        )
    fields = st.dictionaries(st.text(max_size=8), st.integers() | st.text() | st.booleans(), max_size=3)
    ops = draw(st.lists(st.builds(lambda kind, made: Op(kind, tuple(sorted(made.items()))), st.text(), fields)))
    return columns.Recording(
        name=draw(st.text()),
        kernel=draw(st.text()),
        note=draw(st.text()),
        config=CONFIG,
        slot=Slot(512, 1024, "hugetlb_2m", 0, host_populated=True),
        ops=tuple(ops),
        **tables,
    )
