"""Charts of simulated time: every line ends at its total, on scales that both sides share."""

import re
from dataclasses import replace
from functools import cache

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]  # it ships no types
import pytest

from mmuviz.engine.replayed import record_replay
from mmuviz.engine.timed_replay import timing_of
from mmuviz.figures.timed import FAR, OTHERS, ends_ms, timed_figures
from mmuviz.recording.pair import Pair
from mmuviz.recording.time_words import CAUSES
from mmuviz.recording.timing import Timing
from mmuviz.studies.timed_guest import VCPUS, timed_guest

ROWS = 5
UNITS = {"ms": 1, "million accesses/s": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
NAMES = ["6.1 manual", "6.12 manual_initially_set"]


@cache
def made(name: str) -> tuple[Pair, tuple[Timing, Timing]]:
    kernel, mode = name.split(" ")
    documents = [
        timed_guest(eager_page_split=eager, kernel=kernel, mode=mode, gib=4, every=8192) for eager in (False, True)
    ]
    left, right = (timing_of(document, "tdp_eager") for document in documents)
    return Pair(name, *(record_replay(document) for document in documents)), (left, right)


@cache
def drawn(name: str) -> tuple[go.Figure, go.Figure, go.Figure]:
    return timed_figures(*made(name))


def titles(figure: go.Figure) -> list[str]:
    return [re.sub(r"</?b>", "", each.text) for each in figure.layout.annotations]


def of_row(figure: go.Figure, row: int) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.yaxis == ("y" if row == 0 else f"y{row + 1}")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [0, 1])
def test_each_line_over_time_is_a_column_of_the_timing(name: str, side: int) -> None:
    figure, timing = drawn(name)[side], made(name)[1][side]
    units = [UNITS[title.rsplit(", ", 1)[1]] for title in titles(figure)]
    assert len(units) == ROWS
    stalls = {trace.name: np.asarray(trace.y) for trace in of_row(figure, 0)}
    totals = timing.vcpu_stall_ms.sum(axis=0)
    for cause, total in zip(timing.causes, totals, strict=True):
        if CAUSES[cause] in stalls:
            assert stalls[CAUSES[cause]][-1] == pytest.approx(total, rel=1e-9, abs=1e-12)
    assert list(stalls)[:1] != [OTHERS]
    assert sum(line[-1] for line in stalls.values()) == pytest.approx(timing.total_stall_ms)
    [ioctls], [progress], [tables], [reach] = (of_row(figure, row) for row in range(1, ROWS))
    assert ioctls.y[-1] == pytest.approx(sum(call.took_ms for call in timing.ioctls))
    seconds = timing.bin_ms / 1000
    assert np.allclose(np.asarray(progress.y)[:-1] * 1e6 * seconds, timing.accesses)
    assert progress.line.shape == "hv"
    assert np.allclose(np.asarray(tables.y) * units[3], timing.table_bytes)
    assert np.allclose(np.asarray(reach.y) * units[4], timing.reach_bytes)
    for trace in figure.data:
        assert np.allclose(trace.x, np.arange(len(timing.accesses) + 1) * timing.bin_ms)


@pytest.mark.parametrize("name", NAMES)
def test_both_sides_have_the_same_scales(name: str) -> None:
    left, right, _ = drawn(name)
    for axis in ("yaxis", "yaxis2", "yaxis3", "yaxis4", "yaxis5"):
        assert left.layout[axis].range == right.layout[axis].range
        assert left.layout[axis].domain == right.layout[axis].domain
    assert [trace.name for trace in left.data] == [trace.name for trace in right.data]
    assert "ms" in left.layout.xaxis.title.text
    for side, figure in enumerate((left, right)):
        assert figure.layout.xaxis.range[1] == ends_ms(made(name)[1])[side]
        for row in range(ROWS):
            top = np.sum([trace.y for trace in of_row(figure, row)], axis=0).max()
            assert top <= figure.layout["yaxis" + ("" if row == 0 else str(row + 1))].range[1]


def test_time_is_on_one_scale_unless_one_side_would_be_lost_in_it() -> None:
    pair, (left, right) = made(NAMES[0])
    shared = ends_ms((left, right))
    assert shared == ([max(left.end_ms, right.end_ms)] * 2 if right.end_ms <= FAR * left.end_ms else shared)
    assert ends_ms((left, left)) == [left.end_ms] * 2
    short = replace(left, op_end_ms=left.op_end_ms / 100)
    assert ends_ms((short, right)) == [short.end_ms, right.end_ms]
    for figure in timed_figures(pair, (short, right))[:2]:
        assert "own scale" in figure.layout.xaxis.title.text


@pytest.mark.parametrize("name", NAMES)
def test_bars_are_each_vcpu_s_stall_and_each_ioctl(name: str) -> None:
    figure, (_, timings) = drawn(name)[2], made(name)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    stalls, calls = ([bar for bar in bars if bar.yaxis == axis] for axis in (None, "y2"))
    for side, timing in enumerate(timings):
        mine = stalls[side * len(stalls) // 2 : (side + 1) * len(stalls) // 2]
        assert np.allclose(np.sum([bar.y for bar in mine], axis=0), timing.vcpu_stall_ms.sum(axis=1))
        assert list(calls[side].y) == [call.took_ms for call in timing.ioctls]
        for bar in (*mine, calls[side]):
            assert (np.sign(np.asarray(bar.x) - np.round(bar.x)) == (1 if side else -1)).all()
    assert list(figure.layout.xaxis.ticktext) == [f"vCPU {vcpu}" for vcpu in range(VCPUS)]
    calls_named = [text.replace("<br>", " ") for text in figure.layout.xaxis2.ticktext]
    assert calls_named == ["enable", "GET 1", "CLEAR 1", "GET 2", "CLEAR 2", "disable"]
    # The two stacks of a vCPU have the same colours: words say whose they are.
    words = [trace.text[0] for trace in figure.data if trace.type == "scatter"]
    assert words == ["lazy", "eager"]
    assert figure.to_plotly_json()
