"""The clock of two recordings, against one list of ticks that is walked from the first to the last."""

from math import log10
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.ground.errors import InputError
from mmuviz.recording.columns import FAULT, Op, Recording, Slot, Touches
from mmuviz.recording.timeline import SECONDS_FIRST, SECONDS_PER_DECADE, Timeline
from tests.recording.samples import recording, table

SLOT = Slot(0, 1 << 18, "hugetlb_1g", 0, host_populated=True)

# For each op the rows of each access; an op without accesses has one entry, and `touches` is False.
Counts = list[list[int]]


class Tick(NamedTuple):
    """One tick as the plain walk finds it."""

    op: int
    access: int
    tick: int
    ticks: int
    cursors: tuple[int, int]
    ends_op: bool


class Shape(NamedTuple):
    """How many rows each access of both sides has."""

    touched: list[bool]
    left: Counts
    right: Counts


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    touched = draw(st.lists(st.booleans(), min_size=1, max_size=5))
    rows = st.integers(0, 3) | st.integers(0, 12)
    accesses = [draw(st.integers(1, 5)) if touches else 1 for touches in touched]
    left, right = ([draw(st.lists(rows, min_size=n, max_size=n)) for n in accesses] for _ in range(2))
    return Shape(touched, left, right)


def made(counts: Counts, touched: list[bool]) -> Recording:
    """A recording with so many rows in each access; what they say does not matter to the clock."""
    rows = [
        (FAULT, 0, 0, 0, 1, 0, access, 7, 0, 1)
        for op in counts
        for access, count in enumerate(op)
        for _ in range(count)
    ]
    # The accesses of an op are cut into two runs of touches where there are several: only their sum counts.
    touches, first_touch = [], [0]
    for op, touches_pages in zip(counts, touched, strict=True):
        if touches_pages and len(op) > 1:
            touches += [(0, 1, 1), (9, 2, len(op) - 1)]
        elif touches_pages:
            touches += [(3, 0, 1)]
        first_touch.append(len(touches))
    plain = recording(SLOT, rows, [])
    ops = tuple(Op("write" if touches_pages else "get", ()) for touches_pages in touched)
    columns = plain.op_columns._replace(
        first_run=np.cumsum([0, *map(sum, counts)]),
        first_touch=np.array(first_touch),
        first_range=np.zeros(len(ops) + 1, dtype=np.int64),
    )
    return recording(SLOT, rows, [], ops=ops, op_columns=columns, touches=table(Touches, touches))


def walked(shape: Shape) -> list[Tick]:
    """Every tick in order, one at a time: no sums, no searching."""
    ticks, done = [], [0, 0]
    for op, (left, right) in enumerate(zip(shape.left, shape.right, strict=True)):
        for access, rows in enumerate(zip(left, right, strict=True)):
            waiting = list(rows)
            length = 0
            while length == 0 or any(waiting):
                length += 1
                for side in range(2):
                    if waiting[side]:
                        waiting[side] -= 1
                        done[side] += 1
                last = access == len(left) - 1 and not any(waiting)
                ticks.append(Tick(op, access, length, 0, (done[0], done[1]), last))
            ticks[-length:] = [tick._replace(ticks=length) for tick in ticks[-length:]]
    return ticks


def timeline_of(shape: Shape) -> Timeline:
    return Timeline(made(shape.left, shape.touched), made(shape.right, shape.touched))


@given(shapes())
def test_every_position_is_where_a_plain_walk_stands(shape: Shape) -> None:
    timeline, ticks = timeline_of(shape), walked(shape)
    assert timeline.total == len(ticks)
    for position, tick in enumerate(ticks, 1):
        assert tuple(timeline.place(position)) == (tick.op, tick.access, tick.tick, tick.ticks)
        assert timeline.cursors(position) == tick.cursors
    assert tuple(timeline.place(0)) == (0, 0, 0, ticks[0].ticks)
    assert timeline.cursors(0) == (0, 0)


@given(shapes())
def test_ends_are_where_the_walk_leaves_an_op_or_an_access(shape: Shape) -> None:
    timeline, ticks = timeline_of(shape), walked(shape)
    assert timeline.op_ends.tolist() == [at for at, tick in enumerate(ticks, 1) if tick.ends_op]
    assert timeline.tick_ends.tolist() == [at for at, tick in enumerate(ticks, 1) if tick.tick == tick.ticks]


@given(shapes(), st.sampled_from([0, 1]))
def test_each_row_is_done_where_the_walk_does_it(shape: Shape, side: int) -> None:
    ticks = walked(shape)
    rows = ticks[-1].cursors[side]
    found = timeline_of(shape).positions(side)
    assert found.tolist() == [
        next(at for at, tick in enumerate(ticks, 1) if tick.cursors[side] > row) for row in range(rows)
    ]


@given(shapes())
def test_the_axis_of_time_ascends_from_0_to_the_sum_of_the_ops_seconds(shape: Shape) -> None:
    timeline, ticks = timeline_of(shape), walked(shape)
    seconds = timeline.seconds_by_op()
    lengths = [sum(tick.op == op for tick in ticks) for op in range(len(shape.left))]
    assert seconds == [round(SECONDS_FIRST + SECONDS_PER_DECADE * log10(length), 3) for length in lengths]
    x = timeline.x_at(np.arange(timeline.total + 1))
    assert x[0] == 0
    assert (np.diff(x) > 0).all()
    # Inside an op time runs evenly: seconds of the ops before, and this op's share that is done.
    inside = 0
    for position, tick in enumerate(ticks, 1):
        inside = inside + 1 if position > 1 and ticks[position - 2].op == tick.op else 1
        wanted = sum(seconds[: tick.op]) + seconds[tick.op] * inside / lengths[tick.op]
        assert x[position] == pytest.approx(wanted, rel=1e-12)
    assert x[-1] == pytest.approx(sum(seconds), rel=1e-12)


@given(shapes(), shapes())
def test_sides_that_make_other_accesses_are_refused(one: Shape, other: Shape) -> None:
    same = [max(len(op), 1) for op in one.left] == [max(len(op), 1) for op in other.left]
    left, right = made(one.left, one.touched), made(other.left, other.touched)
    if same:
        assert Timeline(left, right).total >= len(one.left)
        return
    with pytest.raises(InputError, match="same accesses, op by op"):
        Timeline(left, right)


@given(shapes(), st.integers(1, 1000))
def test_a_position_outside_is_refused(shape: Shape, beyond: int) -> None:
    timeline = timeline_of(shape)
    for position in (-beyond, timeline.total + beyond):
        for ask in (timeline.place, timeline.cursors):
            with pytest.raises(InputError, match=rf"step={position} must be 0 to {timeline.total}"):
                ask(position)


def test_a_side_with_fewer_events_waits_and_a_quiet_access_takes_one_tick() -> None:
    # Left: 3 events, none, 1; right: 1, none, 2. Ticks: 3 + 1 + 2.
    timeline = Timeline(made([[3, 0, 1]], [True]), made([[1, 0, 2]], [True]))
    assert [timeline.cursors(position) for position in range(7)] == [
        (0, 0), (1, 1), (2, 1), (3, 1), (3, 1), (4, 2), (4, 3),
    ]  # fmt: skip


def test_an_op_plays_longer_with_every_power_of_ten_of_its_ticks() -> None:
    one, many = made([[1], [1000]], [True, True]), made([[1], [1]], [True, True])
    seconds = Timeline(one, many).seconds_by_op()
    assert seconds[0] == SECONDS_FIRST
    assert seconds[1] - seconds[0] == pytest.approx(3 * SECONDS_PER_DECADE)
