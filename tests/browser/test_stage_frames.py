"""Frames of playback: they draw what changed, and the pixels are those of a drawing from scratch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chooser import chooser
from tests.browser.conftest import PATIENCE_MS
from tests.browser.stage_charts import opened_charts
from tests.browser.stage_maps import opened_maps
from tests.browser.stage_runs import recording_of
from tests.browser.stage_scripts import Stage
from tests.browser.test_stage import PAUSED, open_stage

pytestmark = pytest.mark.xdist_group("stage")

FRAME_MS: Final = 1000 / 60


@pytest.fixture(scope="module")
def maps(chromium: Browser, repository: Path) -> Iterator[Stage]:
    with opened_maps(chromium, repository) as stage:
        yield stage


@pytest.fixture(scope="module")
def charts(chromium: Browser, repository: Path) -> Iterator[Stage]:
    with opened_charts(chromium, repository) as stage:
        yield stage


def frames_of(name: str, *, bins_per_frame: float, count: int) -> list[int]:
    """Times of frames of playback, from a little before the first ioctl, with a step back and a longer one."""
    header, calls = recording_of(name).header, recording_of(name).calls
    begin = max(0, int(calls.start_ps.min()) - 2 * header.bin_ps) if len(calls.start_ps) else 0
    steps = chooser("frames", name, bins_per_frame).uniform(0.5, 1.5, count) * bins_per_frame * header.bin_ps
    steps[count // 2] = -3.3 * header.bin_ps
    steps[2 * count // 3] = 9.1 * header.bin_ps
    times: list[int] = np.clip(begin + np.cumsum(steps), 0, header.end_ps).astype(int).tolist()
    return times


AS_FROM_SCRATCH: Final = """({times, width, height, speed}) => {
    const options = {psPerSecond: () => speed};
    const pane = paneOf(r, width, height, 1, options);
    const box = pane.canvas.parentElement;
    const fresh = new S.MapPane(document.createElement('canvas'), r, {tokens, box, ...options});
    const pixels = ({ctx, canvas}) => pixelsOf(ctx, 0, 0, canvas.width, canvas.height);
    return times.filter((ps) => {
        pane.draw(ps);
        const seen = pixels(pane);
        fresh.resize();
        fresh.draw(ps);
        return seen !== pixels(fresh);
    });
}"""


@pytest.mark.parametrize("name", ["lazy", "eager", "ring", "chunks", "memslots"])
@pytest.mark.parametrize(("width", "height"), [(616, 316), (312, 60)])
@pytest.mark.parametrize("bins_per_frame", [0.15, 2.4])
def test_a_map_that_is_drawn_frame_by_frame_is_as_one_drawn_at_once(
    maps: Stage, name: str, width: int, height: int, bins_per_frame: float
) -> None:
    """Large cells, and at the smaller size groups of cells."""
    maps.open(name)
    times = frames_of(name, bins_per_frame=bins_per_frame, count=60)
    speed = bins_per_frame * recording_of(name).header.bin_ps * 60
    asked = {"times": times, "width": width, "height": height, "speed": speed}
    assert maps.run(AS_FROM_SCRATCH, asked) == []


def test_a_map_on_which_nothing_changes_is_not_drawn_again(maps: Stage) -> None:
    maps.open("lazy")
    drawn = maps.run(
        """() => {
            const pane = paneOf(r, 616, 316);
            let count = 0;
            const {drawImage} = pane.ctx;
            pane.ctx.drawImage = function (...given) { count += 1; drawImage.apply(this, given); };
            return [5e9, 5e9, 5e9 + 1, 9e9].map((ps) => { count = 0; pane.draw(ps); return count > 0; });
        }"""
    )
    assert drawn == [True, False, False, True]


SAME_LINES: Final = """([kind, times]) => {
    const made = (again) => {
        const canvas = again || document.createElement('canvas');
        Object.assign(canvas.style, {display: 'block', width: '544px', height: '120px'});
        document.body.append(canvas);
        return kind === 'ribbon' ? new S.Ribbon(canvas, runs) : new S.Chart(canvas, runs, {measure: kind});
    };
    document.body.replaceChildren();
    const [steps, fresh] = [made(), made()];
    const pixels = ({ctx, canvas}) => ctx.getImageData(0, 0, canvas.width, canvas.height).data.join();
    return times.filter((ps) => {
        steps.draw(ps);
        fresh.resize();
        fresh.draw(ps);
        return pixels(steps) !== pixels(fresh);
    });
}"""


def test_ribbons_that_are_drawn_around_the_playhead_are_as_drawn_at_once(charts: Stage) -> None:
    charts.open("lazy", "eager")
    times = frames_of("lazy", bins_per_frame=0.7, count=80)
    assert charts.run(SAME_LINES, ["ribbon", times]) == []


JOBS: Final = """({periods, costs, frames}) => {
    let now = 0;
    const done = periods.map(() => []);
    const spent = [];
    const jobs = new S.FrameJobs(() => now);
    jobs.set(periods.map((everyMs, at) => ({everyMs, cost: costs[at], run: () => {
        done[at].push(now);
        spent[spent.length - 1] += costs[at];
    }})));
    for (const ms of frames) {
        now += ms;
        spent.push(0);
        jobs.frame(now);
    }
    return {done, spent};
}"""


def test_jobs_keep_their_periods_and_no_frame_does_all_of_them(maps: Stage) -> None:
    periods = [33, 33, 33, 66, 66, 80, 80, 80, *[200] * 20]
    costs = [1, 1, 0.6, 1, 1, 0.4, 0.4, 0.4, *[0.4] * 20]
    maps.page.add_script_tag(path=maps.assets / "frame-jobs.js")
    found: dict[str, Any] = maps.run(JOBS, {"periods": periods, "costs": costs, "frames": [FRAME_MS] * 600})
    for period, times in zip(periods, found["done"], strict=True):
        between = np.diff(times[3:])
        assert between.mean() == pytest.approx(period, rel=0.3)
        assert between.max() <= period + 4 * FRAME_MS
    mean = sum(cost * FRAME_MS / period for period, cost in zip(periods, costs, strict=True))
    spent = np.array(found["spent"][30:])
    assert spent.max() <= 1.1 * mean + max(costs)
    assert (spent[1:] + spent[:-1]).max() <= 2 * 1.1 * mean + max(
        costs
    )  # what a frame does too much, the next one does less


def test_late_frames_make_up_for_jobs_that_they_missed(maps: Stage) -> None:
    periods, costs = [33] * 6, [1] * 6
    maps.page.add_script_tag(path=maps.assets / "frame-jobs.js")
    found = maps.run(JOBS, {"periods": periods, "costs": costs, "frames": [4 * FRAME_MS] * 50})
    assert all(np.diff(times[1:]).max() <= 5 * FRAME_MS for times in found["done"])


def test_a_pause_shows_everything_at_the_same_instant(page: Page) -> None:
    open_stage(page, PAUSED)
    page.keyboard.press("Space")
    page.wait_for_function("() => mmuvizStage.stage.clock.now > 46e9", timeout=PATIENCE_MS)
    page.keyboard.press("Space")
    shown = page.evaluate(
        """() => {
            const S = mmuvizStage;
            const {panes, runs, charts, clock} = S.stage;
            const texts = () => [
                document.getElementById('stage-time').textContent,
                ...[...document.querySelectorAll('.number-value')].map((each) => each.textContent),
                ...charts.flatMap(({labels}) => labels.map(({text}) => text)),
                ...panes.filter(({run}) => run).map(({sentence}) => sentence.textContent),
            ];
            const paused = texts();
            S.stage.draw(clock.now, true);
            return [clock.playing, runs.length, paused, texts()];
        }"""
    )
    assert shown[:2] == [False, 2]
    assert shown[2] == shown[3]


READINGS: Final = """(count) => new Promise((resolve) => {
    const S = mmuvizStage;
    const {panes, charts, runs} = S.stage;
    const seen = [];
    const sample = () => {
        const ps = Number(document.getElementById('stage-time').dataset.ps);
        const wrong = [];
        const hold = (what, shown, wanted) => shown === wanted || wrong.push([what, shown, wanted]);
        const bare = (said) => said.replace('()', '').replace(/\\s/g, '');
        hold('time', bare(document.getElementById('stage-time').textContent), bare(S.timeText(ps)));
        panes.filter(({run}) => run).forEach(({section, sentence, run}) => {
            const text = (name) => section.querySelector(name).textContent;
            const stall = `${text('[data-number=stall]')} ${text('[data-unit=stall]')}`;
            const tables = text('[data-mmuviz=tables]').replace(' of page tables added', '');
            const said = S.sentence(run, ps);
            hold('sentence', bare(sentence.textContent), bare(said.text + said.kernelFunction));
            hold('stall', stall, S.paneTime('stall', run, runs, ps));
            hold('tables', tables, S.bytesText(run.tablesAdded(ps)));
            for (const [at, value] of [stall, tables].entries()) {
                const of = charts[at].ends.find((end) => runs[end.run] === run);
                hold(charts[at].title, of.text, value);
            }
        });
        seen.push([ps, wrong]);
        if (seen.length < count) { requestAnimationFrame(sample); } else { resolve(seen); }
    };
    S.stage.clock.play();
    requestAnimationFrame(sample);
})"""


@pytest.mark.parametrize("panes", ["lazy,eager_at_enable", "lazy,eager_at_enable,eager_in_clear,ring_lazy"])
def test_during_playback_all_numbers_are_of_the_time_that_is_shown(page: Page, panes: str) -> None:
    """In every frame: panes, charts and sentences."""
    open_stage(page, f"/?ps=30000000000&speed=50000000000&policies={panes}")
    seen = page.evaluate(READINGS, 150)
    assert [(ps, wrong) for ps, wrong in seen if wrong] == []
    assert len({ps for ps, _ in seen}) > 10  # it played
