"""Shared parts of the tests of the stage's maps: the scripts with tools that read pixels, and cells to draw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser

from mmuviz.recording.schema import CELL_SHARES, FULL_SHARE
from tests.browser.stage_scripts import Stage, opened_stage

SCRIPTS: Final = (
    *(
        "actors.js",
        "cells.js",
        "first-cleared.js",
        "folded-cells.js",
        "loupe-entries.js",
        "loupe-mesh.js",
        "loupe-texts.js",
        "loupe.js",
        "map-frames.js",
        "map-layout.js",
        "map-highlights.js",
        "map-names.js",
        "numbers.js",
    ),
    *("map-spte.js", "map-vcpus.js", "map.js", "page-fold.js", "page-sheet.js", "stamps.js", "zoom-view.js"),
)
TOKENS: Final = {
    **dict.fromkeys(("ground", "on"), "#ffffff"),
    **dict(zip(("g1", "g1b", "g2", "g4", "map"), ("#000040", "#000060", "#0000c0", "#00c0c0", "#3030a0"), strict=True)),
    **dict(
        zip(
            ("dirty", "dirtyt", "stall", "run", "ioctl"),
            ("#ff8000", "#a05000", "#ff0000", "#00ff00", "#ff00ff"),
            strict=True,
        )
    ),
    **dict(
        zip(
            ("line", "plate", "hole", "ink", "ink2"),
            ("#808080", "#fefefe", "#404000", "#000000", "#202020"),
            strict=True,
        )
    ),
}
"""Other colours than the page's: none may come about by mixing two of them."""
MAPPED: Final = {"none": 0, "4k": 1, "2m": 2, "1g": 3}

TOOLS: Final = """tokens => {
    const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    window.tokens = tokens;
    window.maskOf = (ctx, x, y, width, height, hex) => {
        const data = ctx.getImageData(x, y, width, height).data;
        const [r, g, b] = rgb(hex);
        return Array.from({length: width * height}, (_, i) =>
            Number(data[4 * i] === r && data[4 * i + 1] === g && data[4 * i + 2] === b && data[4 * i + 3] === 255));
    };
    window.pixelsOf = (ctx, x, y, width, height) => ctx.getImageData(x, y, width, height).data.join();
    // Draws a cell by its shares with what else may differ, and gives its context.
    window.cellOf = (pitch, dpr, shares, {fresh = 0, by = 0, edges = 15, row = 0, unarmed = false} = {}) => {
        const sheet = new S.CellSheet(S.cellGeometry(pitch, dpr), tokens, 8);
        const look = sheet.look(Uint8Array.from(shares), 0, shares[7], fresh, by, edges, row, 0, unarmed);
        sheet.sprite(look);
        return sheet.easel;
    };
    window.columnOf = (pitch, dpr, cells, {fresh = 0, by = 0, x = 0} = {}) => {
        const sheet = new S.CellSheet(S.cellGeometry(pitch, dpr), tokens, cells.length);
        const sums = new Float64Array(8);
        cells.forEach((shares) => shares.forEach((share, at) => { sums[at] += share; }));
        const ctx = Object.assign(document.createElement('canvas'), {width: pitch, height: pitch * cells.length})
            .getContext('2d', {willReadFrequently: true});
        sheet.paintColumn(ctx, 0, 0, sheet.columnLook(sums, cells.length, sums[7], fresh, by, x));
        return ctx;
    };
    S.typeScale = () => 1;
    window.setRatio = (ratio) =>
        Object.defineProperty(window, 'devicePixelRatio', {value: ratio, configurable: true});
    window.paneOf = (run, width, height, ratio = 1, options = {}) => {
        setRatio(ratio);
        const box = document.createElement('div');
        box.style.cssText = `width:${width}px;height:${height}px`;
        const canvas = box.appendChild(document.createElement('canvas'));
        document.body.replaceChildren(box);
        return new S.MapPane(canvas, run, {tokens, ...options});
    };
}"""


@contextmanager
def opened_maps(chromium: Browser, repository: Path) -> Iterator[Stage]:
    """A Stage with the scripts that draw maps."""
    with opened_stage(chromium, repository) as stage:
        for name in SCRIPTS:
            stage.page.add_script_tag(path=repository / "assets" / "stage" / name)
        stage.run(TOOLS, TOKENS)
        yield stage


def shares_of(mapped: str, dirty: int, *, protected: bool = False) -> list[int]:
    found = [0] * len(CELL_SHARES)
    found[MAPPED[mapped]] = FULL_SHARE
    if protected and mapped != "none":
        found[CELL_SHARES.index(f"protected_{mapped}")] = FULL_SHARE
    found[CELL_SHARES.index("dirty")] = dirty
    return found
