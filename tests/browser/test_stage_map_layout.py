"""Layout of a map: tracks cover any guest, and a point gives the pages at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Browser

from mmuviz.engine.frames import cell_map
from tests.browser.chooser import chooser
from tests.browser.stage_maps import opened_maps
from tests.browser.stage_runs import recording_of
from tests.browser.stage_scripts import Stage

pytestmark = pytest.mark.xdist_group("stage")

PER_2M: Final = 512


@pytest.fixture(scope="module")
def stage(chromium: Browser, repository: Path) -> Iterator[Stage]:
    with opened_maps(chromium, repository) as stage:
        yield stage


def slots_of(seed: int) -> list[tuple[int, int]]:
    """Memslots that do not overlap, of any size and anywhere, ascending: first gfn and pages."""
    choose = chooser("memslots", seed)
    found = []
    gfn = int(choose.integers(0, 1 << 19))
    for _ in range(int(choose.integers(1, 33 if seed % 4 == 0 else 5))):
        unit = [1, PER_2M, 1 << 18][int(choose.integers(3))]
        gfn = -(-gfn // unit) * unit
        pages = unit * int(
            choose.integers(1, [2000, 700, 1500 if seed % 3 == 0 else 6][[1, PER_2M, 1 << 18].index(unit)])
        )
        found.append((gfn, pages))
        gfn += pages + int(choose.choice([0, 1, 512, 100_000, 1 << 20]))
    return found


LAYOUT: Final = """guests => guests.map(({first, span, slots, width, height, label, dpr}) => {
    const guest = {cells: first.length, firstGfn: Float64Array.from(first), span, slots};
    const {tracks, x, y, trackOf, ...rest} = S.mapLayout(guest, {width, height, label, gap: 8, dpr});
    return {...rest, tracks, x: [...x], y: [...y], trackOf: [...trackOf]};
})"""


def test_tracks_tile_any_guest_without_overlap(stage: Stage) -> None:
    guests, maps = [], []
    for seed in range(60):
        slots = slots_of(seed)
        cells = cell_map(slots)
        shown = np.flatnonzero(cells.pages)
        maps.append(cells.first_gfn[shown])
        width, height, label, dpr = [(616, 316, 40, 1), (336, 175, 0, 2), (936, 462, 84, 1), (302, 162, 0, 1.5)][
            seed % 4
        ]
        space = {"width": width, "height": height, "label": label, "dpr": dpr}
        as_slots = [{"first": first, "pages": pages} for first, pages in slots]
        guests.append({"first": maps[-1].tolist(), "span": 1 << cells.shift, "slots": as_slots, **space})
    for guest, first, found in zip(guests, maps, stage.run(LAYOUT, guests), strict=True):
        assert_tiled(guest, first, found)


def assert_tiled(guest: dict[str, Any], first: npt.NDArray[np.int64], found: dict[str, Any]) -> None:
    pitch, tracks, rows = found["pitch"], found["tracks"], found["rows"]
    starts = [track["first"] for track in tracks]
    ends = [track["first"] + track["count"] for track in tracks]
    assert [0, *ends] == [*starts, len(first)]
    x, y = np.array(found["x"]), np.array(found["y"])
    assert (x >= 0).all()
    assert (x + pitch <= guest["width"] * guest["dpr"] + 0.5).all()
    assert (y + pitch <= found["height"]).all()
    assert len(set(zip((x - x.min()) / pitch, y.tolist(), strict=True))) == len(first)
    taken = np.zeros((found["height"], found["width"]), dtype=np.int8)
    for left, top in zip(x.tolist(), y.tolist(), strict=True):
        taken[top : top + pitch, left : left + pitch] += 1
    assert taken.max() == 1
    for track in tracks:
        of = slice(track["first"], track["first"] + track["count"])
        assert (np.diff(x[of]) >= 0).all()  # the address grows to the right
        assert (np.diff(first[of]) == guest["span"]).all()  # and has no gap inside a track
        assert (np.array(found["trackOf"])[of] == track["index"]).all()
        assert ((x[of] - track["x"]) // pitch == np.arange(track["count"]) // rows).all()
    # No cell of another memslot in a track, but one that two memslots share.
    bounds = np.array([slot["first"] for slot in guest["slots"]])
    begins = np.isin(first, bounds)
    assert set(np.flatnonzero(begins)) <= set(starts)


def test_the_default_guest_has_four_tracks_of_64_columns(stage: Stage) -> None:
    first = (np.arange(2048) * PER_2M + (1 << 20)).tolist()
    slots = [{"first": 1 << 20, "pages": 1 << 20}]
    spaces = [
        (616, 316, 40, 1),
        (386, 206, 0, 1),
        (336, 175, 0, 2),
        (936, 462, 84, 1),
        (302, 162, 0, 1),
        (488, 252, 40, 1),
    ]
    guests = [
        {"first": first, "span": PER_2M, "slots": slots, "width": width, "height": height, "label": label, "dpr": dpr}
        for width, height, label, dpr in spaces
    ]
    found = stage.run(LAYOUT, guests)
    assert [(len(each["tracks"]), each["rows"], each["tracks"][0]["columns"]) for each in found] == [(4, 8, 64)] * 6
    # Small windows have smaller gaps between tracks than this test gives; their pitch may be one less.
    assert found[0]["pitch"] == 9
    assert found[3]["pitch"] == 13


@pytest.mark.parametrize("name", ["lazy", "memslots", "chunks", "eager memslots"])
def test_a_point_tells_its_pages(stage: Stage, name: str) -> None:
    made = recording_of(name)
    stage.open(name)
    answer = stage.run(
        """points => [1, 2].map((ratio) => {
            const pane = paneOf(r, 616, 316, ratio);
            pane.draw(0);
            const {layout} = pane;
            const inside = Array.from({length: r.cells}, (_, cell) => {
                const [a, b] = points[cell % points.length];
                const [x, y] = [layout.x[cell] + layout.pitch * a, layout.y[cell] + layout.pitch * b];
                return pane.hit(x / ratio, y / ratio);
            });
            const last = Math.max(...layout.x) + layout.pitch;
            const spots = Array.from(r.firstGfn, (gfn, cell) => {
                const spot = pane.spotOf(gfn + Math.floor(r.cellPages[cell] / 2));
                return [spot.cell, spot.x - layout.x[cell]];
            });
            const outside = [pane.hit(-1, 5), pane.hit((last + 1) / ratio, 20), pane.hit(20, 5000)];
            return {inside, outside, spots, pitch: layout.pitch, none: pane.spotOf(1), nowhere: pane.spotOf(-1)};
        })""",
        chooser("points").random((97, 2)).clip(0.02, 0.98).tolist(),
    )
    for ratio in answer:
        assert [each["cell"] for each in ratio["inside"]] == list(range(len(made.cell_map.pages)))
        assert [each["firstGfn"] for each in ratio["inside"]] == made.cell_map.first_gfn.tolist()
        assert [each["pages"] for each in ratio["inside"]] == made.cell_map.pages.tolist()
        assert ratio["outside"] == [None] * 3
        assert [cell for cell, _ in ratio["spots"]] == list(range(len(made.cell_map.pages)))
        assert all(-7 * ratio["pitch"] <= x <= 8 * ratio["pitch"] for _, x in ratio["spots"])
        assert ratio["none"] is None
        assert ratio["nowhere"] is None
