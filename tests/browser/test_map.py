"""The painted map against the pixel rules, worked out here in Python from the fold."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from mmuviz.recording.codec import encode
from mmuviz.recording.columns import DIRTY, SPTE, TABLE, U8, WRITABLE, Slot
from mmuviz.recording.fold import leaves, map_after
from tests.browser.harness import Harness
from tests.browser.pairs import side
from tests.browser.test_data import open_map
from tests.recording.samples import LEAF, recording

LEVELS = ("--map-none", "--map-4k", "--map-2m", "--map-1g")
TOKENS = (*LEVELS, "--map-dirty", "--surface-raised", "--ink")
PER_TILE = 512
PAINT = """([depth, gfn, width, height, logged]) => {
    const m = window.mmuviz;
    const canvas = document.getElementById('map');
    const view = m.viewAt(map.recording.slot, depth, gfn);
    window.shape = m.geometry(map.recording.slot, view, width, height);
    m.paint(canvas, map, shape, logged, 'all');
    return [view, shape, {...canvas.dataset}];
}"""
PIXELS = """name => {
    const canvas = document.getElementById(name);
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
    copy.drawImage(canvas, 0, 0);
    return new Uint32Array(copy.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
}"""
COLOUR_OF = "names => names.map(n => getComputedStyle(document.documentElement).getPropertyValue(n).trim())"


def word32(colour: str) -> int:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return 255 << 24 | blue << 16 | green << 8 | red


@pytest.fixture(params=["light", "dark"])
def colours(harness: Harness, request: pytest.FixtureRequest) -> Iterator[dict[str, int]]:
    harness.run("theme => { document.documentElement.dataset.theme = theme; mmuviz.refreshColours(); }", request.param)
    yield dict(zip(TOKENS, map(word32, harness.run(COLOUR_OF, list(TOKENS))), strict=True))
    harness.run("() => { delete document.documentElement.dataset.theme; mmuviz.refreshColours(); }")


class Shape(NamedTuple):
    """What geometry() gave."""

    first: int
    span: int
    cells: int
    cell_px: int
    gap_px: int
    across: int
    width: int
    height: int

    @classmethod
    def of(cls, given: dict[str, Any]) -> "Shape":
        names = ("first", "span", "cells", "cellPx", "gapPx", "across", "width", "height")
        return cls(*(given[name] for name in names))

    def corner(self, cell: int) -> tuple[int, int]:
        tile, inside = divmod(cell, PER_TILE)
        return (
            tile % self.across * (32 * self.cell_px + self.gap_px) + inside % 32 * self.cell_px,
            tile // self.across * (16 * self.cell_px + self.gap_px) + inside // 32 * self.cell_px,
        )


def half_up(value: float) -> int:
    return math.floor(value + 0.5)


Mapped = tuple[U8, U8]
"""Level and word of every page of a slot."""


class Cells:
    """The colour that the rules give to each cell's centre."""

    def __init__(self, slot: Slot, mapped: Mapped, shape: Shape, *, logged: bool) -> None:
        self.slot, self.shape = slot, shape
        self.level, word = mapped
        self.dirty = (self.level > 0) & (word & (WRITABLE | DIRTY) == (WRITABLE | DIRTY)) & logged

    def centre(self, cell: int) -> str:
        first = self.shape.first + cell * self.shape.span - self.slot.base_gfn
        inside = slice(max(0, first), max(0, first + self.shape.span))
        level, dirty = self.level[inside], int(self.dirty[inside].sum())
        if not len(level):
            return "--surface-raised"
        if self.shape.span == 1:
            return "--map-dirty" if dirty else LEVELS[level[0]]
        counts = np.bincount(level, minlength=4)
        if self.shape.cell_px < 6:
            mapped = int(counts[1:].sum())
            return "--map-dirty" if mapped and 2 * dirty >= mapped else LEVELS[int(counts.argmax())]
        row = self.shape.cell_px - 1 - (self.shape.cell_px - 1) // 2
        for each in (1, 2, 3):
            if row < half_up(self.shape.cell_px * int(counts[1 : each + 1].sum()) / len(level)):
                return LEVELS[each]
        return LEVELS[0]


def centres(pixels: np.ndarray[Any, np.dtype[Any]], shape: Shape) -> list[int]:
    middle = (shape.cell_px - 1) // 2
    corners = np.array([shape.corner(cell) for cell in range(shape.cells)])
    found: list[int] = pixels.reshape(shape.height, shape.width)[
        corners[:, 1] + middle, corners[:, 0] + middle
    ].tolist()
    return found


def assert_painted(harness: Harness, slot: Slot, mapped: Mapped, shape: Shape, colours: dict[str, int]) -> None:
    pixels = harness.numbers(PIXELS, "map")
    cells = Cells(slot, mapped, shape, logged=True)
    assert centres(pixels, shape) == [colours[cells.centre(cell)] for cell in range(shape.cells)]


# From large cells to cells of one pixel.
BOXES = [(700, 400), (320, 160), (200, 110), (130, 66), (70, 40)]
RECORDINGS = [
    "A_2m_legacy_lazy__6.12",
    "A_1g_legacy_lazy__6.1",
    "B_2m_64M_random1000_x5_eager__6.12-intel-pml",
    "B_unal_2m_base1_congruent_manual_initset_lazy__6.12",
    "H_1g_head2M_body1G_tail4K_legacy_lazy__6.12",
    "S_shadow_2m_manual_initset_lazy__6.12",
]


@pytest.mark.parametrize(
    ("colours", "name"),
    [("light", name) for name in RECORDINGS] + [("dark", name) for name in RECORDINGS[:2]],
    indirect=["colours"],
)
def test_every_cell_s_centre_has_the_colour_of_the_rules(harness: Harness, colours: dict[str, int], name: str) -> None:
    made = side(name)
    open_map(harness, made)
    depths = harness.run("() => mmuviz.views(map.recording.slot).length")
    rows = len(made.runs.kind)
    for cursor in (rows // 3, rows // 2, rows * 4 // 5):
        harness.run("cursor => map.seek(cursor)", cursor)
        mapped = leaves(map_after(made, cursor), made.slot)
        for depth in range(depths):
            for box in BOXES:
                given = harness.run(PAINT, [depth, made.slot.base_gfn + made.slot.pages // 2, *box, True])[1]
                assert_painted(harness, made.slot, mapped, Shape.of(given), colours)


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("depth", [0, 1])
def test_painting_what_changed_is_painting_all(harness: Harness, name: str, depth: int) -> None:
    made = side(name)
    open_map(harness, made)
    rows = len(made.runs.kind)
    harness.run(PAINT, [depth, made.slot.base_gfn, 420, 300, True])
    change = (
        "cursor => { map.seek(cursor); mmuviz.paint(document.getElementById('map'), map, shape, true, map.touched()); }"
    )
    cursors = np.random.Generator(np.random.PCG64(7)).integers(0, rows, 6).tolist()
    for cursor in [*sorted(cursors), cursors[0], cursors[0] + 1, cursors[0] + 40]:
        harness.run(change, min(cursor, rows))
        changed = harness.numbers(PIXELS, "map")
        harness.run("() => { mmuviz.refreshColours(); }")
        harness.run(PAINT, [depth, made.slot.base_gfn, 420, 300, True])
        assert np.array_equal(harness.numbers(PIXELS, "map"), changed)


def test_only_a_logged_slot_shows_dirty_pages(harness: Harness) -> None:
    made = side("A_2m_legacy_lazy__6.12")
    open_map(harness, made)
    harness.run("() => map.seek(map.recording.runs.kind.length >> 1)")
    dirty = word32(harness.run(COLOUR_OF, ["--map-dirty"])[0])
    for logged in (True, False, True):
        harness.run(PAINT, [0, made.slot.base_gfn, 420, 300, logged])
        assert (dirty in harness.numbers(PIXELS, "map")) is logged


BASE = 1 << 18
GIB = Slot(BASE, 1 << 18, "hugetlb_1g", 0, host_populated=True)
BAR = [
    (SPTE, 3, 0, TABLE, 0, 0, 0, BASE, 0, 1),
    (SPTE, 2, 0, LEAF, 0, 0, 0, BASE, 512, 512),
    (SPTE, 2, LEAF, TABLE, 0, 0, 0, BASE, 0, 1),
    (SPTE, 1, LEAF, 0, 0, 0, 0, BASE, 1, 128),
    (SPTE, 1, LEAF, LEAF & ~WRITABLE, 0, 0, 0, BASE + 128, 1, 320),
    (SPTE, 2, LEAF, LEAF & ~WRITABLE, 0, 0, 0, BASE + 512, 0, 1),
]


def test_a_cell_of_many_pages_is_a_bar(harness: Harness, colours: dict[str, int]) -> None:
    open_map(harness, recording(GIB, BAR, []))
    harness.run("() => map.seek(6)")
    shape = Shape.of(harness.run(PAINT, [0, BASE, 20 * 32, 20 * 16, True])[1])
    assert (shape.cell_px, shape.span, shape.cells) == (20, 512, 512)
    pixels = harness.numbers(PIXELS, "map").reshape(shape.height, shape.width)[:20, :60]
    first, second, third = pixels[:, :20], pixels[:, 20:40], pixels[:, 40:]
    # 384 of 512 pages are mapped: 15 rows of 20 from the bottom; 64 of 512 are dirty: round(2.5) rows at the right.
    band = first[:, 9]
    assert (band[:5] == colours["--map-none"]).all()
    assert band[10] == colours["--map-4k"]
    assert band[5] == colours["--map-4k"]
    strip = first[:-1, 14]
    assert (strip == colours["--map-dirty"]).sum() == 3
    assert (strip[-3:] == colours["--map-dirty"]).all()
    assert (first[:, :14] != colours["--map-dirty"]).all()
    for cell in (first, second, third):
        assert (cell[-1] == colours["--surface-raised"]).all()
        assert (cell[:, -1] == colours["--surface-raised"]).all()
    # Most of the first cell's and all of the second cell's pages are write-protected, none of the third's.
    stripes = [len(np.unique(cell[6:19, :13])) for cell in (first, second, third)]
    assert stripes == [2, 2, 1]
    assert (second != colours["--map-dirty"]).all()
    assert (third[:-1, 14:19] == colours["--map-dirty"]).all()


def test_a_leaf_larger_than_a_cell_has_no_lines(harness: Harness, colours: dict[str, int]) -> None:
    open_map(harness, recording(GIB, [(SPTE, 3, 0, LEAF & ~DIRTY, 0, 0, 0, BASE, 0, 1)], []))
    harness.run("() => map.seek(1)")
    harness.run(PAINT, [0, BASE, 640, 320, False])
    assert np.unique(harness.numbers(PIXELS, "map")).tolist() == [colours["--map-1g"]]


@pytest.mark.parametrize(
    ("pages", "spans"),
    [
        (256, [1]),
        (512, [1]),
        (8192, [1, 1]),
        (32_768, [1, 1, 1]),
        (32_769, [512, 1, 1]),
        (1 << 18, [512, 1, 1]),
        (1 << 20, [512, 512, 1, 1]),
        ((1 << 20) + 1, [1024, 512, 1, 1]),
        (1 << 22, [2048, 512, 1, 1]),
        (1536 << 18, [1 << 18, 512, 1, 1]),
    ],
)
def test_views_of_a_slot(harness: Harness, pages: int, spans: list[int]) -> None:
    slot = {"base_gfn": BASE + 7, "pages": pages}
    views = harness.run("slot => mmuviz.views(slot)", slot)
    assert [view["span"] for view in views] == spans
    assert [view["pages"] for view in views[1:]] == [each for each in (1 << 18, 16_384, 512) if each < pages]
    assert (views[0]["first"], views[0]["pages"]) == (BASE + 7, pages)
    gfn = BASE + 7 + pages // 2
    for depth in range(1, len(views)):
        view = harness.run("([slot, depth, gfn]) => mmuviz.viewAt(slot, depth, gfn)", [slot, depth, gfn])
        assert view["first"] % view["pages"] == 0
        assert view["first"] <= gfn < view["first"] + view["pages"]


def largest(tiles: int, width: int, height: int) -> int:
    """The largest cell of any layout, by trying all."""

    def fits(across: int, cell: int) -> bool:
        down, gap = -(-tiles // across), max(2, cell // 3)
        wide, high = across * 32 * cell + (across - 1) * gap, down * 16 * cell + (down - 1) * gap
        return wide <= width and high <= height

    return max([1, *(cell for cell in range(1, width) for across in range(1, tiles + 1) if fits(across, cell))])


@pytest.mark.parametrize("pages", [512, 8192, 16_384, 32_768, 1 << 20])
@pytest.mark.parametrize("box", [(620, 420), (1240, 840), (320, 500), (900, 120)])
def test_cells_are_as_large_as_the_box_allows(harness: Harness, pages: int, box: tuple[int, int]) -> None:
    slot = {"base_gfn": BASE, "pages": pages}
    given = harness.run("([slot, box]) => mmuviz.geometry(slot, mmuviz.views(slot)[0], ...box)", [slot, box])
    shape = Shape.of(given)
    assert shape.cells == pages // shape.span
    assert shape.cell_px == largest(shape.cells // PER_TILE, *box)
    # Every cell is found at its own corners, and nothing between tiles.
    corners = [shape.corner(cell) for cell in range(0, shape.cells, 37)]
    edge = shape.cell_px - 1
    at = "([shape, points]) => points.map(([x, y]) => mmuviz.cellAt(shape, x, y))"
    for points in (corners, [(x + edge, y + edge) for x, y in corners]):
        assert harness.run(at, [given, points]) == list(range(0, shape.cells, 37))
    outside = [(-1, 0), (0, -1), (shape.width, 0), (0, shape.height)]
    if shape.across > 1:
        outside.append((32 * shape.cell_px, 0))
    assert set(harness.run(at, [given, outside])) == {-1}


def test_a_canvas_tells_its_geometry(harness: Harness) -> None:
    made = side("A_2m_legacy_lazy__6.12")
    open_map(harness, made)
    _, given, data = harness.run(PAINT, [0, made.slot.base_gfn, 620, 420, False])
    assert {name: int(value) for name, value in data.items()} == {
        name: given[name] for name in ("cellPx", "gapPx", "span", "across", "first")
    }


def test_marks_outline_what_changed_and_nothing_else(harness: Harness, colours: dict[str, int]) -> None:
    made = side("A_2m_legacy_lazy__6.12")
    open_map(harness, made)
    shape = Shape.of(harness.run(PAINT, [0, made.slot.base_gfn, 620, 420, False])[1])
    mark = "ranges => mmuviz.mark(document.getElementById('marks'), shape, ranges)"
    harness.run(mark, [[made.slot.base_gfn + 70, 3]])
    pixels = harness.numbers(PIXELS, "marks").reshape(shape.height, shape.width)
    left, top = shape.corner(70)
    size, ink = shape.cell_px, colours["--ink"]
    for x in (left - 1, left + 3 * size):
        assert (pixels[top : top + size, x] == ink).all()
    for y in (top - 1, top + size):
        assert (pixels[y, left : left + 3 * size] == ink).all()
    assert not pixels[top : top + size, left : left + 3 * size].any()
    assert (pixels != 0).sum() == (3 * size + 2) * (size + 2) - 3 * size * size
    harness.run(mark, [])
    assert not harness.numbers(PIXELS, "marks").any()


@pytest.mark.parametrize(
    ("row", "ranges"),
    [
        ((SPTE, 2, 0, LEAF, 0, 0, 0, BASE, 512, 3), [[BASE, 1536]]),
        ((SPTE, 1, 0, LEAF, 0, 0, 0, BASE + 9, 0, 1), [[BASE + 9, 1]]),
        ((SPTE, 2, 0, LEAF, 0, 0, 0, BASE, 1024, 9), [[BASE + 1024 * at, 512] for at in range(4)]),
        ((3, 0, 0, 0, 0, 0, 0, BASE + 9, 0, 1), [[BASE + 9, 1]]),
    ],
)
def test_a_row_is_about_these_pages(harness: Harness, row: tuple[int, ...], ranges: list[list[int]]) -> None:
    harness.give(encode(recording(GIB, [row], [])))
    assert harness.run("() => mmuviz.rangesOfRow(mmuviz.decode(buffer), 0, 4)") == ranges


@pytest.mark.parametrize(
    ("look", "centre"),
    [("1g", "--map-1g"), ("2m", "--map-2m"), ("4k", "--map-4k"), ("none", "--map-none"), ("protected", "--map-4k"),
     ("armed", "--map-4k"), ("dirty", "--map-dirty")],
)  # fmt: skip
def test_swatches_look_like_cells(harness: Harness, colours: dict[str, int], look: str, centre: str) -> None:
    harness.run(
        """look => {
            const swatch = document.createElement('canvas');
            document.getElementById('swatch')?.remove();
            Object.assign(swatch, {id: 'swatch'}).dataset.look = look;
            document.body.append(swatch);
            mmuviz.paintSwatch(swatch);
        }""",
        look,
    )
    pixels = harness.numbers(PIXELS, "swatch").reshape(21, 21)
    assert set(pixels[3::7, 3::7].ravel().tolist()) == {colours[centre]}
    assert (len(np.unique(pixels[:6, :6])) > 1) is (look in ("protected", "armed"))
