"""What both sides cost and find, on one scale: page-table memory and dirty pages."""

from __future__ import annotations

import plotly.graph_objects as go  # type: ignore[import-untyped]  # it ships no types

from mmuviz.figures.theme import DASHES, SIDES, Line, add_lines, empty_figure, sampled_positions, unit_for
from mmuviz.recording.pair import Pair
from mmuviz.recording.series import values_at
from mmuviz.recording.words import side_word


def both_figure(pair: Pair) -> go.Figure:
    """Draw both sides in the same charts.

    Args:
        pair: not changed.

    Returns:
        The figure: page-table memory; pages written that userspace was not told of; pages last told of.
    """
    timeline, positions = pair.timeline, sampled_positions(pair)
    values = [values_at(side, timeline, index, positions) for index, side in enumerate(pair.sides)]
    names = [side_word(side, pair.differs) for side in pair.sides]
    unit = unit_for(max(int(each["table_bytes"].max()) for each in values))
    titles = [
        f"Page tables and their headers, {unit.name}",
        "Written, userspace not told yet, pages",
        "Dirty pages in the last answer, pages",
    ]
    figure, x = empty_figure(pair, titles), timeline.x_at(positions)
    for row, (figure_name, size) in enumerate({"table_bytes": unit.size, "pending": 1, "told": 1}.items()):
        lines = [
            Line(name, each[figure_name] / size, colour, dash)
            for name, each, colour, dash in zip(names, values, SIDES, DASHES, strict=True)
        ]
        add_lines(figure, row, x, lines, stacked=False)
    return figure
