"""What a run cost in simulated time: each side over time, and both sides by vCPU and by ioctl."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go  # type: ignore[import-untyped]  # it ships no types

from mmuviz.figures.theme import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SIDES,
    SKY,
    Line,
    Row,
    Unit,
    add_lines,
    framed,
    set_top,
    unit_for,
)
from mmuviz.recording.pair import Pair
from mmuviz.recording.time_words import CAUSES, IOCTLS
from mmuviz.recording.timing import F64, Timing
from mmuviz.recording.words import side_word

COLOURS: Final = {
    "exit_and_fault": RED,
    "lock_wait": ORANGE,
    "split_or_zap": PURPLE,
    "allocation": SKY,
    "tlb_flush": BLUE,
    "ring_full": "#7a6ac0",
    "pml_full": GREEN,
    "userspace_lock": "#9a7d0a",
}
LEAST_SHARE: Final = 0.01
"""Of a side's stall; causes below that on both sides are drawn together."""
OTHERS: Final = "all others"
FAR: Final = 8.0
"""Where one side takes so many times longer than the other, each has a time axis of its own."""
OWN_SCALE: Final = "simulated time, ms (own scale)"
SIDE_PX: Final = 98
BARS_PX: Final = 236
TICKS_PX: Final = 34
PER_SECOND: Final = 1000
MILLION: Final = 1_000_000
LABELLED: Final = 0.1
"""Share of the tallest bar from which a bar has its number written over it."""
NARROW: Final = {"width": 0.38}

Timings = tuple[Timing, Timing]


class Group(NamedTuple):
    """Causes of stalls that are drawn as one: what they are called, their colour, and their columns."""

    name: str
    colour: str
    columns: list[int]

    def of(self, stall_ms: F64) -> F64:
        """Their stall, float64[n], of float64[n, causes]."""
        own: F64 = stall_ms[:, self.columns].sum(axis=1)
        return own


def timed_figures(pair: Pair, timings: Timings) -> tuple[go.Figure, go.Figure, go.Figure]:
    """Draw both sides over simulated time, and side by side.

    Args:
        pair: names the sides.
        timings: of both.

    Returns:
        The left figure, the right one, and that of both.
    """
    groups = _groups(timings)
    units = [
        unit_for(max(int(getattr(each, name).max()) for each in timings)) for name in ("table_bytes", "reach_bytes")
    ]
    charts = [_charts(each, groups, units) for each in timings]
    tops = [max(_top(side[row]) for side in charts) for row in range(len(charts[0]))]
    ends = ends_ms(timings)
    left, right = (
        _side_figure(rows, timing, end_ms, units, tops)
        for rows, timing, end_ms in zip(charts, timings, ends, strict=True)
    )
    if len(set(ends)) > 1:
        for figure in (left, right):
            figure.update_layout(xaxis={"title": {"text": OWN_SCALE}})
    return left, right, _both_figure(pair, timings, groups)


def ends_ms(timings: Timings) -> list[float]:
    """How far each side's time axis reaches: both as far, but where the shorter one would be lost in it."""
    ends = [each.end_ms for each in timings]
    return ends if max(ends) > FAR * min(ends) else [max(ends)] * len(ends)


def _groups(timings: Timings) -> list[Group]:
    """Causes of stalls as they are drawn, in the order of the ledger: the small ones together, at the end."""
    totals = [each.vcpu_stall_ms.sum(axis=0) for each in timings]
    shares = np.max([each / (each.sum() or 1.0) for each in totals], axis=0)
    large = np.flatnonzero(shares >= LEAST_SHARE).tolist()
    small = np.flatnonzero((shares > 0) & (shares < LEAST_SHARE)).tolist()
    names = timings[0].causes
    groups = [Group(CAUSES[names[at]], COLOURS[names[at]], [at]) for at in large]
    return groups + ([Group(OTHERS, GREY, small)] if small else [])


def _charts(timing: Timing, groups: list[Group], units: list[Unit]) -> list[list[Line]]:
    """Lines of each chart of a side, a value for the beginning and for each bin's end."""
    stalls = [Line(group.name, _so_far(group.of(timing.stall_ms)), group.colour) for group in groups]
    rate = timing.accesses * (PER_SECOND / timing.bin_ms / MILLION)
    return [
        stalls,
        [Line("in ioctls", _in_ioctls(timing), BLUE)],
        [Line("guest progress", np.append(rate, rate[-1]), GREEN)],
        [Line("page tables", timing.table_bytes / units[0].size, PURPLE)],
        [Line("TLB reach", timing.reach_bytes / units[1].size, ORANGE)],
    ]


def _edges_ms(timing: Timing) -> F64:
    return np.arange(len(timing.accesses) + 1, dtype=np.float64) * timing.bin_ms


def _in_ioctls(timing: Timing) -> F64:
    """Time in ioctls up to each bin's end, from the calls: by bin a step of a walk stands where it began."""
    edges_ms, spent_ms = _edges_ms(timing), np.zeros(len(timing.accesses) + 1)
    for call in timing.ioctls:
        spent_ms += np.clip(edges_ms - call.start_ms, 0, call.took_ms)
    return spent_ms


def _so_far(by_bin: F64) -> F64:
    return np.concatenate([[0.0], np.cumsum(by_bin)])


def _top(lines: list[Line]) -> float:
    return float(np.sum([line.values for line in lines], axis=0).max())


def _side_figure(
    charts: list[list[Line]], timing: Timing, end_ms: float, units: list[Unit], tops: list[float]
) -> go.Figure:
    vcpus = len(timing.vcpu_stall_ms)
    titles = [
        f"Stall so far of all {vcpus} vCPUs, by cause, ms",
        "Time in ioctls so far, ms",
        "Guest progress, million accesses/s",
        f"Page tables, {units[0].name}",
        f"TLB reach of a core, {units[1].name}",
    ]
    rows = [
        Row(title, SIDE_PX, legend_lines=3 if index == 0 else 0, above_px=0 if index == 0 else 4)
        for index, title in enumerate(titles)
    ]
    axis = {"range": [0, end_ms], "nticks": 6, "title": {"text": "simulated time, ms", "standoff": 2}}
    figure = framed(rows, axis)
    figure.update_layout(legend={"traceorder": "normal"})
    for row, lines in enumerate(charts):
        shape = "hv" if lines[0].name == "guest progress" else "linear"
        add_lines(figure, row, _edges_ms(timing), lines, stacked=row == 0, shape=shape)
        set_top(figure, row, tops[row])
        if row > 0:
            figure.data[-1].update(showlegend=False)
    return figure


def _both_figure(pair: Pair, timings: Timings, groups: list[Group]) -> go.Figure:
    rows = [
        Row("Stall by vCPU and cause, ms", BARS_PX, 2),
        Row("Time of each ioctl, ms", BARS_PX, 1, above_px=TICKS_PX),
    ]
    words = [side_word(side, pair.differs) for side in pair.sides]
    vcpus = len(timings[0].vcpu_stall_ms)
    figure = framed(rows, _pairs_axis([f"vCPU {vcpu}" for vcpu in range(vcpus)]))
    most_ms = max(call.took_ms for each in timings for call in each.ioctls)
    calls = _call_names([call.name for call in timings[0].ioctls])
    figure.update_layout(
        barmode="stack",
        legend={"traceorder": "normal"},
        legend2={"traceorder": "normal"},
        xaxis={"anchor": "y"},
        xaxis2={**_pairs_axis(calls), "anchor": "y2", "fixedrange": True, "zeroline": False},
    )
    for side, timing in enumerate(timings):
        x = np.arange(vcpus) + (0.21 if side else -0.21)
        for group in groups:
            y, marker = group.of(timing.vcpu_stall_ms), {"color": group.colour}
            figure.add_trace(go.Bar(x=x, y=y, name=group.name, marker=marker, showlegend=side == 0, **NARROW))
        _name_bars(figure, x, timing.vcpu_stall_ms.sum(axis=1), words[side])
        _add_calls(figure, timing, words[side], side, most_ms)
    return figure


def _pairs_axis(names: list[str]) -> dict[str, Any]:
    """An axis with a place for two bars under each name."""
    return {
        "range": [-0.5, len(names) - 0.5],
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "tickangle": 0,
        "tickfont": {"size": 10},
    }


def _name_bars(figure: go.Figure, x: npt.ArrayLike, tops: npt.ArrayLike, word: str) -> None:
    """Write over each stack which side it is of: the two have the same colours."""
    labels = go.Scatter(
        x=x,
        y=tops,
        mode="text",
        text=[word] * np.size(x),
        textposition="top center",
        textfont={"size": 10},
        showlegend=False,
        cliponaxis=False,
    )
    figure.add_trace(labels)


def _number(took_ms: float) -> str:
    return f"{took_ms:,.0f}" if took_ms >= PER_SECOND else f"{took_ms:.3g}"


def _add_calls(figure: go.Figure, timing: Timing, word: str, side: int, most_ms: float) -> None:
    took = [call.took_ms for call in timing.ioctls]
    bars = go.Bar(
        x=np.arange(len(took)) + (0.21 if side else -0.21),
        y=took,
        name=word,
        marker={"color": SIDES[side]},
        text=[_number(each) if each >= LABELLED * most_ms else "" for each in took],
        textposition="outside",
        textangle=0,
        constraintext="none",
        cliponaxis=False,
        xaxis="x2",
        yaxis="y2",
        legend="legend2",
        **NARROW,
    )
    figure.add_trace(bars)


def _call_names(names: list[str]) -> list[str]:
    """What each call is called: with its number where there are several."""
    return [
        IOCTLS[name] + (f"<br>{names[: index + 1].count(name)}" if names.count(name) > 1 else "")
        for index, name in enumerate(names)
    ]
