"""One Recording as a chart: stall, guest progress, page tables and leaves over simulated time."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]  # it ships no types

from mmuviz.core.pages import PAGE_BYTES, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, pages_per_hpage
from mmuviz.figures.theme import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Line,
    Row,
    add_lines,
    framed,
    unit_for,
)
from mmuviz.recording.recording import Recording
from mmuviz.recording.table import Array

CAUSE_COLOURS: Final = (RED, ORANGE, PURPLE, SKY, BLUE, "#7a6ac0", GREEN, "#9a7d0a")
LEVELS: Final = (
    ("4K", PG_LEVEL_4K, "pages_4k", ORANGE),
    ("2M", PG_LEVEL_2M, "pages_2m", BLUE),
    ("1G", PG_LEVEL_1G, "pages_1g", GREEN),
)
GIB: Final = 1 << 30
PS_PER_MS: Final = 1_000_000_000
PS_PER_US: Final = 1_000_000
TITLE_PX: Final = 30


def figure_of(recording: Recording) -> go.Figure:
    """Draw a Recording.

    Args:
        recording: not changed.

    Returns:
        A Plotly figure with four charts above each other.
    """
    bins, header = recording.bins, recording.header
    tables = unit_for(int(bins.table_pages.max()) * PAGE_BYTES)
    rows = [
        Row(f"Stall of all {header.vcpus} vCPUs a bin, by cause, ms", legend_lines=2),
        Row("Guest progress, million accesses/s", legend_lines=0),
        Row(f"Page tables, {tables.name}", legend_lines=0),
        Row("Guest memory by the level that maps it, GiB"),
    ]
    figure = framed(rows, {"title": {"text": "simulated time, ms", "standoff": 2}})
    rate = bins.accesses / (header.bin_ps / PS_PER_US)
    lines = [
        _stalls(recording),
        [Line("accesses", _steps_of(rate), GREEN)],
        [Line("page tables", _steps_of(bins.table_pages * PAGE_BYTES / tables.size), PURPLE)],
        [
            Line(name, _steps_of(bins[column] * (pages_per_hpage(level) * PAGE_BYTES / GIB)), colour)
            for name, level, column, colour in LEVELS
        ],
    ]
    edges_ms = np.arange(header.bins + 1) * (header.bin_ps / PS_PER_MS)
    for row, each in enumerate(lines):
        add_lines(figure, row, edges_ms, each, stacked=row in (0, 3))
    title = str(header.scenario.get("title") or recording.hash[:12])
    figure.update_layout(title={"text": _plain(title), "font": {"size": 13}}, hovermode="x")
    figure.update_layout(margin={"t": figure.layout.margin.t + TITLE_PX}, height=figure.layout.height + TITLE_PX)
    return figure


def _stalls(recording: Recording) -> list[Line]:
    """Make one line per cause of stalls."""
    names = recording.header.causes
    columns = [recording.bins[f"stall_{name}_ps"] / PS_PER_MS for name in names]
    lines = [
        Line(name.replace("_", " "), _steps_of(column), colour)
        for name, column, colour in zip(names, columns, CAUSE_COLOURS, strict=True)
        if column.any()
    ]
    return lines or [Line("none", _steps_of(columns[0]), GREY)]


def _steps_of(by_bin: Array) -> Any:  # noqa: ANN401 - an array of Plotly's
    """Return one value per bin as steps: the last value is repeated for the end of the last bin."""
    return np.append(by_bin, by_bin[-1])


def _plain(text: str) -> str:
    """Escape text, so that Plotly finds no markup in it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
