"""Cells that would be too small are drawn in groups, with their mean shares, and large enough."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Browser

from mmuviz.recording.schema import FULL_SHARE
from tests.browser.chooser import chooser
from tests.browser.packed import unpacked
from tests.browser.stage_maps import opened_maps
from tests.browser.stage_runs import frame_times, recording_of, replayed
from tests.browser.stage_scripts import Stage

pytestmark = pytest.mark.xdist_group("stage")

READABLE_PX: Final = 6


@pytest.fixture(scope="module")
def stage(chromium: Browser, repository: Path) -> Iterator[Stage]:
    with opened_maps(chromium, repository) as stage:
        stage.page.emulate_media(reduced_motion="reduce")
        yield stage


def expected(states: npt.NDArray[Any], pages: npt.NDArray[Any], groups: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Shares by pages: 0 only where all are 0, all only where all are."""
    found = []
    for group in np.unique(groups):
        members = groups == group
        weights = pages[members].astype(float)
        mean = (states[members] * weights[:, None]).sum(axis=0) / weights.sum()
        some = np.clip(np.floor(mean + 0.5), 1, FULL_SHARE - 1)
        whole = (states[members] == FULL_SHARE).all(axis=0)
        found.append(np.where((states[members] == 0).all(axis=0), 0, np.where(whole, FULL_SHARE, some)))
    return np.array(found, dtype=np.int64)


@pytest.mark.parametrize("name", ["lazy", "eager", "ring", "memslots"])
@pytest.mark.parametrize("factor", [2, 8])
def test_cells_drawn_as_one_have_the_shares_of_all_their_pages(stage: Stage, name: str, factor: int) -> None:
    made = recording_of(name)
    states = replayed(made)
    frames = np.unique(chooser("folded", name, factor).integers(0, len(states), 6))
    stage.open(name)
    script = """({times, factor}) => {
        const {shown, frames} = S.foldedCells(r, factor);
        const folded = frames();
        const shares = times.flatMap((ps) => {
            folded.seek(ps);
            const dirty = Array.from({length: shown.cells}, (_, cell) => folded.dirty(cell));
            return [...Array.from(folded.at(0)), ...dirty];
        });
        return {shares: packed(shares), gfns: packed(shown.firstGfn), pages: packed(shown.cellPages)};
    }"""
    answer = stage.run(script, {"times": frame_times(made)[frames].tolist(), "factor": factor})
    span = made.header.cell_pages * factor
    groups = made.cell_map.first_gfn // span
    cells = len(np.unique(groups))
    assert unpacked(answer["gfns"]).tolist() == (np.unique(groups) * span).tolist()
    pages = [int(made.cell_map.pages[groups == group].sum()) for group in np.unique(groups)]
    assert unpacked(answer["pages"]).tolist() == pages
    for frame, shares in zip(frames, unpacked(answer["shares"]).reshape(len(frames), -1), strict=True):
        wanted = expected(states[frame].astype(np.int64), made.cell_map.pages, groups)
        assert shares[: 8 * cells].reshape(cells, 8).tolist() == wanted.tolist()
        assert shares[8 * cells :].tolist() == wanted[:, 7].tolist()


SIZES: Final = ((336, 110), (312, 60), (388, 79), (616, 110), (404, 209), (280, 54))
"""Where a phone, a phone on its side, a projector, four panes and the expert view have maps, CSS px."""


@pytest.mark.parametrize("name", ["lazy", "ring", "memslots"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_cells_can_be_read_at_every_size(stage: Stage, name: str, width: int, height: int) -> None:
    stage.open(name)
    script = """({width, height, times}) => {
        const pane = paneOf(r, width, height);
        times.forEach((ps) => pane.draw(ps));
        return [pane.layout.css, pane.sheet.geometry.flat, pane.layout.height];
    }"""
    times = [0, int(recording_of(name).header.end_ps)]
    css, flat, high = stage.run(script, {"width": width, "height": height, "times": times})
    assert css >= READABLE_PX
    assert not flat
    assert high <= height + 1


def test_as_few_as_can_be_read_are_drawn_as_one(stage: Stage) -> None:
    stage.open("lazy")
    cells = stage.run("() => [[1200, 600], [336, 110]].map(([w, h]) => paneOf(r, w, h).run.cells)")
    made = recording_of("lazy")
    assert cells[0] == len(made.cell_map.pages)
    assert cells[0] >= cells[1]
