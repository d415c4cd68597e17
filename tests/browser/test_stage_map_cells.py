"""Drawing of a map's cell: geometry shows the level, and one rule shows dirty pages at every size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from playwright.sync_api import Browser

from mmuviz.recording.schema import FULL_SHARE
from tests.browser.chooser import chooser
from tests.browser.stage_maps import MAPPED, opened_maps, shares_of
from tests.browser.stage_scripts import Stage

pytestmark = pytest.mark.xdist_group("stage")

PITCHES: Final = (
    *((pitch, 1) for pitch in (6, 7, 8, 9, 10, 12, 13, 15, 16, 18, 24, 36)),
    *((10, 2), (11, 2), (12, 2), (18, 2), (19, 2), (26, 2), (48, 2), (9, 1.5), (14, 1.5)),
)
"""Sides of cells in device pixels, and device pixels to a CSS pixel."""
FLAT: Final = ((1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (7, 1.5), (7, 2))
LOW: Final = 0.62
"""Part of its height that a column of 4K pages has where cells are too small for a mesh."""


@pytest.fixture(scope="module")
def stage(chromium: Browser, repository: Path) -> Iterator[Stage]:
    with opened_maps(chromium, repository) as stage:
        yield stage


DIRTY_MASKS: Final = """({pitch, dpr, cells}) => cells.map(([shares, options]) =>
    maskOf(cellOf(pitch, dpr, shares, options), 0, 0, pitch, pitch, tokens.dirty))"""


@pytest.mark.parametrize(("pitch", "dpr"), PITCHES)
def test_any_dirty_page_shows_and_only_all_of_them_fill_a_cell(stage: Stage, pitch: int, dpr: float) -> None:
    cells: list[Any] = [(shares_of("4k", dirty), {}) for dirty in range(FULL_SHARE + 1)]
    ink = np.array(stage.run(DIRTY_MASKS, {"pitch": pitch, "dpr": dpr, "cells": cells})).sum(axis=1)
    assert ink[0] == 0
    assert ink[1] >= 4  # a visible corner: 2 px by 2 px
    assert (np.diff(ink) >= 0).all()
    assert ink[FULL_SHARE - 1] < ink[FULL_SHARE]
    dots = ink[FULL_SHARE] / ink[1]
    steps = np.ceil(np.arange(1, FULL_SHARE) / FULL_SHARE * dots)
    assert ink[1:FULL_SHARE].tolist() == (np.minimum(steps, dots - 1) * ink[1]).tolist()


@pytest.mark.parametrize(("pitch", "dpr"), PITCHES)
def test_equal_dirty_shares_give_equal_ink_whatever_maps_the_cell(stage: Stage, pitch: int, dpr: float) -> None:
    for dirty in (1, 17, 128, 254, 255):
        cells = [
            (shares_of(mapped, dirty, protected=protected), {"fresh": fresh, "by": by, "edges": edges})
            for mapped in MAPPED
            for protected in (False, True)
            for fresh, by, edges in ((0, 0, 15), (1, 0, 0), (3, 1, 5))
        ]
        masks = stage.run(DIRTY_MASKS, {"pitch": pitch, "dpr": dpr, "cells": cells})
        assert all(mask == masks[0] for mask in masks), f"{dirty} of {FULL_SHARE} dirty"


@pytest.mark.parametrize(("pitch", "dpr"), PITCHES)
def test_bits_that_are_set_from_the_start_look_like_neither_dirty_nor_clean_pages(
    stage: Stage, pitch: int, dpr: float
) -> None:
    script = """({pitch, dpr, cells}) => cells.map(([shares, options]) =>
        pixelsOf(cellOf(pitch, dpr, shares, options), 0, 0, pitch, pitch))"""
    for mapped in MAPPED:
        cells: list[Any] = [
            (shares_of(mapped, FULL_SHARE), {"unarmed": True}),
            (shares_of(mapped, FULL_SHARE), {}),
            (shares_of(mapped, 0), {}),
        ]
        assert len(set(stage.run(script, {"pitch": pitch, "dpr": dpr, "cells": cells}))) == len(cells), mapped
        assert not any(stage.run(DIRTY_MASKS, {"pitch": pitch, "dpr": dpr, "cells": cells[:1]})[0]), mapped


@pytest.mark.parametrize(("pitch", "dpr"), FLAT)
def test_below_6_px_the_dirty_part_of_a_column_keeps_the_rule(stage: Stage, pitch: int, dpr: float) -> None:
    script = """({pitch, dpr, columns}) => columns.map(([cells, options]) =>
        maskOf(columnOf(pitch, dpr, cells, options), 0, 0, pitch, pitch * cells.length, tokens.dirty)
            .reduce((sum, one) => sum + one, 0) / pitch)"""

    def heights(columns: list[Any]) -> list[float]:
        found: list[float] = stage.run(script, {"pitch": pitch, "dpr": dpr, "columns": columns})
        return found

    plain = heights([([shares_of("4k", dirty)] * 8, {}) for dirty in range(FULL_SHARE + 1)])
    assert plain[0] == 0
    low = round(8 * pitch * LOW)
    assert plain[1] >= min(2, low - 1)
    assert plain[FULL_SHARE - 1] < plain[FULL_SHARE] == low
    assert (np.diff(plain) >= 0).all()
    for dirty in (1, 100, 255):
        cells = [shares_of(mapped, dirty, protected=shut) for mapped in MAPPED for shut in (False, True)]
        columns = [([cell] * 8, {"fresh": fresh, "by": 1}) for cell in cells for fresh in (0, 2)]
        assert set(heights(columns)) == {plain[dirty]}
    one = [*([shares_of("4k", 0)] * 7), shares_of("4k", 1)]
    assert heights([(one, {})])[0] >= min(2, low - 1)


@pytest.mark.parametrize(("pitch", "dpr"), PITCHES)
def test_levels_differ_by_how_much_of_a_cell_they_fill(stage: Stage, pitch: int, dpr: float) -> None:
    script = """({pitch, dpr, cells}) => cells.map((shares) =>
        1 - maskOf(cellOf(pitch, dpr, shares, {edges: 0}), 0, 0, pitch, pitch, tokens.ground)
            .reduce((sum, one) => sum + one, 0) / pitch ** 2)"""
    cells = [shares_of(mapped, 0) for mapped in ("none", "4k", "2m", "1g")]
    none, mesh, tile, slab = stage.run(script, {"pitch": pitch, "dpr": dpr, "cells": cells})
    assert mesh < 0.65
    assert none < 0.65
    assert mesh + 0.1 < tile < slab == 1


@pytest.mark.parametrize(("pitch", "dpr"), [each for each in PITCHES if each[0] / each[1] >= 8])
def test_protection_shows_at_each_level(stage: Stage, pitch: int, dpr: float) -> None:
    script = """({pitch, dpr, cells}) =>
        cells.map((shares) => pixelsOf(cellOf(pitch, dpr, shares), 0, 0, pitch, pitch))"""
    for mapped in ("4k", "2m"):
        cells = [shares_of(mapped, 0, protected=shut) for shut in (False, True)]
        free, shut = stage.run(script, {"pitch": pitch, "dpr": dpr, "cells": cells})
        assert free != shut


def test_columns_of_a_mixed_cell_follow_its_shares(stage: Stage) -> None:
    choose = chooser("columns of a cell")
    given = []
    for _ in range(400):
        parts = choose.dirichlet(np.full(4, 0.4))
        shares = np.round(parts * FULL_SHARE).astype(int)
        given.append([*np.where((parts > 0) & (shares == 0), 1, shares).tolist(), 0, 0, 0, 0])
    for dots in (2, 3, 4, 8):
        found = np.array(stage.run("([all, dots]) => all.map((s) => S.columnsOf(s, 0, dots))", [given, dots]))
        shares = np.array(given)[:, [1, 2, 3, 0]]
        assert (found.sum(axis=1) == dots).all()
        assert (found >= 0).all()
        assert not found[shares == 0].any()
        if dots >= 4:
            assert found[shares > 0].all()
