"""Charts: every point drawn is a figure of the recording, in its title's unit, on scales that both sides share."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go  # type: ignore[import-untyped]  # it ships no types
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs_version  # type: ignore[import-untyped]  # the same

from mmuviz.figures.both import both_figure
from mmuviz.figures.side import side_figures
from mmuviz.figures.theme import sampled_positions, unit_for
from mmuviz.recording.pair import Pair
from mmuviz.recording.series import values_at
from mmuviz.studies.catalogue import CATALOGUE, build

NAMES = [
    "random", "legacy", "initially-all-set", "ring-initially-set", "4k", "1g", "head-and-tail", "zap-or-split-2m",
    "disable", "lost-dirty-page", "clear-off-by-one", "pml", "shadow-mmu",
]  # fmt: skip
UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "pages": 1, "count": 1}
LEVEL_BYTES = {"4K": 1 << 12, "2M": 1 << 21, "1G": 1 << 30}
# Names in the legend, and the figure that each must show.
LEVELS = {"4K": "pages_4k", "2M": "pages_2m", "1G": "pages_1g"}
FAULTS = {"absent": "faults_not_present", "fast": "faults_fast", "slow": "faults_slow"}
PLACES = {
    "enable": "splits_enable",
    "CLEAR": "splits_clear",
    "ring reset": "splits_ring_reset",
    "fault": "splits_fault",
    "zapped in a fault": "zaps_fault",
}
BOTH = ("table_bytes", "pending", "told")
Traces = dict[tuple[int, str], npt.NDArray[np.float64]]


@cache
def pair_of(name: str) -> Pair:
    return build({entry.name: entry for entry in CATALOGUE if entry.recorded}[name])


@cache
def drawn(name: str) -> tuple[go.Figure, go.Figure, go.Figure]:
    return (*side_figures(pair_of(name)), both_figure(pair_of(name)))


@cache
def values_of(name: str, side: int) -> dict[str, Any]:
    pair = pair_of(name)
    return values_at(pair.sides[side], pair.timeline, side, sampled_positions(pair))


def row_of(trace: Any) -> int:  # noqa: ANN401 - Plotly ships no types
    return int(trace.yaxis[1:] or 1) - 1


def traces(figure: go.Figure) -> Traces:
    found = {(row_of(trace), trace.name): np.asarray(trace.y, dtype=float) for trace in figure.data}
    assert len(found) == len(figure.data)
    return found


def titles(figure: go.Figure) -> list[str]:
    return [re.sub(r"</?b>", "", each.text) for each in figure.layout.annotations]


def unit_of(title: str) -> int:
    return UNITS[title.rsplit(", ", 1)[1]]


@pytest.mark.parametrize("name", NAMES)
def test_every_title_carries_its_unit(name: str) -> None:
    for figure in drawn(name):
        assert len(titles(figure)) == 3
        assert all(title.rsplit(", ", 1)[1] in UNITS for title in titles(figure))
        assert len({each.y for each in figure.layout.annotations}) == 3
    left, right, _ = drawn(name)
    assert titles(left) == titles(right)


@pytest.mark.parametrize("name", NAMES)
def test_every_point_of_a_side_is_a_figure_of_its_recording(name: str) -> None:
    for side, figure in enumerate(drawn(name)[:2]):
        values, lines = values_of(name, side), traces(figure)
        units = [unit_of(title) for title in titles(figure)]
        for label, column in LEVELS.items():
            assert np.allclose(lines.pop((0, label)) * units[0] / LEVEL_BYTES[label], values[column], rtol=1e-12)
        for label, column in FAULTS.items():
            assert np.array_equal(lines.pop((1, label)), values[column])
        # What never happens may be left out, but nothing else; where nothing happens at all, a line at 0 says so.
        for label, column in PLACES.items():
            assert np.array_equal(lines.pop((2, label), np.zeros(1)) * np.ones(len(values[column])), values[column])
        assert list(lines) in ([], [(2, "none")])
        assert not any(line.any() for line in lines.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_point_of_both_is_a_figure_of_its_side(name: str) -> None:
    figure = drawn(name)[2]
    lines = list(figure.data)
    assert len(lines) == 6
    for row, column in enumerate(BOTH):
        of_row = [trace for trace in lines if row_of(trace) == row]
        unit = unit_of(titles(figure)[row])
        for side, trace in enumerate(of_row):
            assert np.allclose(np.asarray(trace.y) * unit, values_of(name, side)[column], rtol=1e-12, atol=0)
        # Told apart without colour too, and called the same in every chart.
        assert of_row[0].line.dash != of_row[1].line.dash
        assert of_row[0].line.color != of_row[1].line.color
        assert [trace.name for trace in of_row] == [trace.name for trace in lines[:2]]


@pytest.mark.parametrize("name", NAMES)
def test_the_last_points_are_what_kvm_counts_at_the_end(name: str) -> None:
    left, right, both = drawn(name)
    for side, figure in enumerate((left, right)):
        columns, lines = pair_of(name).sides[side].op_columns, traces(figure)
        unit = unit_of(titles(figure)[0])
        for label, column in LEVELS.items():
            assert lines[0, label][-1] * unit / LEVEL_BYTES[label] == pytest.approx(getattr(columns, column)[-1])
        assert sum(lines[1, label][-1] for label in FAULTS) == columns.pf_taken[-1]
        assert lines[1, "fast"][-1] == columns.pf_fast[-1]
        tables = [trace for trace in both.data if row_of(trace) == 0][side]
        spent = int(columns.table_bytes[-1] + columns.header_bytes[-1])
        assert tables.y[-1] * unit_of(titles(both)[0]) == pytest.approx(spent)


@pytest.mark.parametrize("name", NAMES)
def test_both_sides_are_drawn_on_the_same_scales(name: str) -> None:
    left, right, both = drawn(name)
    axes = ("yaxis", "yaxis2", "yaxis3")
    for axis in axes:
        assert left.layout[axis].range == right.layout[axis].range
        assert left.layout[axis].range[0] == 0
        assert left.layout[axis].domain == right.layout[axis].domain == both.layout[axis].domain
    for figure in (left, right):
        for row, axis in enumerate(axes):
            stacked = np.sum([line for (at, _), line in traces(figure).items() if at == row], axis=0)
            assert stacked.max() <= figure.layout[axis].range[1]  # nothing runs out of the chart
    assert left.layout.xaxis == right.layout.xaxis == both.layout.xaxis
    assert left.layout.height == right.layout.height == both.layout.height
    assert both.layout.margin == left.layout.margin  # one cursor's x is the other's


@pytest.mark.parametrize("name", NAMES)
def test_the_axis_is_the_clock_and_marks_where_ops_begin(name: str) -> None:
    pair = pair_of(name)
    timeline, positions = pair.timeline, sampled_positions(pair)
    seconds = timeline.seconds_by_op()
    assert positions[0] == 0
    assert positions[-1] == timeline.total
    assert (np.diff(positions) > 0).all()
    assert set(timeline.op_ends.tolist()) <= set(positions.tolist())
    for figure in drawn(name):
        for trace in figure.data:
            assert np.allclose(trace.x, timeline.x_at(positions))
            assert len(trace.x) == len(trace.y) <= 2000
            assert trace.line.shape == "hv"  # a value holds until the next step
        axis = figure.layout.xaxis
        assert axis.range == pytest.approx((0, sum(seconds)))
        assert axis.tickvals == pytest.approx([sum(seconds[:op]) for op in range(len(seconds))])
        numbers = [(op, text) for op, text in enumerate(axis.ticktext, 1) if text]
        assert all(text == str(op) for op, text in numbers)
        places = [axis.tickvals[op - 1] / axis.range[1] for op, _ in numbers]
        assert (np.diff(places) >= 0.03).all()  # no number runs into the next
        assert figure.to_plotly_json()  # it can be sent


@given(st.integers(0, 1 << 45))
def test_a_unit_is_the_largest_that_two_of_fit_in(most: int) -> None:
    unit = unit_for(most)
    assert unit.size == UNITS[unit.name]
    assert unit.name == "bytes" or most / unit.size >= 2
    assert unit.name == "TiB" or most / unit.size < 2 * 1024


def bundles(repository: Path) -> Iterator[Path]:
    return (repository / "assets").glob("plotly*.js")


def test_the_page_s_plotly_is_the_one_that_python_writes_for(repository: Path) -> None:
    found = list(bundles(repository))
    version = get_plotlyjs_version()
    assert [path.name for path in found] == [f"plotly-basic-{version}.min.js"]
    assert f"plotly.js (basic - minified) v{version}\n" in found[0].read_text(encoding="utf-8")[:200]


def test_every_kind_of_trace_is_in_the_basic_bundle() -> None:
    assert {trace.type for name in NAMES for figure in drawn(name) for trace in figure.data} == {"scatter"}
