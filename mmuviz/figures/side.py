"""One side's charts: what is mapped by which level, faults by kind, splits by place."""

from __future__ import annotations

from typing import Final

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]  # it ships no types

from mmuviz.figures.theme import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Line,
    add_lines,
    empty_figure,
    sampled_positions,
    set_top,
    unit_for,
)
from mmuviz.ground.pages import PAGE_BYTES, pages_per_hpage
from mmuviz.recording.columns import I64
from mmuviz.recording.pair import Pair
from mmuviz.recording.series import PAGES, values_at

LEVELS: Final = {"pages_4k": ("4K", BLUE), "pages_2m": ("2M", SKY), "pages_1g": ("1G", GREY)}
# In few letters: on a phone all three stand in one line.
FAULTS: Final = {
    "faults_not_present": ("absent", GREY),
    "faults_fast": ("fast", GREEN),
    "faults_slow": ("slow", RED),
}
PLACES: Final = {
    "splits_enable": ("enable", BLUE),
    "splits_clear": ("CLEAR", GREEN),
    "splits_ring_reset": ("ring reset", PURPLE),
    "splits_fault": ("fault", RED),
    "zaps_fault": ("zapped in a fault", ORANGE),
}


def side_figures(pair: Pair) -> tuple[go.Figure, go.Figure]:
    """Draw both sides on the same scales.

    Args:
        pair: not changed.

    Returns:
        The left and the right figure.
    """
    timeline, positions = pair.timeline, sampled_positions(pair)
    values = [values_at(side, timeline, index, positions) for index, side in enumerate(pair.sides)]
    unit = unit_for(pair.left.slot.pages * PAGE_BYTES)
    titles = [f"Mapped pages by level, {unit.name}", "Faults so far by path, count", "Splits so far by place, count"]
    x = timeline.x_at(positions)
    stacks = [_stacks(each, unit.size) for each in values]
    tops = [max(_top(each[row]) for each in stacks) for row in range(len(titles))]
    figures = []
    for rows in stacks:
        figure = empty_figure(pair, titles)
        for row, lines in enumerate(rows):
            add_lines(figure, row, x, lines, stacked=True)
            set_top(figure, row, tops[row])
        figures.append(figure)
    return figures[0], figures[1]


def _stacks(values: dict[str, I64], unit_bytes: int) -> list[list[Line]]:
    levels = [
        Line(label, values[name] * (pages_per_hpage(PAGES[name]) * PAGE_BYTES / unit_bytes), colour)
        for name, (label, colour) in LEVELS.items()
    ]
    faults = [Line(label, values[name], colour) for name, (label, colour) in FAULTS.items()]
    places = [Line(label, values[name], colour) for name, (label, colour) in PLACES.items() if values[name].any()]
    return [levels, faults, places or [Line("none", values["splits_fault"], GREY)]]


def _top(lines: list[Line]) -> float:
    return float(np.sum([line.values for line in lines], axis=0).max())
