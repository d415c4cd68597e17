"""Small valid Recordings, made up: by Hypothesis, or one that is always the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from mmuviz.recording.header import header_of
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import (
    CAUSES,
    CELL_SHARES,
    FAULT_PATHS,
    MAX_EXAMPLES_PER_BIN,
    MEMORY_PARTS,
    SCHEMA,
    SPLIT_PLACES,
    TABLES,
    VCPU_SHARES,
    VOCABULARIES,
    WHOLE_FAULT,
)
from mmuviz.recording.stall_buckets import bucket_of_ps

BIN_PS = 1_000_000_000
SPTES = 32


def made_header(bins: int, vcpus: int, **fields: object) -> dict[str, Any]:
    """A header as a document."""
    return {
        "schema": SCHEMA,
        "scenario": {"title": "made up", "vm": {"kernel": "6.12", "vcpus": vcpus}, "workload": {"exponent": 0.5}},
        "digest": "0" * 64,
        "host": {
            "profile": "made",
            "says": "a host that is made up",
            "extrapolated": False,
            "stlb_entries": 1536,
            "stlb_1g_entries": 16,
            "postcopy_fault_ns": 150_000,
        },
        "ledger_hash": "f" * 64,
        "versions": {"mmuviz": "0.1.0", "kernel": "6.12"},
        "focus": None,
        "bin_ps": BIN_PS,
        "bins": bins,
        "end_ps": bins * BIN_PS - 1,
        "vcpus": vcpus,
        "cell_pages": 512,
        "causes": list(CAUSES),
        "vocabularies": {name: list(names) for name, names in VOCABULARIES.items()},
        "memory_bytes": {name: 4096 * place for place, name in enumerate(MEMORY_PARTS)},
        "table_pages_at_enable": 7,
        "table_pages_peak": 600,
        "events_left_out": 0,
        "migration": None,
        "earlier_migrations": [],
        "notes": ["Times modelled on a host that is made up.", 'Counts <are> & "not" recorded.'],
        **fields,
    }


def empty_columns(bins: int, vcpus: int, **rows: int) -> dict[str, dict[str, Any]]:
    """Columns of the right shape, all zero; `rows` gives the free lengths."""
    lengths = {"bins": bins, "frames": bins + 2, "vcpus": vcpus, "vcpu_bins": bins * vcpus, "hists": len(CAUSES) + 1}
    made: dict[str, dict[str, Any]] = {}
    for table, columns in TABLES.items():
        made[table] = {}
        for column in columns:
            length = lengths.get(column.rows, rows.get(column.rows, 0))
            shape = (length, len(column.fields)) if column.fields else (length,)
            made[table][column.name] = np.full(shape, max(column.low, 0), dtype=column.dtype)
    return made


def made_recording(seed: int = 0, bins: int = 12, vcpus: int = 2, calls: int = 14, **fields: object) -> Recording:
    """A Recording whose bins, vCPUs, histogram and longest stalls agree with each other.

    Args:
        seed: draws the numbers.
        bins: number of bins.
        vcpus: number of vCPUs.
        calls: number of calls.
        fields: of the header, instead of made ones.
    """
    header = header_of(made_header(bins, vcpus, **fields))
    rng = np.random.default_rng(seed)
    columns = empty_columns(bins, vcpus, calls=calls, cells=4, changes=0, longest=0, examples=0, events=0)
    _fill_stalls(columns, rng, bins, vcpus)
    _fill_bins(columns["bins"], rng)
    _fill_calls(columns["calls"], rng, header.end_ps, calls)
    _fill_cells(columns, rng, bins)
    shares = rng.integers(0, 64, columns["vcpu_bins"]["shares"].shape)
    assert shares.shape[1] == len(VCPU_SHARES)
    columns["vcpu_bins"]["shares"] = shares
    _fill_examples(columns, rng, bins, vcpus)
    _fill_events(columns, rng, header.end_ps, vcpus)
    return Recording(header, columns)


def _fill_stalls(columns: dict[str, dict[str, Any]], rng: np.random.Generator, bins: int, vcpus: int) -> None:
    """Stalls of one cause each, added up in every table that holds stalls."""
    faults = int(rng.integers(0, 60))
    rows = []
    for _ in range(faults):
        at, vcpu, cause = int(rng.integers(bins)), int(rng.integers(vcpus)), int(rng.integers(len(CAUSES)))
        stall_ps = int(rng.integers(1, 1 << int(rng.integers(1, 28))))
        for table, row in (("bins", at), ("vcpus", vcpu)):
            columns[table][f"stall_{CAUSES[cause]}_ps"][row] += stall_ps
            columns[table]["faults_" + FAULT_PATHS[cause % len(FAULT_PATHS)]][row] += 1
            columns[table]["accesses"][row] += 1000
            columns[table]["slow_write_ps"][row] += stall_ps // 3
        for hist in (cause, WHOLE_FAULT):
            columns["stalls"]["hist"][hist, bucket_of_ps(stall_ps)] += 1
        most = columns["vcpus"]["stall_max_ps"]
        most[vcpu] = max(most[vcpu], stall_ps)
        rows.append((-stall_ps, at * BIN_PS, vcpu, cause))
    rows = sorted(rows)[:100]
    columns["longest"] = {
        "time_ps": [row[1] for row in rows],
        "vcpu": [row[2] for row in rows],
        "gfn": [row[2] * 512 for row in rows],
        "cause": [row[3] for row in rows],
        "stall_ps": [-row[0] for row in rows],
    }


def _fill_bins(bins: dict[str, Any], rng: np.random.Generator) -> None:
    length = len(bins["accesses"])
    for name in (*(f"splits_{place}" for place in SPLIT_PLACES), "zaps", "tlb_flushes", "ioctl_ps"):
        bins[name] = rng.integers(0, 50, length)
    bins["table_pages"] = 7 + np.cumsum(rng.integers(0, 40, length))
    for name in ("pages_4k", "pages_2m", "pages_1g", "dirty_pages", "unreported_pages"):
        bins[name] = rng.integers(0, 2048, length)


def _fill_calls(calls: dict[str, Any], rng: np.random.Generator, end_ps: int, rows: int) -> None:
    times = np.sort(rng.integers(0, end_ps, 2 * rows)).reshape(rows, 2)
    calls["kind"] = np.arange(rows) % VOCABULARIES["call_kinds"].index("round")  # no migration
    calls["vcpu"] = np.full(rows, -1)
    calls["op"] = np.full(rows, -1)
    calls["slot"] = np.full(rows, -1)
    calls["start_ps"], calls["end_ps"] = times[:, 0], times[:, 1]
    calls["hold_ps"] = (times[:, 1] - times[:, 0]) // 2
    calls["wait_ps"] = (times[:, 1] - times[:, 0]) // 3
    calls["reported_pages"] = np.where(calls["kind"] == 1, rng.integers(0, 4096, rows), -1)
    calls["tables_added"] = rng.integers(-3, 9, rows)
    calls["splits"] = rng.integers(0, 9, rows)
    calls["table_pages"] = rng.integers(7, 600, rows)


def _fill_cells(columns: dict[str, dict[str, Any]], rng: np.random.Generator, bins: int) -> None:
    changed = [np.arange(4), *(np.flatnonzero(rng.integers(0, 2, 4)) for _ in range(bins))]
    cell = np.concatenate(changed)
    columns["cells"]["frame_start"] = np.concatenate([[0], np.cumsum([len(each) for each in changed])])
    columns["cells"]["cell"] = cell
    columns["cells"]["shares"] = rng.integers(0, 256, (len(cell), len(CELL_SHARES)))
    columns["cell_map"] = {"first_gfn": np.arange(4) * 512, "pages": [512, 512, 100, 512]}


def _fill_examples(columns: dict[str, dict[str, Any]], rng: np.random.Generator, bins: int, vcpus: int) -> None:
    at = np.sort(rng.integers(0, bins, min(20, MAX_EXAMPLES_PER_BIN)))
    rows = len(at)
    columns["examples"] = {
        "bin": at,
        "time_ps": at * BIN_PS + rng.integers(0, BIN_PS - 1, rows),
        "vcpu": rng.integers(-1, vcpus, rows),
        "kind": rng.integers(1, len(VOCABULARIES["example_kinds"]), rows),
        "level": rng.integers(0, 4, rows),
        "old": rng.integers(0, SPTES, rows),
        "new": rng.integers(0, SPTES, rows),
        "gfn": rng.integers(-1, 2048, rows),
        "path": rng.integers(0, len(VOCABULARIES["paths"]), rows),
        "stall_ps": rng.integers(0, 5_000_000, rows),
    }


def _fill_events(columns: dict[str, dict[str, Any]], rng: np.random.Generator, end_ps: int, vcpus: int) -> None:
    rows = 30
    columns["events"] = {
        "time_ps": np.sort(rng.integers(0, end_ps, rows)),
        "vcpu": rng.integers(-1, vcpus, rows),
        "kind": rng.integers(1, len(VOCABULARIES["event_kinds"]), rows),
        "level": rng.integers(1, 4, rows),
        "old": rng.integers(0, SPTES, rows),
        "new": rng.integers(0, SPTES, rows),
        "gfn": rng.integers(0, 2048, rows),
        "stride": rng.integers(0, 2, rows),
        "entries": rng.integers(1, 5, rows),
        "traced": rng.integers(0, 2, rows),
    }


def recordings() -> st.SearchStrategy[Recording]:
    """Valid Recordings of up to 20 bins and 4 vCPUs."""
    return st.builds(
        made_recording,
        seed=st.integers(0, 1 << 32),
        bins=st.integers(1, 20),
        vcpus=st.integers(1, 4),
        calls=st.integers(0, 40),
        table_pages_at_enable=st.none() | st.integers(0, 600),
        notes=st.lists(st.text(max_size=20), max_size=3),
        scenario=st.dictionaries(st.text(max_size=5), st.none() | st.integers(-9, 9) | st.text(max_size=5), max_size=4),
    )
