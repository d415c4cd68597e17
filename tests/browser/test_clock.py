"""The clock and the figures at any tick must be Python's."""

import numpy as np
import pytest

from mmuviz.recording.columns import I64, Recording
from mmuviz.recording.pair import Pair, encode_pair
from mmuviz.recording.series import FIGURES, values_at
from mmuviz.recording.timeline import Timeline
from tests.browser.chooser import chooser
from tests.browser.harness import Harness
from tests.browser.pairs import NAMES, pair

CLOCKS = NAMES[::3]


def open_pair(harness: Harness, made: Pair) -> None:
    harness.give(encode_pair(made))
    harness.run(
        """() => {
            window.pair = window.mmuviz.decodePair(window.buffer);
            window.timeline = new window.mmuviz.Timeline(window.pair);
            window.counts = [0, 1].map(pane => new window.mmuviz.Counts(window.pair, pane, window.timeline));
        }"""
    )


def some_ticks(made: Pair, name: str, count: int) -> I64:
    """The ends of every op and their neighbours, ticks of accesses with events, and others."""
    timeline = made.timeline
    chosen = chooser(name, count)
    ends = (timeline.op_ends[:, np.newaxis] + [-1, 0, 1]).ravel()
    events = np.concatenate([timeline.positions(0), timeline.positions(1), [1]])
    near = chosen.choice(events, count) + chosen.integers(-2, 3, count)
    ticks = np.concatenate([[0, 1, 2], ends, near, chosen.integers(0, timeline.total + 1, count)])
    return np.unique(np.clip(ticks, 0, timeline.total))


@pytest.mark.parametrize("name", CLOCKS)
def test_the_clock_is_python_s(harness: Harness, name: str) -> None:
    made = pair(name)
    timeline, ticks = made.timeline, some_ticks(made, name, 300)
    open_pair(harness, made)
    assert harness.run("() => timeline.total") == timeline.total
    places = harness.numbers(
        """ticks => ticks.flatMap(t => {
            const {op, access, k, ticks, opDone} = timeline.place(t);
            return [op, access, k, ticks, opDone, timeline.cursor(t, 0), timeline.cursor(t, 1)];
        })""",
        ticks.tolist(),
    ).reshape(-1, 7)
    ends = set(timeline.op_ends.tolist())
    expected = [[*timeline.place(t), t in ends, *timeline.cursors(t)] for t in ticks.tolist()]
    assert np.array_equal(places, np.array(expected))


def ends_around(ends: I64, ticks: I64, total: int) -> tuple[I64, I64]:
    """The first end behind each tick, and the last one before it or 0."""
    padded = np.concatenate([[0], ends, [total]])
    return padded[np.searchsorted(ends, ticks, side="right") + 1], padded[np.searchsorted(ends, ticks, side="left")]


@pytest.mark.parametrize("name", CLOCKS)
def test_the_clock_jumps_to_ends(harness: Harness, name: str) -> None:
    made = pair(name)
    timeline, ticks = made.timeline, some_ticks(made, name, 300)
    open_pair(harness, made)
    found = harness.numbers(
        """ticks => ticks.flatMap(t => [timeline.nextAccess(t), timeline.backAccess(t), timeline.nextOp(t),
            timeline.backOp(t), timeline.xAt(t), timeline.tickAtX(timeline.xAt(t))])""",
        ticks.tolist(),
    ).reshape(-1, 6)
    expected = np.stack(
        [
            *ends_around(timeline.tick_ends, ticks, timeline.total),
            *ends_around(timeline.op_ends, ticks, timeline.total),
        ],
        axis=1,
    )
    assert np.array_equal(found[:, :4], expected)
    assert np.allclose(found[:, 4], timeline.x_at(ticks), rtol=0, atol=1e-6)
    assert np.array_equal(found[:, 5], ticks)
    assert harness.run("() => timeline.seconds") == pytest.approx(sum(timeline.seconds_by_op()))
    xs = np.linspace(-1, sum(timeline.seconds_by_op()) + 1, 200)
    at = harness.numbers("xs => xs.map(x => timeline.tickAtX(x))", xs.tolist()).astype(np.int64)
    x_at, after = np.array(timeline.x_at(at)), np.array(timeline.x_at(np.minimum(at + 1, timeline.total)))
    assert ((x_at <= np.maximum(xs, 0) + 1e-6) & ((after >= xs - 1e-6) | (at == timeline.total))).all()


@pytest.mark.parametrize("name", CLOCKS)
def test_every_tick_knows_its_event_and_its_access(harness: Harness, name: str) -> None:
    made = pair(name)
    timeline, ticks = made.timeline, some_ticks(made, name, 300)[1:]
    open_pair(harness, made)
    script = """ticks => ticks.map(t => {
        const {op, access} = timeline.place(t);
        return [timeline.rowAt(t, 0), timeline.rowAt(t, 1), timeline.why(t, 0), timeline.why(t, 1),
            timeline.pageOf(op, access), timeline.vcpuOf(op, access)];
    })"""
    pages = [pages_of(made.left, op) for op in range(len(made.left.ops))]
    done = [{int(t): row for row, t in enumerate(timeline.positions(side))} for side in (0, 1)]
    for t, found in zip(ticks.tolist(), harness.run(script, ticks.tolist()), strict=True):
        place = timeline.place(t)
        assert found[:2] == [done[side].get(t, -1) for side in (0, 1)]
        assert found[2:4] == [reason(timeline, t, side) for side in (0, 1)]
        assert found[4] == (pages[place.op][place.access] if len(pages[place.op]) else -1)
        op = made.left.ops[place.op]
        turn = place.access % made.left.config.vcpus
        assert found[5] == (turn if op.kind == "parallel_write" else op.field("vcpu"))


def pages_of(made: Recording, op: int) -> I64:
    page, stride, accesses = made.touches_of_op(op)
    before = np.cumsum(accesses) - accesses
    pages: I64 = np.repeat(page, accesses) + np.repeat(stride, accesses) * (
        np.arange(accesses.sum()) - np.repeat(before, accesses)
    )
    return pages


def reason(timeline: Timeline, tick: int, side: int) -> str:
    place = timeline.place(tick)
    at = int(timeline.first_access[place.op]) + place.access
    events = int(np.diff(timeline.rows[side][at : at + 2])[0])
    if place.tick <= events:
        return "event"
    return "quiet" if events == 0 and place.tick == 1 else "waits"


@pytest.mark.parametrize("name", NAMES)
def test_the_figures_are_python_s(harness: Harness, name: str) -> None:
    made = pair(name)
    ticks = some_ticks(made, name, 700)
    open_pair(harness, made)
    names = [*FIGURES, "pending", "told"]
    for side, recorded in enumerate(made.sides):
        found = harness.numbers(
            """([side, ticks, names]) => ticks.flatMap(t => {
                const at = counts[side].at(t);
                return names.map(name => at[name]);
            })""",
            [side, ticks.tolist(), names],
        ).reshape(-1, len(names))
        expected = values_at(recorded, made.timeline, side, ticks)
        for index, figure in enumerate(names):
            assert np.array_equal(found[:, index], expected[figure]), figure
