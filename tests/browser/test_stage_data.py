"""The stage's scripts parse, replay and sum up a Recording with the same results as Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Browser

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.recording.content import encode
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import (
    CALL_KINDS,
    CAUSES,
    FAULT_PATHS,
    IOCTL_COUNT,
    SPLIT_PLACES,
    TABLES,
)
from tests.browser.chooser import chooser
from tests.browser.packed import unpacked
from tests.browser.stage_runs import ALL, DOCUMENTS, NAMES, frame_times, recording_of, replayed, some_times
from tests.browser.stage_scripts import Stage, opened_stage
from tests.recording.made_recordings import made_recording

pytestmark = pytest.mark.xdist_group("stage")

PS_PER_S: Final = 10**12
EXACT: Final = 1e-9
"""Of what is divided or interpolated: doubles."""


@pytest.fixture(scope="module")
def stage(chromium: Browser, repository: Path) -> Iterator[Stage]:
    with opened_stage(chromium, repository) as stage:
        yield stage


# ---- bytes

COLUMNS: Final = """() => {
    const {header, tables} = S.decode(buffer);
    const columns = Object.entries(tables).flatMap(([table, columns]) =>
        Object.entries(columns).map(([name, values]) => [table, name, packed(values), values.constructor.name]));
    return {header, columns};
}"""
TYPES: Final = {"<i8": "Float64Array", "<i4": "Int32Array", "<i2": "Int16Array", "|u1": "Uint8Array"}


@pytest.mark.parametrize("name", ALL)
def test_a_recording_is_read_column_by_column(stage: Stage, name: str) -> None:
    made = recording_of(name)
    stage.give(made.content())
    # packed() knows no int16; a column of them is short, and doubles hold it.
    read = stage.run(COLUMNS.replace("packed(values)", "packed(values instanceof Int16Array ? [...values] : values)"))
    assert read["header"] == made.header.document()
    assert [tuple(each[:2]) for each in read["columns"]] == [
        (table, column.name) for table, columns in TABLES.items() for column in columns
    ]
    for table, column, packed, kind in read["columns"]:
        expected = made.tables[table][column]
        assert np.array_equal(unpacked(packed), expected.reshape(-1)), (table, column)
        assert kind == TYPES[expected.dtype.str], (table, column)


def test_numbers_beyond_32_bits_are_read(stage: Stage) -> None:
    most, made = (1 << 53) - 1, made_recording(3)
    tables = {name: dict(table.items()) for name, table in made.tables.items()}
    tables["bins"]["pages_4k"] = np.array([most, 0, 1 << 32, (1 << 32) - 1, most - 1, 5] * 2)
    tables["calls"]["iteration"] = np.array([-1, (1 << 31) - 1] * 7)
    tables["calls"]["tables_added"] = np.array([-most // 2, most // 2, -1, 0, 1, -(1 << 32), 1 << 31] * 2)
    stage.give(encode(made.header, Recording(made.header, tables).tables))
    for table, column in (("bins", "pages_4k"), ("calls", "iteration"), ("calls", "tables_added")):
        read = stage.run("([table, column]) => packed(S.decode(buffer).tables[table][column])", [table, column])
        assert np.array_equal(unpacked(read), tables[table][column]), column


NO_RECORDING: Final = "these bytes are no recording of MMUViz; load the page again"
DAMAGED: Final = "the recording is cut short or damaged; load the page again"
OTHER_VERSION: Final = "the recording is of another version; load the page again"
SAID: Final = """() => { try { S.decode(buffer); return ''; } catch (error) { return error.message; } }"""


def said(stage: Stage, data: bytes) -> str:
    stage.give(data)
    return str(stage.run(SAID))


def test_bytes_that_cannot_be_read_are_said_in_one_line(stage: Stage) -> None:
    data = recording_of("made 1").content()
    assert said(stage, data) == ""
    assert said(stage, b"") == said(stage, b"<!doctype html>") == said(stage, b"X" + data[1:]) == NO_RECORDING
    assert said(stage, data[:8] + bytes([data[8] + 1]) + data[9:]) == OTHER_VERSION
    assert said(stage, data + bytes(8)) == DAMAGED
    chosen = chooser("cuts")
    for at in (8, 16, 47, 48, len(data) - 1, *chosen.integers(16, len(data), 12).tolist()):
        assert said(stage, data[:at]) == DAMAGED, at
    for at in (12, 16, len(data) - 1, *chosen.integers(16, len(data), 12).tolist()):
        changed = bytes([data[at] ^ 1 << int(chosen.integers(8))])
        assert said(stage, data[:at] + changed + data[at + 1 :]) == DAMAGED, at


# ---- cells


@pytest.mark.parametrize("name", ALL)
def test_cells_are_a_replay_wherever_one_goes(stage: Stage, name: str) -> None:
    made, chosen = recording_of(name), chooser(name)
    frames = replayed(made)
    last = made.header.bins
    near = np.clip(np.cumsum(chosen.integers(-3, 4, 40)) + last // 2, 0, last).tolist()
    visits = [0, 1, 0, last, last, last - 1, *chosen.integers(0, last + 1, 30).tolist(), *near, 0]
    stage.open(name)
    shown: npt.NDArray[np.uint8] | None = None
    found = stage.run(
        "frames => frames.map(frame => [packed(r.cellsAt(frame)), r.changedSince && [...r.changedSince]])", visits
    )
    for frame, (packed, changed) in zip(visits, found, strict=True):
        assert np.array_equal(unpacked(packed), frames[frame].reshape(-1)), frame
        if shown is None:
            assert changed is None
        else:
            assert sorted(changed) == np.flatnonzero((shown != frames[frame]).any(axis=1)).tolist(), frame
        shown = frames[frame]
    assert_last_changes(stage, made, sorted({*visits[:12], *near[:5]}))


def assert_last_changes(stage: Stage, made: Recording, visits: list[int]) -> None:
    frame_of_row = np.repeat(np.arange(made.header.bins + 1), np.diff(made.cells.frame_start))
    last = stage.numbers("Array.from({length: r.cells}, (_, cell) => r.lastChange(cell, ps))", visits)
    for frame, row in zip(visits, last.reshape(len(visits), -1), strict=True):
        expected = np.full(len(made.cell_map.pages), -1)
        rows = made.cells.frame_start[frame + 1]
        np.maximum.at(expected, made.cells.cell[:rows], frame_of_row[:rows])
        assert np.array_equal(row, expected), frame


def test_two_cursors_of_a_run_do_not_hide_changes_from_each_other(stage: Stage) -> None:
    stage.open("lazy")
    one, other = stage.run(
        """() => {
            const [one, other] = [r.cellCursor(), r.cellCursor()];
            const changes = [];
            for (const frame of [0, r.bins >> 1, r.bins]) {
                one.at(frame);
                if (frame !== r.bins >> 1) { other.at(frame); }
            }
            return [[...one.changed].length, [...other.changed].length];
        }"""
    )
    frames = replayed(recording_of("lazy"))
    middle = (len(frames) - 1) // 2
    assert one == (frames[middle] != frames[-1]).any(axis=1).sum()
    assert other == (frames[0] != frames[-1]).any(axis=1).sum() > 0


def test_far_seeks_are_quick(stage: Stage) -> None:
    stage.open("lazy")
    took_ms = stage.run(
        """() => {
            const took = [];
            for (let i = 0; i < 60; i += 1) {
                const since = performance.now();
                r.cellsAt(i % 2 ? 0 : r.bins);
                took.push(performance.now() - since);
            }
            return took.sort((a, b) => a - b)[30];
        }"""
    )
    assert took_ms < 3  # the middle one: the machine may have much else to do


# ---- sums and states


class Sum(NamedTuple):
    """A sum that the scripts give, and its columns of `bins`."""

    expression: str
    columns: tuple[str, ...]
    per_vcpu: bool = False


STALLS: Final = tuple(f"stall_{cause}_ps" for cause in CAUSES)
SUMS: Final = (
    Sum("r.stallPs(ps)", STALLS, per_vcpu=True),
    *(Sum(f"r.stallBy(ps)[{at}]", (name,), per_vcpu=True) for at, name in enumerate(STALLS)),
    Sum("r.slowPs(ps)", ("slow_write_ps",), per_vcpu=True),
    Sum("r.accesses(ps)", ("accesses",)),
    *(Sum(f"r.faults(ps)[{at}]", (f"faults_{kind}",)) for at, kind in enumerate(FAULT_PATHS)),
    *(Sum(f"r.splits(ps)[{at}]", (f"splits_{place}",)) for at, place in enumerate(SPLIT_PLACES)),
    Sum("r.ioctlPs(ps)", ("ioctl_ps",)),
)


@pytest.mark.parametrize("name", NAMES)
def test_sums_are_those_of_the_bins_and_never_fall(stage: Stage, name: str) -> None:
    made = recording_of(name)
    stage.open(name)
    ends, times = frame_times(made), some_times(made, name)
    for each in SUMS:
        column = np.sum([made.bins[part] for part in each.columns], axis=0)
        sums = np.concatenate([[0], np.cumsum(column)]) / (made.header.vcpus if each.per_vcpu else 1)
        at_ends = stage.numbers(each.expression, ends)
        assert np.allclose(at_ends, sums, rtol=EXACT, atol=0), each.expression
        between = stage.numbers(each.expression, times)
        assert (np.diff(between) >= -EXACT * sums[-1]).all(), each.expression
        frames = np.searchsorted(ends, times, side="right") - 1
        above = sums[np.minimum(frames + 1, made.header.bins)]
        slack = EXACT * sums[-1]
        assert ((sums[frames] - slack <= between) & (between <= above + slack)).all(), each.expression


@pytest.mark.parametrize("name", NAMES)
def test_the_end_is_the_recording_s_totals(stage: Stage, name: str) -> None:
    made = recording_of(name)
    totals, vcpus = made.totals, made.header.vcpus
    stage.open(name)
    end = stage.run(
        """() => {
            const ps = r.endPs;
            return {accesses: r.accesses(ps), stall: r.stallPs(ps), by: [...r.stallBy(ps)], slow: r.slowPs(ps),
                faults: r.faults(ps), splits: r.splits(ps), leaves: r.leaves(ps), tables: r.tablesAdded(ps)};
        }"""
    )
    ns = 1000
    assert end["accesses"] == totals["accesses"]
    assert end["stall"] * vcpus == pytest.approx(totals["stall_total_ns"] * ns, abs=ns)
    assert [each * vcpus for each in end["by"]] == pytest.approx([t * ns for t in totals["stall_ns"].values()], abs=ns)
    assert end["slow"] * vcpus == pytest.approx(totals["slow_writes_ns"] * ns, abs=ns)
    assert end["faults"] == list(totals["faults"].values())
    assert end["splits"] == list(totals["splits"].values())
    assert list(end["leaves"].values()) == list(totals["leaves"].values())
    at_enable = made.header.table_pages_at_enable
    added = 0 if at_enable is None else totals["table_bytes_end"] - at_enable * PAGE_BYTES
    assert end["tables"] == added
    if "disable" not in {CALL_KINDS[code] for code in made.calls.kind}:
        assert added == totals["table_bytes_added"]


@pytest.mark.parametrize("name", NAMES)
def test_states_step_at_the_ends_of_bins(stage: Stage, name: str) -> None:
    made = recording_of(name)
    stage.open(name)
    times, ends, bins = some_times(made, name), frame_times(made), made.bins
    frames = np.searchsorted(ends, times, side="right") - 1
    assert np.array_equal(stage.numbers("r.frame(ps)", times), frames)
    assert np.array_equal(stage.numbers("r.binAt(ps)", times), np.minimum(frames, made.header.bins - 1))
    later = frames > 0
    leaves = stage.numbers("Object.values(r.leaves(ps))", times)
    expected = np.stack([bins.pages_4k, bins.pages_2m, bins.pages_1g], axis=1)
    assert np.array_equal(leaves[later], expected[frames[later] - 1])
    dirty = stage.numbers("r.dirtyPages(ps)", times)
    assert np.array_equal(dirty, np.where(later, bins.dirty_pages[frames - 1], 0))
    tables = stage.numbers("r.tablesAdded(ps)", times)
    enables = made.calls.start_ps[made.calls.kind == CALL_KINDS.index("enable")]
    since = np.zeros(len(times), dtype=bool) if len(enables) == 0 else ends[frames] >= enables[0]
    before = made.header.table_pages_at_enable or 0
    assert np.array_equal(tables, np.where(since, (bins.table_pages[frames - 1] - before) * PAGE_BYTES, 0))
    if "disable" not in {CALL_KINDS[code] for code in made.calls.kind}:
        assert (np.diff(tables) >= 0).all()


def test_leaves_at_time_0_are_those_that_the_guest_has(stage: Stage) -> None:
    for name, leaves in (("lazy", [0, 0, 1]), ("perf test", [0, 0, 0]), ("chunks", [0, 8, 0])):
        stage.open(name)
        assert stage.run("() => Object.values(r.leaves(0))") == leaves, name


def test_what_enabling_causes_does_not_rise_before_it(stage: Stage) -> None:
    made = recording_of("lazy")
    stage.open("lazy")
    enable_ps = int(made.calls.start_ps[made.calls.kind == 0][0])
    assert stage.run("() => r.enablePs") == enable_ps
    assert enable_ps % made.header.bin_ps > 1
    around = [enable_ps - 1, enable_ps, enable_ps + made.header.bin_ps]
    for expression in ("r.stallPs(ps)", "r.splits(ps)[2]", "r.ioctlPs(ps)", "r.faults(ps)[2]"):
        before, at, after = stage.numbers(expression, around)
        assert before == at == 0 < after, expression


@pytest.mark.parametrize("name", NAMES)
def test_rates_and_speed(stage: Stage, name: str) -> None:
    made = recording_of(name)
    stage.open(name)
    times, ends = some_times(made, name), frame_times(made)
    at = np.minimum(np.searchsorted(ends, times, side="right") - 1, made.header.bins - 1)
    expected = made.bins.accesses[at] / np.diff(ends)[at] * PS_PER_S
    assert np.allclose(stage.numbers("r.rate(ps)", times), expected, rtol=EXACT)
    speed = stage.numbers("r.speed(ps)", times)
    # Nothing slows down ahead of the first enable: before it, its bin has the speed of the one before.
    enables = made.calls.start_ps[made.calls.kind == CALL_KINDS.index("enable")]
    if len(enables):
        enabling = min(np.searchsorted(ends, enables[0], side="right") - 1, made.header.bins - 1)
        at = np.where((at == enabling) & (np.asarray(times) < enables[0]) & (at > 0), at - 1, at)
        expected = made.bins.accesses[at] / np.diff(ends)[at] * PS_PER_S
    assert ((speed >= 0) & (speed <= 1)).all()
    # Full speed is that of whole bins before the first ioctl in which nothing had to be mapped and nearly nobody stood.
    before = ends[1:] <= np.append(made.calls.start_ps[made.calls.kind < IOCTL_COUNT], np.iinfo(np.int64).max)[0]
    plain = before & (np.diff(ends) == made.header.bin_ps)
    plain &= (made.bins.accesses > 0) & (made.bins.faults_not_present == 0)
    stalled = sum(made.bins[f"stall_{cause}_ps"].astype(float) for cause in CAUSES) / made.header.vcpus
    plain &= stalled < 0.01 * made.header.bin_ps
    full = made.bins.accesses[plain].mean() / made.header.bin_ps * PS_PER_S if plain.any() else 0
    if full:
        assert np.allclose(speed, np.minimum(1, expected / full), rtol=EXACT)
    else:  # the share of its busy time in which the guest is neither stalled nor slower
        shares = made.vcpu_bins.shares.reshape(made.header.bins, made.header.vcpus, 4).sum(axis=1) / 255
        busy = shares[:, :3].sum(axis=1)
        slower = made.bins.slow_write_ps / np.diff(ends)
        free = np.where(busy > 0, np.maximum(0, shares[:, 0] - slower) / np.maximum(busy, 1e-9), 1)
        assert np.allclose(speed, free[at], rtol=EXACT)
    if name in ("lazy", "eager"):
        assert full == pytest.approx(DOCUMENTS[name]["workload"]["rate_hz"] * made.header.vcpus, rel=0.001)
