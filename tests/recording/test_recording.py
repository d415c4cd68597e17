"""The Recording: it cannot be changed, and it refuses what does not fit its schema."""

import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.core.errors import InputError
from mmuviz.recording.header import header_of
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import BUCKETS, CAUSES, FAULT_PATHS, SPLIT_PLACES, TABLES
from mmuviz.recording.stall_buckets import bucket_end_ps, bucket_of_ps, bucket_start_ps, quantile_ns
from tests.recording.made_recordings import BIN_PS, made_header, made_recording, recordings

Change = Callable[[dict[str, Any], dict[str, dict[str, Any]]], None]


def changed(change: Change) -> Recording:
    """A made Recording, changed before it is built."""
    made = made_recording()
    header = made.header.document()
    tables = {name: {each: array.copy() for each, array in table.items()} for name, table in made.tables.items()}
    change(header, tables)
    return Recording(header_of(header), tables)


def put(table: str, column: str, value: object, row: object = 0) -> Change:
    def change(_: dict[str, Any], tables: dict[str, dict[str, Any]]) -> None:
        tables[table][column][row] = value

    return change


def replace(table: str, column: str, values: object) -> Change:
    def change(_: dict[str, Any], tables: dict[str, dict[str, Any]]) -> None:
        tables[table][column] = values

    return change


def say(name: str, value: object) -> Change:
    def change(header: dict[str, Any], _: dict[str, dict[str, Any]]) -> None:
        header[name] = value

    return change


def test_nothing_can_be_changed() -> None:
    recording = made_recording()
    with pytest.raises(AttributeError):
        recording.header = recording.header
    with pytest.raises(AttributeError):
        del recording.bins
    with pytest.raises(TypeError):
        recording.tables["bins"] = recording.bins  # type: ignore[index]  # the type says so too
    with pytest.raises(TypeError):
        recording.header.scenario["title"] = "another"
    for table in recording.tables.values():
        for column in table.values():
            assert not column.flags.writeable
            with pytest.raises(ValueError, match="read-only"):
                column[...] = 0


def test_what_was_given_is_copied() -> None:
    made = made_recording()
    tables = {name: {each: array.copy() for each, array in table.items()} for name, table in made.tables.items()}
    recording = Recording(made.header, tables)
    tables["bins"]["accesses"][:] = 1
    assert recording == made
    recording.totals["stall_ns"]["lock_wait"] = -1
    assert recording.totals == made.totals


def test_columns_are_attributes() -> None:
    recording = made_recording()
    assert recording.bins.accesses is recording.tables["bins"]["accesses"]
    assert "accesses" in dir(recording.bins)
    with pytest.raises(AttributeError, match="bins has no column acesses"):
        _ = recording.bins.acesses


@given(recordings())
def test_it_is_pickled(recording: Recording) -> None:
    again = pickle.loads(pickle.dumps(recording))  # noqa: S301 - our own bytes
    assert again == recording
    assert again.header.document() == recording.header.document()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (replace("bins", "accesses", [1, 2]), "bins.accesses has shape (2,); it must be (12,)"),
        (replace("bins", "accesses", [0.5] * 12), "bins.accesses has type float64; it must hold integers"),
        (put("bins", "accesses", -1), "bins.accesses holds -1; it must be 0 to 9007199254740991"),
        (put("bins", "accesses", 1 << 60), "bins.accesses holds 1152921504606846976; it must be 0 to"),
        (put("calls", "kind", 16), "calls.kind holds 16; it must not be above 15"),
        (put("calls", "vcpu", 2), "calls.vcpu holds 2; it must not be above 1"),
        (put("calls", "hold_ps", BIN_PS * 12), "it must not be longer"),
        (put("calls", "start_ps", BIN_PS * 12 - 1), "it must not be longer"),
        (put("events", "time_ps", BIN_PS * 12), "events.time_ps holds 12000000000; it must not be above 11999999999"),
        (put("events", "time_ps", BIN_PS * 12 - 1), "events.time_ps must not descend; row 1 does"),
        (put("events", "entries", 0), "events.entries holds 0; it must be 1 to"),
        (put("events", "traced", 2), "events.traced holds 2; it must be 0 to 1"),
        (put("events", "old", 32), "events.old holds 32; it must be 0 to 31"),
        (put("examples", "bin", 11, -2), "examples.bin"),
        (put("longest", "stall_ps", 0), "longest first, must not descend; row 1 does"),
        (put("cells", "frame_start", 1), "cells.frame_start runs from 1"),
        (put("cells", "frame_start", 99, 4), "cells.frame_start must not descend; row 5 does"),
        (put("cells", "cell", 4, 3), "cells.cell holds 4; there are 4 cells"),
        (put("cells", "cell", 3, 1), "cells.cell must ascend inside a frame"),
        (put("cell_map", "pages", 513), "cell_map.pages holds 513; a cell has 512 pages at most"),
        (replace("stalls", "hist", np.zeros((9, 511), np.int64)), "stalls.hist has shape (9, 511)"),
        (replace("bins", "more", [1]), "bins.'more' is no column"),
        (lambda _, tables: tables["bins"].pop("zaps"), "bins.zaps is missing"),
        (lambda _, tables: tables.pop("events"), "table events is missing"),
        (lambda _, tables: tables.update(more={}), "'more' is no table"),
        (say("bins", 0), "bins=0: Input should be greater than or equal to 1"),
        (say("bins", 2.0), "bins=2.0: Input should be a valid integer"),
        (say("vcpus", "2"), "vcpus='2': Input should be a valid integer"),
        (say("digest", "x"), "digest='x': String should match pattern"),
        (say("end_ps", BIN_PS), "end_ps=1000000000 must lie in the last of 12 bins of 1000000000 ps"),
        (say("causes", ["a"]), "causes=('a',) must be exit_and_fault, lock_wait"),
        (say("schema", "mmuviz-recording/2"), "schema='mmuviz-recording/2'"),
        (say("more", 1), "more=1: Extra inputs are not permitted"),
        (say("scenario", 1), "scenario=1: must be an object"),
        (say("scenario", {"a": float("nan")}), "must be JSON, not float"),
        (say("scenario", {"a": 1 << 64}), "must hold no integer beyond 64 bits"),
        (say("table_pages_at_enable", 601), "table_pages_peak=600 must not be below table_pages_at_enable=601"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(change: Change, said: str) -> None:
    with pytest.raises(InputError) as refused:
        changed(change)
    assert said in str(refused.value)
    assert str(refused.value).startswith("Recording")


def test_a_bin_has_few_examples() -> None:
    rows = 25
    many = {column.name: np.zeros(rows, dtype=np.int64) for column in TABLES["examples"]}
    with pytest.raises(InputError, match="examples has 25 rows of one bin; it may have 24"):
        changed(lambda _, tables: tables.update(examples=many))


@given(recordings())
def test_totals_are_sums_of_the_tables(recording: Recording) -> None:
    totals = recording.totals
    assert json.loads(json.dumps(totals)) == totals
    stall_ps = {cause: sum(recording.vcpus[f"stall_{cause}_ps"].tolist()) for cause in CAUSES}
    assert totals["stall_ns"] == {cause: (each + 500) // 1000 for cause, each in stall_ps.items()}
    assert totals["stall_total_ns"] == (sum(stall_ps.values()) + 500) // 1000
    assert totals["stall_p50_ns"] <= totals["stall_p99_ns"] <= totals["stall_max_ns"]
    assert totals["stall_max_ns"] <= totals["stall_worst_vcpu_ns"] <= totals["stall_total_ns"]
    assert sum(totals["faults"].values()) == sum(int(recording.vcpus[f"faults_{kind}"].sum()) for kind in FAULT_PATHS)
    assert list(totals["splits"]) == list(SPLIT_PLACES)
    at_enable = recording.header.table_pages_at_enable
    assert totals["table_bytes_added"] == (0 if at_enable is None else (600 - at_enable) * 4096)


def test_totals_of_calls() -> None:
    """Two GETs: 3 us with 1 us of mmu_lock and 5 pages; 4 us with 2 us and 7. A phase counts for no ioctl."""

    def change(_: dict[str, Any], tables: dict[str, dict[str, Any]]) -> None:
        calls = {name: array[:3].copy() for name, array in tables["calls"].items()}
        calls["kind"][:] = [1, 1, 7]
        calls["start_ps"][:], calls["end_ps"][:] = 0, [3_000_000, 4_000_499, 9_000_000]
        calls["hold_ps"][:], calls["wait_ps"][:] = [1_000_000, 2_000_000, 0], 0
        calls["reported_pages"][:] = [5, 7, -1]
        tables["calls"] = calls

    totals = changed(change).totals
    assert totals["ioctls"]["get"] == {"calls": 2, "total_ns": 7000, "longest_ns": 4000, "longest_hold_ns": 2000}
    assert totals["ioctls"]["clear"] == {"calls": 0, "total_ns": 0, "longest_ns": 0, "longest_hold_ns": 0}
    assert totals["dirty_reported_pages"] == 12


def test_the_buckets_are_those_of_the_clock() -> None:
    edges = [bucket_end_ps(bucket) for bucket in range(BUCKETS - 16)]
    assert edges == sorted(set(edges))
    for bucket, edge in enumerate(edges):
        assert bucket_of_ps(edge) == bucket_of_ps(bucket_start_ps(bucket)) == bucket


@given(st.lists(st.integers(1, 1 << 40), min_size=1), st.sampled_from([50, 90, 99]))
def test_a_quantile_is_an_upper_bound_within_a_fifth(stalls_ps: list[int], percent: int) -> None:
    """A bucket spans an eighth of its lower edge or less, and two digits are 10 % at most."""
    hist = np.zeros(BUCKETS, dtype=np.int64)
    for each in stalls_ps:
        hist[bucket_of_ps(each)] += 1
    longest_ns = -(-max(stalls_ps) // 1000)
    true_ps = sorted(stalls_ps)[-(-len(stalls_ps) * percent // 100) - 1]
    given_ns = quantile_ns(hist, percent, longest_ns)
    assert true_ps <= given_ns * 1000
    assert given_ns <= max(true_ps / 1000 * 1.125 * 1.1 + 2, 1)
    assert given_ns == longest_ns or len(str(given_ns).rstrip("0")) <= 2


def test_a_quantile_of_nothing_is_zero() -> None:
    assert quantile_ns(np.zeros(BUCKETS, dtype=np.int64), 99, 0) == 0


def test_the_header_is_read_again() -> None:
    document = made_header(3, 2, focus={"first": 0, "pages": 512}, end_ps=3 * BIN_PS)
    assert header_of(document).document() == document
