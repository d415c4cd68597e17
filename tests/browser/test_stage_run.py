"""Positions of actors, counters and ioctls at any time: the stage's scripts agree with the Recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Browser

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import (
    CALL_KINDS,
    EXAMPLE_KINDS,
    FULL_SHARE,
    IOCTL_COUNT,
    PATHS,
    WALKS,
)
from tests.browser.stage_runs import ALL, DOCUMENTS, GIB, NAMES, frame_times, recording_of, some_times
from tests.browser.stage_scripts import Stage, opened_stage

pytestmark = pytest.mark.xdist_group("stage")

I64 = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def stage(chromium: Browser, repository: Path) -> Iterator[Stage]:
    with opened_stage(chromium, repository) as stage:
        yield stage


@pytest.mark.parametrize("name", ALL)
def test_calls_are_the_ioctls(stage: Stage, name: str) -> None:
    made = recording_of(name)
    stage.open(name)
    ioctls = np.flatnonzero(made.calls.kind < IOCTL_COUNT)
    found = stage.run("() => r.calls.map(c => [c.kind, c.startPs, c.endPs, c.slot, c.waitPs, c.holdPs, c.reported])")
    names = ("start_ps", "end_ps", "slot", "wait_ps", "hold_ps", "reported_pages")
    assert found == [
        [CALL_KINDS[made.calls.kind[row]], *(int(made.calls[column][row]) for column in names)] for row in ioctls
    ]
    assert stage.run("() => r.phases.length") == len(made.calls.kind) - len(ioctls)
    times = some_times(made, name)
    starts, ends = made.calls.start_ps[ioctls], made.calls.end_ps[ioctls]
    inside = (starts <= times[:, np.newaxis]) & (times[:, np.newaxis] < ends)
    expected = np.where(inside.any(axis=1), inside.argmax(axis=1), -1) if len(ioctls) else np.full(len(times), -1)
    assert np.array_equal(stage.numbers("r.calls.indexOf(r.callAt(ps))", times), expected)


@pytest.mark.parametrize("name", ALL)
def test_the_example_is_the_last_one(stage: Stage, name: str) -> None:
    made = recording_of(name)
    stage.open(name)
    rows, times = made.examples, some_times(made, name)[::4]
    found = stage.run("times => times.map(ps => r.exampleAt(ps))", times.tolist())
    order = np.argsort(rows.time_ps, kind="stable")
    for ps, example in zip(times, found, strict=True):
        up_to = int(np.searchsorted(rows.time_ps[order], ps, side="right"))
        if up_to == 0:
            assert example is None
            continue
        row = order[up_to - 1]
        assert example == {
            "timePs": rows.time_ps[row],
            "vcpu": rows.vcpu[row],
            "kind": EXAMPLE_KINDS[rows.kind[row]],
            "level": rows.level[row],
            "old": rows.old[row],
            "new": rows.new[row],
            "gfn": rows.gfn[row],
            "path": PATHS[rows.path[row]],
            "stallPs": rows.stall_ps[row],
        }


@pytest.mark.parametrize("name", NAMES)
def test_vcpus_are_where_the_recording_has_them(stage: Stage, name: str) -> None:
    made = recording_of(name)
    stage.open(name)
    vcpus, ends = made.header.vcpus, frame_times(made)
    everyone = "Array.from({length: r.vcpus}, (_, vcpu) => r.vcpuGfn(ps, vcpu))"
    gfns = made.vcpu_bins.gfn.reshape(-1, vcpus)
    assert np.array_equal(stage.numbers(everyone, ends[1:]).reshape(-1, vcpus), gfns)
    between = stage.numbers(everyone, some_times(made, name)).reshape(-1, vcpus)
    first, pages = made.cell_map.first_gfn, made.cell_map.pages
    cells = np.searchsorted(first, between, side="right") - 1
    inside = (cells >= 0) & (between < first[cells] + made.header.cell_pages)
    assert ((between == -1) | inside).all()
    assert pages.min() > 0
    shares = stage.numbers("[...r.vcpuShares(ps, 0)]", np.arange(made.header.bins))
    assert np.allclose(shares, made.vcpu_bins.shares.reshape(-1, vcpus, 4)[:, 0] / FULL_SHARE)


@pytest.mark.parametrize(("name", "passes"), [("lazy", 0), ("eager", 2)])
def test_a_sweep_goes_on_between_the_ends_of_bins(stage: Stage, name: str, passes: int) -> None:
    """Each vCPU writes its quarter of 1 GiB in order: never backwards but from the quarter's end to its begin."""
    made = recording_of(name)
    stage.open(name)
    times = np.arange(0, made.header.end_ps, made.header.bin_ps // 7)
    quarter = GIB // PAGE_BYTES // 4
    base = 4 * GIB // PAGE_BYTES
    for vcpu in range(4):
        places = stage.numbers(f"r.vcpuGfn(ps, {vcpu})", times) - base - vcpu * quarter
        assert ((places >= 0) & (places < quarter)).all()
        assert places[0] == 0
        steps = np.diff(places)
        backwards = steps < 0
        written = made.vcpus.accesses[vcpu]
        assert backwards.sum() == written // quarter >= passes
        forward = np.where(backwards, steps + quarter, steps)
        assert forward.sum() == pytest.approx(written, abs=int(made.bins.accesses.max()))
        assert forward.max() <= made.bins.accesses.max()


def in_calls(made: Recording, times: I64) -> npt.NDArray[np.bool_]:
    """Return the mask of times that are inside an ioctl."""
    ioctls = made.calls.kind < IOCTL_COUNT
    starts, stops = made.calls.start_ps[ioctls], made.calls.end_ps[ioctls]
    begun = np.searchsorted(starts, times, side="right")
    found: npt.NDArray[np.bool_] = times < np.append(0, stops)[begun]
    return found


WALK: Final = "(w => [w ? r.header.vocabularies.walks.indexOf(w.kind) : 0, w ? w.gfn : -1])(r.walkAt(ps))"


@pytest.mark.parametrize("name", ALL)
def test_walks_are_where_the_recording_has_them(stage: Stage, name: str) -> None:
    made = recording_of(name)
    stage.open(name)
    ends, times = frame_times(made)[1:], some_times(made, name, count=400)
    called, walk = in_calls(made, ends), made.bins.walk
    during = called & (walk > 0)
    at_ends = stage.numbers(WALK, ends)
    assert np.array_equal(at_ends[during], np.stack([walk, made.bins.walk_gfn], axis=1)[during])
    if name in NAMES:
        assert not walk[:-1][~called[:-1]].any()  # the ioctl thread walks in its calls alone
    between = stage.numbers(WALK, times)
    assert (between[~in_calls(made, times)] == [0, -1]).all()


@pytest.mark.parametrize(("name", "walks"), [("eager", 1), ("eager memslots", 2)])
def test_a_walk_goes_on_between_the_ends_of_bins(stage: Stage, name: str, walks: int) -> None:
    """Enabling goes over each memslot twice, each time from its first page on."""
    made = recording_of(name)
    stage.open(name)
    enables = np.flatnonzero(made.calls.kind == CALL_KINDS.index("enable"))
    assert len(enables) == walks
    for row in enables:
        start, stop, slot = (int(made.calls[column][row]) for column in ("start_ps", "end_ps", "slot"))
        base = DOCUMENTS[name]["memory"][slot]["base"] // PAGE_BYTES
        times = np.linspace(start, stop - 1, 500).astype(np.int64)
        kinds, gfns = stage.numbers(WALK, times).T
        assert [WALKS[int(kind)] for kind in dict.fromkeys(kinds) if kind][:2] == ["split", "clear_dirty"]
        # A call may begin just before a bin's end and walk just behind it, and end a little after its last walk.
        without = times[kinds == 0] // made.header.bin_ps
        assert np.isin(without, [start // made.header.bin_ps, stop // made.header.bin_ps]).all()
        assert gfns[kinds > 0][0] == pytest.approx(base, abs=GIB // PAGE_BYTES // 100)
        for kind in ("split", "clear_dirty"):
            of_kind = gfns[kinds == WALKS.index(kind)]
            assert (np.diff(of_kind) >= 0).all()
            assert len(np.unique(of_kind)) > 50
            assert ((base <= of_kind) & (of_kind <= base + GIB // PAGE_BYTES)).all()
