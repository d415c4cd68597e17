"""The clock of the stage, with a timer that the tests move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from playwright.sync_api import Browser

from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import (
    EXAMPLE_KINDS,
    IOCTL_COUNT,
    PATHS,
)
from tests.browser.chooser import chooser
from tests.browser.stage_runs import frame_times, recording_of, replayed
from tests.browser.stage_scripts import Stage, opened_stage

pytestmark = pytest.mark.xdist_group("stage")


@pytest.fixture(scope="module")
def stage(chromium: Browser, repository: Path) -> Iterator[Stage]:
    with opened_stage(chromium, repository) as stage:
        yield stage


CLOCK: Final = """() => {
    window.time = 0;
    window.frames = [];
    window.drawn = [];
    window.changes = 0;
    window.requestAnimationFrame = then => frames.push(then);
    window.cancelAnimationFrame = () => { frames.length = 0; };
    window.clock = new S.Clock(runs, {draw: ps => drawn.push(ps), changed: () => { changes += 1; }, timer: () => time});
    window.advance = ms => { time += ms; frames.splice(0).forEach(then => then(time)); return clock.now; };
}"""
MS: Final = 10**9


def open_clock(stage: Stage, *names: str) -> None:
    stage.open(*names)
    stage.run(CLOCK)


def end_of(*names: str) -> int:
    return max(recording_of(name).header.end_ps for name in names)


def test_the_position_never_drifts(stage: Stage) -> None:
    open_clock(stage, "lazy")
    chosen = chooser("drift")
    stage.run("() => { clock.speed = 1e9; clock.seek(2_000_000); clock.play(); }")
    steps = (chosen.random(1000) * 27).round(3)
    places = np.array(stage.run("steps => steps.map(advance)", steps.tolist()))
    assert np.abs(places - (2_000_000 + np.cumsum(steps) * MS / 1000)).max() <= 1
    assert stage.run("() => drawn[drawn.length - 1] === clock.now && clock.playing")


@pytest.mark.parametrize("names", [("lazy", "eager"), ("eager",), ("perf test",), ("without logging",)])
def test_auto_speed_is_a_function_of_the_time(stage: Stage, names: tuple[str, ...]) -> None:
    """Playback reaches the same positions after the same seconds, independent of the frames, and after a seek."""
    open_clock(stage, *names)
    end = end_of(*names)
    assert stage.run("() => clock.endPs") == end
    whole = stage.run(
        "() => { clock.play(); const at = [0]; while (clock.playing) { at.push(advance(10)); } return at; }"
    )
    assert whole[-1] == end == stage.run("() => clock.now")
    assert (np.diff(whole) > 0).all()
    assert 1 < len(whole) / 100 < 12
    for first in chooser(names).integers(0, len(whole) - 1, 20).tolist():
        rest = stage.run(
            """([ps, count]) => {
                clock.pause(); clock.seek(ps); clock.play();
                return Array.from({length: count}, () => advance(10));
            }""",
            [whole[first], min(5, len(whole) - 1 - first)],
        )
        # Times are whole ps: half a one, where playing is slow, is some more where it is fast.
        assert rest == pytest.approx(whole[first + 1 : first + 1 + len(rest)], abs=200)
    speeds = np.array(stage.run("at => at.map(ps => { clock.seek(ps); return clock.psPerSecond; })", whole[:-1]))
    moved = np.diff(whole) * 100
    lowest = np.minimum(speeds, np.append(speeds[1:], speeds[-1]))
    highest = np.maximum(speeds, np.append(speeds[1:], speeds[-1]))
    assert (moved[:-1] >= lowest[:-1] * 0.999 - 200).all()  # the last frame ends with the run
    assert (moved <= highest * 1.001 + 200).all()


def test_auto_speed_is_slow_where_logging_begins(stage: Stage) -> None:
    names = ("lazy", "eager")
    open_clock(stage, *names)
    enable, bin_ps = 3 * MS, max(recording_of(name).header.bin_ps for name in names)
    places = [0, enable, enable + bin_ps // 4, enable + 3 * bin_ps, end_of(*names) - 1]
    speeds = stage.run("at => at.map(ps => { clock.seek(ps); return clock.psPerSecond; })", places)
    first, at, behind, call, last = speeds
    assert at == behind == bin_ps
    assert at < call < last
    assert at < first


def events_of(made: Recording) -> set[int]:
    """Events that are known one by one, begins and ends of ioctls, and the ends of bins in which none of them is."""
    calls, bin_ps, end = made.calls, made.header.bin_ps, made.header.end_ps
    edges = [column[calls.kind < IOCTL_COUNT] for column in (calls.start_ps, calls.end_ps)]
    known = np.unique(np.concatenate([made.examples.time_ps, made.events.time_ps, *edges]).astype(np.int64))
    bins = len(made.bins.accesses)
    empty = np.setdiff1d(np.arange(bins), np.minimum(known // bin_ps, bins - 1))
    return {*known.tolist(), *np.minimum((empty + 1) * bin_ps, end).tolist()}


@pytest.mark.parametrize("names", [("lazy", "eager"), ("perf test",)])
def test_steps_go_to_what_is_next_and_back(stage: Stage, names: tuple[str, ...]) -> None:
    open_clock(stage, *names)
    calls = [recording_of(name).calls for name in names]
    edges: dict[str, set[int]] = {
        "event": {ps for name in names for ps in events_of(recording_of(name))},
        "call": {int(ps) for c in calls for column in (c.start_ps, c.end_ps) for ps in column[c.kind < IOCTL_COUNT]},
        "phase": {int(ps) for c in calls for column in (c.start_ps, c.end_ps) for ps in column[c.kind >= IOCTL_COUNT]},
    }
    for kind, times in edges.items():
        expected = np.array(sorted(times))
        walk = "([kind, dir, n]) => Array.from({length: n}, () => { clock.step(kind, dir); return clock.now; })"
        count = min(len(expected), 300)
        stage.run("() => clock.seek(0)")
        forward = stage.run(walk, [kind, 1, count])
        ahead = np.append(expected[expected > 0], end_of(*names))[:count]
        assert forward == ahead.tolist(), kind
        back = stage.run(walk, [kind, -1, count])
        behind = np.append(expected[expected < forward[-1]][::-1], [0] * count)[:count]
        assert back == behind.tolist(), kind
    # A step pauses, and shows where it came to.
    assert stage.run("() => { clock.play(); clock.step('call', 1); return clock.playing; }") is False
    assert stage.run("() => drawn[drawn.length - 1] === clock.now")


def test_a_loop_plays_its_part_again_and_again(stage: Stage) -> None:
    open_clock(stage, "lazy")
    stage.run("() => { clock.speed = 1e9; clock.loop(4e6, 10e6); clock.play(); }")
    steps = np.full(100, 3.7)
    places = np.array(stage.run("steps => steps.map(advance)", steps.tolist()))
    expected = 4e6 + np.cumsum(steps) * 1e6 % 6e6
    assert np.abs(places - expected).max() <= 1
    far = stage.run("() => { clock.loop(null); return Array.from({length: 5}, () => advance(3.7)); }")
    assert np.abs(far - (places[-1] + np.arange(1, 6) * 3.7e6)).max() <= 2
    assert stage.run("() => clock.playing")


def test_a_seek_stays_inside_and_play_begins_anew_at_the_end(stage: Stage) -> None:
    open_clock(stage, "lazy")
    end = end_of("lazy")
    ends = stage.run(
        "() => [-5, 1e18, 12.4].map(ps => { clock.seek(ps); return [clock.now, drawn[drawn.length - 1]]; })"
    )
    assert ends == [[0, 0], [end, end], [12, 12]]
    assert stage.run("() => { clock.seek(clock.endPs); clock.play(); return [clock.now, clock.playing]; }") == [0, True]
    assert stage.run("() => { clock.toggle(); clock.toggle(); clock.toggle(); return clock.playing; }") is False
    assert stage.run("() => [advance(1000), changes]") == [0, 4]


def first_of(name: str, wanted: set[str], column: str) -> int:
    """Return the time of the first example of a kind or path."""
    made = recording_of(name)
    names = EXAMPLE_KINDS if column == "kind" else PATHS
    logged = made.examples.time_ps >= made.calls.start_ps[made.calls.kind == 0][0]
    found = [names[code] in wanted for code in made.examples[column]]
    return int(made.examples.time_ps[np.array(found) & logged].min())


def first_difference(one: Recording, other: Recording) -> int:
    """The first end of a bin of either at which their cells differ."""
    ends = [frame_times(each) for each in (one, other)]
    times = np.unique(np.concatenate(ends))
    frames = [np.searchsorted(each, times, side="right") - 1 for each in ends]
    differs = (replayed(one)[frames[0]] != replayed(other)[frames[1]]).any(axis=(1, 2))
    return int(times[differs.argmax()])


STOPS: Final = """stop => {
    clock.stopAt = stop;
    clock.seek(0);
    const found = [];
    while (clock.now < clock.endPs) {
        clock.play();
        while (clock.playing) { advance(40); }
        found.push(clock.now);
    }
    return found;
}"""


@pytest.mark.parametrize("names", [("lazy", "eager"), ("eager", "lazy")])
def test_playing_stops_where_it_is_asked_to(stage: Stage, names: tuple[str, str]) -> None:
    open_clock(stage, *names)
    splits, faults = {"split_2m", "split_1g"}, {"fast", "slow_protected", "not_present", "spurious"}
    one, other = both = [recording_of(name) for name in names]
    assert not recording_of("eager").bins.faults_fast.any()
    expected = {
        "first_split": {first_of(name, splits, "kind") for name in names},
        "longest_stall": {int(each.longest.time_ps[each.longest.stall_ps.argmax()]) for each in both},
        "first_fault": {first_of("lazy", faults, "path")},
        "call_end": {int(ps) for each in both for ps in each.calls.end_ps[each.calls.kind < IOCTL_COUNT]},
        "differ": {first_difference(one, other)},
    }
    for stop, times in expected.items():
        assert stage.run(STOPS, stop) == [*sorted(times), end_of(*names)], stop


def test_faults_before_logging_are_not_where_playing_stops(stage: Stage) -> None:
    bins = recording_of("perf test").bins
    faults = bins.faults_not_present + bins.faults_fast + bins.faults_slow_protected + bins.faults_spurious
    enabled = recording_of("perf test").calls.start_ps[1] // recording_of("perf test").header.bin_ps
    assert faults[:enabled].any()
    assert not faults[enabled:].any()
    open_clock(stage, "perf test")
    assert stage.run(STOPS, "first_fault") == [end_of("perf test")]


def test_an_unknown_stop_is_said_in_one_line(stage: Stage) -> None:
    open_clock(stage, "perf test")
    wrong = "() => { try { clock.stopAt = 'never'; } catch (error) { return error.message; } }"
    assert stage.run(wrong) == ('stop "never" must be one of first_split, first_fault, longest_stall, call_end, differ')


def test_nothing_moves_by_itself_with_reduced_motion(stage: Stage) -> None:
    open_clock(stage, "perf test")
    stage.page.emulate_media(reduced_motion="reduce")
    assert stage.run("() => { clock.start(); return clock.playing; }") is False
    assert stage.run("() => { clock.play(); return clock.playing; }") is True
    stage.page.emulate_media(reduced_motion="no-preference")
    assert stage.run("() => { clock.pause(); clock.start(); return clock.playing; }") is True


def test_a_page_that_was_hidden_goes_on_where_it_was(stage: Stage) -> None:
    open_clock(stage, "lazy")
    was, after = stage.run(
        """() => {
            clock.speed = 1e9;
            clock.play();
            const was = advance(5);
            time += 10_000;
            document.dispatchEvent(new Event('visibilitychange'));
            return [was, advance(5)];
        }"""
    )
    assert (was, after) == (5_000_000, 10_000_000)
