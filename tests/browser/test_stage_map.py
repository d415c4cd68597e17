"""The stage's maps show the states of the Recording, with equal pixels for equal states in every pane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Browser

from mmuviz.engine.choices.vm import VmChoices
from mmuviz.recording.schema import CALL_KINDS, FULL_SHARE
from tests.browser.chooser import chooser
from tests.browser.packed import unpacked
from tests.browser.stage_maps import opened_maps
from tests.browser.stage_runs import frame_times, recording_of, replayed
from tests.browser.stage_scripts import Stage

pytestmark = pytest.mark.xdist_group("stage")

ENABLE: Final = CALL_KINDS.index("enable")


@pytest.fixture(scope="module")
def stage(chromium: Browser, repository: Path) -> Iterator[Stage]:
    with opened_maps(chromium, repository) as stage:
        yield stage


@pytest.fixture
def still(stage: Stage) -> Iterator[Stage]:
    """The stage with reduced motion: maps show the states at the ends of bins, and changes are not highlighted."""
    stage.page.emulate_media(reduced_motion="reduce")
    yield stage
    stage.page.emulate_media(reduced_motion="no-preference")


LAYER: Final = """({frames, times, width, height, ratio}) => {
    const pane = paneOf(r, width, height, ratio);
    const {layout, sheet} = pane;
    const ctx = pane.layerCtx;
    const found = times.map((ps) => {
        pane.draw(ps);
        return Array.from({length: r.cells}, (_, cell) => {
            const at = [layout.x[cell], layout.y[cell], layout.pitch, layout.pitch];
            return ['dirty', 'g2', 'g4', 'line', 'stall', 'ioctl'].map((name) =>
                maskOf(ctx, ...at, tokens[name]).reduce((sum, one) => sum + one, 0));
        });
    });
    return {found: packed(found.flat(3)), geometry: sheet.geometry, pitch: layout.pitch};
}"""


def expected_dots(share: npt.NDArray[Any], dots: int) -> npt.NDArray[Any]:
    some = np.clip(np.ceil(share.astype(float) / FULL_SHARE * dots), 1, dots - 1)
    return np.where(share == 0, 0, np.where(share == FULL_SHARE, dots, some)).astype(int)


@pytest.mark.parametrize("name", ["lazy", "eager", "ring", "memslots"])
@pytest.mark.parametrize("ratio", [1, 2])
def test_a_map_shows_the_states_of_its_recording(still: Stage, name: str, ratio: int) -> None:
    made = recording_of(name)
    states = replayed(made)
    frames = np.unique(chooser("frames", name).integers(0, len(states), 6))
    still.open(name)
    size = {"width": 616, "height": 316, "ratio": ratio}
    answer = still.run(LAYER, {"times": frame_times(made)[frames].tolist(), "frames": frames.tolist(), **size})
    found = unpacked(answer["found"]).reshape(len(frames), len(made.cell_map.pages), 6).astype(int)
    geometry = answer["geometry"]
    dots, dot = geometry["dots"] ** 2, (geometry["step"] - geometry["gap"]) ** 2
    shown = states[frames]
    dirty = expected_dots(shown[:, :, 7], dots)
    assert (found[:, :, 0] == dirty * dot).all()
    assert not found[:, :, 4:].any()
    mesh = shown[:, :, 1] == FULL_SHARE
    assert (found[:, :, 1:3].sum(axis=2) == (dots - dirty) * dot)[mesh].all()
    armed = expected_dots(shown[:, :, 4], dots)
    assert (found[:, :, 1] == np.minimum(armed, dots - dirty) * dot)[mesh].all()
    clean_tile = (shown[:, :, 2] == FULL_SHARE) & (dirty == 0)
    assert (found[:, :, 1] > 0.5 * geometry["tile"] ** 2)[clean_tile].all()
    assert not found[:, :, 2][clean_tile].any()
    clean_slab = (shown[:, :, 3] == FULL_SHARE) & (dirty == 0)
    assert not found[:, :, 1:4][clean_slab].any()


SAME: Final = """({times, sizes}) => sizes.map(([width, height, ratio]) => {
    const looks = new Map();
    let wrong = 0;
    for (const run of runs) {
        const pane = paneOf(run, width, height, ratio);
        const shares = run.cellCursor();
        for (const ps of times) {
            pane.draw(ps);
            const now = shares.at(run.frame(ps));
            for (let cell = 0; cell < run.cells; cell += 1) {
                const state = [...now.subarray(8 * cell, 8 * cell + 8), pane.edges[cell], pane.rows[cell]].join();
                const {x, y, pitch} = pane.layout;
                const pixels = pixelsOf(pane.layerCtx, x[cell], y[cell], pitch, pitch);
                wrong += looks.has(state) && looks.get(state) !== pixels;
                looks.set(state, pixels);
            }
        }
    }
    return [looks.size, wrong];
})"""


def test_equal_states_give_equal_ink_in_every_pane(still: Stage) -> None:
    still.open("lazy", "eager")
    ends = frame_times(recording_of("lazy"))
    times = ends[[0, 30, 60, len(ends) // 2, -1]].tolist()
    sizes = [(616, 316, 1), (386, 206, 1), (336, 175, 2), (936, 462, 1)]
    for states, wrong in still.run(SAME, {"times": times, "sizes": sizes}):
        assert states > 10
        assert wrong == 0


def test_drawn_again_after_any_seek_a_map_is_the_same(stage: Stage) -> None:
    stage.open("lazy")
    times = chooser("seeks").integers(0, recording_of("lazy").header.end_ps, 12).tolist()
    wrong = stage.run(
        """times => {
            const pane = paneOf(r, 616, 316);
            const all = () => pixelsOf(pane.ctx, 0, 0, pane.canvas.width, pane.canvas.height);
            return times.filter((ps) => {
                pane.draw(ps);
                const seen = all();
                for (const other of [0, ps + 5e9, ps - 3e9, r.endPs]) {
                    pane.draw(Math.max(0, Math.min(r.endPs, other)));
                }
                pane.draw(ps);
                const again = all() === seen;
                S.cellFrames(r).frame = -2;
                pane.draw(ps);
                return !again || all() !== seen;
            });
        }""",
        times,
    )
    assert wrong == []


@pytest.mark.parametrize("name", ["lazy", "eager", "chunks", "ring"])
def test_between_ends_of_bins_a_cell_shows_a_state_before_or_after(stage: Stage, name: str) -> None:
    stage.open(name)
    wrong = stage.run(
        """() => {
            const frames = S.cellFrames(r);
            const [before, after] = [r.cellCursor(), r.cellCursor()];
            const wrong = [];
            for (let frame = 0; frame < r.bins; frame += 1) {
                const [a, b] = [before.at(frame), after.at(frame + 1)];
                const [from, to] = [r.framePs(frame), r.framePs(frame + 1)];
                for (const part of [0, 0.3, 0.7, 0.9999]) {
                    frames.seek(Math.floor(from + (to - from) * part));
                    for (let cell = 0; cell < r.cells; cell += 1) {
                        const at = 8 * cell;
                        const is = (other) => [1, 2, 3, 4, 5, 6].every((i) =>
                            frames.at(cell)[at + i] === other[at + i]);
                        const split = a[at + 3] === 255 && b[at + 1] > 0 && frames.at(cell)[at + 2] === 255;
                        const [low, high] = [Math.min(a[at + 7], b[at + 7]), Math.max(a[at + 7], b[at + 7])];
                        const dirty = frames.dirty(cell);
                        const first = part === 0 && (!is(a) || dirty !== a[at + 7]);
                        if (first || !(is(a) || is(b) || split) || dirty < low || dirty > high) {
                            wrong.push([frame, part, cell]);
                        }
                    }
                }
            }
            return wrong.slice(0, 5);
        }"""
    )
    assert wrong == []


def test_a_new_change_has_its_colour_for_a_while(stage: Stage) -> None:
    stage.open("lazy", "eager")
    seen = stage.run(
        """() => runs.map((run) => {
            const pane = paneOf(run, 616, 316, 1, {psPerSecond: () => 1e9});
            const call = run.calls[0];
            const ink = (ps) => {
                pane.draw(ps);
                return ['stall', 'ioctl'].map((name) =>
                    maskOf(pane.layerCtx, 0, 0, pane.layer.width, pane.layer.height, tokens[name])
                        .reduce((sum, one) => sum + one, 0));
            };
            const most = [0, 0];
            for (let ps = call.startPs; ps < call.startPs + 12e9; ps += 0.05e9) {
                ink(ps).forEach((count, at) => { most[at] = Math.max(most[at], count); });
            }
            return [...most, ...ink(0), ...ink(run.endPs)];
        })"""
    )
    (lazy_stall, lazy_ioctl, *lazy_rest), (eager_stall, eager_ioctl, *eager_rest) = seen
    assert lazy_stall > 0 == lazy_ioctl
    assert eager_ioctl > 0 == eager_stall
    assert not any(lazy_rest)
    assert not any(eager_rest)


# ---- actors


def test_vcpus_stand_where_they_work(stage: Stage) -> None:
    made = recording_of("lazy")
    stage.open("lazy")
    times = chooser("actors").integers(0, made.header.end_ps, 40).tolist()
    found = stage.run(
        """times => {
            const pane = paneOf(r, 616, 316);
            return times.flatMap((ps) => {
                pane.draw(ps);
                return pane.actors.heads.map(({vcpu, x, track, top}) => {
                    const cells = (r.vcpuGfn(ps, vcpu) - r.firstGfn[track.first]) / pane.layout.span;
                    const hit = pane.hit(x, top + pane.actors.lane / 2);
                    return [x - track.x - (cells / pane.layout.rows) * pane.layout.pitch, hit && hit.vcpu === vcpu];
                });
            });
        }""",
        times,
    )
    assert len(found) == len(times) * made.header.vcpus
    assert max(abs(x) for x, _ in found) < 1e-6
    assert sum(bool(hit) for _, hit in found) > 0.9 * len(found)


def test_a_vcpu_does_what_it_does_for_most_of_the_bin_for_the_recording_s_reason(stage: Stage) -> None:
    stage.open("lazy", "eager", "ring", "chunks")
    lazy, *others = stage.run(
        """() => runs.map((run) => {
            const states = new S.VcpuStates(run);
            const out = new Float64Array(4);
            const found = [];
            for (let bin = 0; bin < run.bins; bin += 1) {
                const ps = run.framePs(bin + 1) - 1;
                if (run.binAt(ps) === bin && run.binAt(run.enablePs) !== bin) {
                    states.at(ps).forEach(({state, text, stalled}, vcpu) =>
                        found.push([bin, [...run.vcpuShares(bin, vcpu, out)], state, text, stalled]));
                }
            }
            return found;
        })"""
    )
    for found in (lazy, *others):
        for bin_, (running, *stalls), state, text, stalled in found:
            idle = 1 - running - sum(stalls)
            does = {"runs": running, "slower": running, "stopped": sum(stalls), "idle": idle}
            assert does[state] == pytest.approx(max(does.values()), abs=1e-9), bin_
            assert stalled == pytest.approx(sum(stalls))
            assert bool(text) == (state != "runs")
    assert {text for *_, state, text, _ in lazy if state == "stopped"} <= {
        "write fault",
        "splits",
        "new table",
        "mmu_lock",
        "page fault",
    }
    assert any(state == "stopped" and text == "write fault" for *_, state, text, _ in lazy)
    before = recording_of("lazy").calls.start_ps[1] // recording_of("lazy").header.bin_ps
    assert all(state == "runs" for bin_, _, state, *_ in lazy if 2 < bin_ < before)


def test_a_loupe_draws_at_every_time_and_size(stage: Stage) -> None:
    for name in ("lazy", "eager", "ring", "memslots", "without logging", "made 1"):
        stage.open(name)
        drawn = stage.run(
            """() => [[236, 146], [488, 148], [376, 278]].map(([width, height]) => {
                const canvas = document.createElement('canvas');
                canvas.style.cssText = `width:${width}px;height:${height}px`;
                document.body.replaceChildren(canvas);
                const loupe = new S.Loupe(canvas, r, {tokens, psPerSecond: () => 1e9});
                for (let part = 0; part <= 1; part += 0.02) {
                    loupe.draw(Math.floor(r.endPs * part));
                }
                return maskOf(loupe.ctx, 0, 0, canvas.width, canvas.height, tokens.ink).includes(1);
            })"""
        )
        assert all(drawn)


@pytest.mark.parametrize(
    ("vm", "letters"),
    [
        ({"vendor": "intel", "mmu": "tdp"}, "R W A D"),
        ({"vendor": "amd", "mmu": "tdp"}, "P W A D"),
        ({"vendor": "arm64", "mmu": "stage2"}, "V R W AF"),
        ({"vendor": "intel", "mmu": "shadow_paging"}, "P W A D"),
    ],
)
def test_bits_of_an_entry_have_the_vendors_names(stage: Stage, vm: dict[str, str], letters: str) -> None:
    assert VmChoices.model_validate(vm).mmu == vm["mmu"]
    found = stage.run(
        """vm => {
            const format = S.spteFormat({header: {scenario: {vm}}});
            return [1 | 2 | 8, 1, 0, 1 | 16].map((bits) => S.spteBits(format, bits));
        }""",
        vm,
    )
    assert " ".join(name for name, _ in found[0]) == letters
    assert all(is_set for _, is_set in found[0])
    assert dict(found[1])["W"] is False
    assert found[2:] == [None, None]


@pytest.mark.parametrize("name", ["chunks", "perf test", "memslots", "lazy", "ring"])
def test_a_set_bit_says_nothing_until_it_was_cleared_once(still: Stage, name: str) -> None:
    made = recording_of(name)
    times = frame_times(made)
    whole = replayed(made)[:, :, 7] == FULL_SHARE
    begins = [int(start) for start, kind in zip(made.calls.start_ps, made.calls.kind, strict=True) if kind == ENABLE]
    logged = times >= begins[0]
    ever = np.maximum.accumulate(np.where(logged[:, None], whole, False), axis=0)  # noqa: FBT003 - a value of the mask
    cleared = np.maximum.accumulate(ever & ~whole, axis=0)
    begins_set = name in {"chunks", "perf test", "memslots"}
    wanted = whole & ~cleared & logged[:, None] & begins_set
    still.open(name)
    script = """times => { const frames = S.cellFrames(r); return packed(times.flatMap((ps) => {
        frames.seek(ps);
        return Array.from({length: r.cells}, (_, cell) => Number(frames.unarmed(cell)));
    })); }"""
    found = unpacked(still.run(script, times.tolist())).reshape(wanted.shape)
    assert found.astype(bool).tolist() == wanted.tolist()
    assert wanted.any() or not begins_set or name == "memslots"
