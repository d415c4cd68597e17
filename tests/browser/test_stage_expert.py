"""The expert view on the page: its lanes are the Recording's at every time, and it comes and goes without a jolt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Browser, Page, expect

from mmuviz.recording.recording import Recording
from tests.browser.chooser import chooser
from tests.browser.conftest import PATIENCE_MS
from tests.browser.stage_runs import NAMES, frame_times, recording_of
from tests.browser.stage_scripts import Stage, opened_stage
from tests.browser.test_stage import PAUSED, open_stage, recordings
from tests.browser.test_stage_lanes import EXPERT, shares_by_python

pytestmark = pytest.mark.xdist_group("stage")

FULL = 255
ROUNDING = 5 / FULL
LANES = "[data-mmuviz=lane]"
PART = "mmuvizStage.stage.parts.find((part) => part.chart && part.lanes)"

__all__ = ["recordings"]


@pytest.fixture(scope="module")
def stage(chromium: Browser, repository: Path) -> Iterator[Stage]:
    with opened_stage(chromium, repository) as opened:
        yield opened


def times_by_python(made: Recording, lane: int, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Time that a vCPU has spent in each state up to each time, ps: float64[times, 5]; evenly inside a bin."""
    edges = frame_times(made)
    took = shares_by_python(made, lane, lane + 1) * np.diff(edges)[:, np.newaxis]
    sums = np.vstack([np.zeros(5), np.cumsum(took, axis=0)])
    return np.stack([np.interp(times, edges, sums[:, part]) for part in range(5)], axis=1)


def enable_bin(made: Recording) -> tuple[int, int] | None:
    """The first and the last ps of the bin in which logging is enabled first."""
    starts = made.calls.start_ps[made.calls.kind == 0]
    if not len(starts):
        return None
    first = int(starts.min()) // made.header.bin_ps * made.header.bin_ps
    return first, first + made.header.bin_ps


@pytest.mark.parametrize("name", NAMES)
def test_shares_of_any_stretch_are_those_of_its_bins(stage: Stage, name: str) -> None:
    stage.open(name)
    made = recording_of(name)
    stage.run("() => { window.lanes = new S.LaneShares(r); }")
    pick = chooser("stretches", name)
    times = np.sort(pick.integers(0, made.header.end_ps + 1, (60, 2)), axis=1)
    times = times[times[:, 0] < times[:, 1]]
    inside = enable_bin(made)
    if inside is not None:
        times = times[((times <= inside[0]) | (times >= inside[1])).all(axis=1)]
    assert len(times) > 10
    for vcpu in range(made.header.vcpus):
        ends = [times_by_python(made, vcpu, times[:, side].astype(float)) for side in (0, 1)]
        wanted = (ends[1] - ends[0]) / np.diff(times, axis=1)
        script = f"times => times.map(([from, to]) => Array.from(lanes.of({vcpu}, from, to)))"
        found = np.array(stage.run(script, times.tolist()))
        np.testing.assert_allclose(found, wanted, atol=1e-6)
        assert (found >= 0).all()
        assert (found.sum(axis=1) <= 1 + ROUNDING).all()


@pytest.mark.parametrize("name", ["lazy", "eager"])
def test_no_stall_is_shown_before_logging_is_enabled(stage: Stage, name: str) -> None:
    stage.open(name)
    made = recording_of(name)
    inside = enable_bin(made)
    assert inside is not None
    enable = int(made.calls.start_ps[made.calls.kind == 0].min())
    assert inside[0] < enable < inside[1]
    stage.run("() => { window.lanes = new S.LaneShares(r); }")
    for vcpu in range(made.header.vcpus):
        before = stage.run(f"([from, to]) => [...lanes.of({vcpu}, from, to)]", [inside[0], enable])
        assert before[:4] == pytest.approx([0] * 4, abs=1e-9)
        assert before[4] == pytest.approx(1, abs=ROUNDING)
        whole = stage.run(f"([from, to]) => [...lanes.of({vcpu}, from, to)]", list(inside))
        bin_ = inside[0] // made.header.bin_ps
        assert whole == pytest.approx(shares_by_python(made, vcpu, vcpu + 1)[bin_].tolist(), abs=1e-9)


def test_percents_name_what_is_left(stage: Stage) -> None:
    pick = chooser("left over")
    for _ in range(50):
        shares = pick.dirichlet([0.5] * 6)
        percents = stage.run("shares => S.wholePercents(shares)", shares[:5].tolist())
        assert sum(percents) == 100
        if shares[5] > ROUNDING:
            np.testing.assert_allclose(percents, 100 * shares, atol=1)
        else:
            assert percents[5] <= 100 * ROUNDING + 1


def test_pixels_of_lanes_are_the_shares(page: Page, recordings: list[Recording]) -> None:
    """At the end all of the run is drawn: red hangs from the top of each column as far as the vCPU stalled."""
    open_stage(page, EXPERT)
    page.keyboard.press("End")
    read = f"""() => {{
      const {{ chart }} = {PART};
      const {{ columns, pixels, top, dpr, from, to, rows, pixelColours: colours }} = chart;
      return rows.runs.map(({{ lanes }}) => lanes.map(({{ y, height }}) => {{
        const [first, high] = [Math.round(y * dpr) - top, Math.round(height * dpr)];
        const count = (x, colour) => Array.from({{ length: high }}, (_, row) => pixels[(first + row) * columns + x])
          .filter((pixel) => pixel === colour).length;
        const every = Array.from({{ length: columns }}, (_, x) => [count(x, colours.fault), count(x, colours.run)]);
        return {{ from, to, high, every }};
      }}));
    }}"""
    for made, lanes in zip(recordings, page.evaluate(read), strict=True):
        inside = enable_bin(made)
        assert inside is not None
        stalled = 0
        for vcpu, lane in enumerate(lanes):
            edges = np.linspace(lane["from"], lane["to"], len(lane["every"]) + 1)
            edges = np.minimum(edges, made.header.end_ps)
            kept = (np.diff(edges) > 0) & ((edges[1:] <= inside[0]) | (edges[:-1] >= inside[1]))
            own = np.diff(times_by_python(made, vcpu, edges), axis=0)[kept] / np.diff(edges)[kept, np.newaxis]
            found = np.array(lane["every"])[kept]
            # A share on the edge between two pixels may fall to either.
            assert (np.abs(found[:, 0] - own[:, 0] * lane["high"]) <= 0.5 + 1e-6).all()
            assert (np.abs(found[:, 1] - own[:, 4] * lane["high"]) <= 0.5 + 1e-6).all()
            stalled += int(found[:, 0].sum())
        assert (stalled > 0) == (made is recordings[0])


def test_a_click_finds_its_vcpu_and_its_bin(page: Page, recordings: list[Recording]) -> None:
    open_stage(page, EXPERT)
    card, time = page.locator(".why-card"), page.locator("[data-mmuviz=time]")
    pick = chooser("slices")
    for run, lane, share in [(0, 0, 0.31), *((int(pick.integers(2)), int(pick.integers(4)), 0.4) for _ in range(4))]:
        box = page.locator(f"{LANES}[data-run='{run}'][data-lane='{lane}']").bounding_box()
        assert box is not None
        window = page.evaluate(f"() => (({{ from, to }}) => [from, to])({PART}.chart)")
        x = round(box["x"] + share * float(pick.uniform(0.1, 1)) * box["width"])
        page.mouse.click(x, box["y"] + box["height"] / 2)
        ps = window[0] + (x - box["x"]) / box["width"] * (window[1] - window[0])
        expect(time).to_have_attribute("data-ps", str(round(ps)))
        expect(card).to_have_attribute("data-run", str(run))
        expect(card).to_have_attribute("data-lane", str(lane))
        expect(card).to_have_attribute("data-bin", str(int(ps // recordings[run].header.bin_ps)))
        expect(card).to_contain_text(f"vCPU {lane}")
        page.keyboard.press("Escape")
        expect(card).to_be_hidden()


def test_lanes_say_the_shares_of_now(page: Page, recordings: list[Recording]) -> None:
    open_stage(page, EXPERT)
    for run, made in enumerate(recordings):
        bin_ = 45_000_000_000 // made.header.bin_ps
        for vcpu in range(made.header.vcpus):
            fault = 100 * shares_by_python(made, vcpu, vcpu + 1)[bin_, 0]
            label = page.locator(f"{LANES}[data-run='{run}'][data-lane='{vcpu}']").get_attribute("aria-label") or ""
            said = [int(part.split(" %")[0]) for part in label.split(": ")[1].split(", ")]
            assert sum(said) == 100
            assert (f"{said[0]} % stalled in faults" in label) == (fault >= 1)
            if fault >= 1:
                assert said[0] == pytest.approx(fault, abs=1)


def test_it_comes_and_goes_while_it_plays(page: Page) -> None:
    open_stage(page)
    page.keyboard.press("Space")
    boxes = """() => ['.bar', '.transport', '.controls', '.pane-head'].map((each) =>
        document.querySelector(each).getBoundingClientRect()).map(({ x, y, width, height }) => [x, y, width, height])"""
    before = page.evaluate(boxes)
    for opened in (True, False):
        at = page.evaluate("mmuvizStage.stage.clock.now")
        page.keyboard.press("e")
        assert page.evaluate("document.body.classList.contains('expert')") is opened
        assert page.evaluate("mmuvizStage.stage.clock.playing") is True
        assert page.evaluate(boxes) == before
        page.wait_for_function("at => mmuvizStage.stage.clock.now > at", arg=at)


def test_the_button_opens_it_and_key_e_works_behind_it(page: Page) -> None:
    open_stage(page)
    button = page.locator(".tools [data-act=expert]")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.locator(LANES)).to_have_count(10)
    page.keyboard.press("e")
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(page.locator(LANES).first).to_be_hidden()
    page.evaluate("document.querySelector('.stage').insertAdjacentHTML('beforeend', '<input id=probe>')")
    page.locator("#probe").press("e")
    assert page.locator("#probe").input_value() == "e"
    expect(button).to_have_attribute("aria-pressed", "false")
    open_stage(page, EXPERT)
    expect(button).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("size", [(1920, 1080), (1024, 768), (800, 600), (360, 740), (640, 360)])
@pytest.mark.parametrize("keys", ["", "p"], ids=["plain", "presenter"])
def test_all_lanes_are_in_sight(page: Page, size: tuple[int, int], keys: str) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, EXPERT)
    for key in keys:
        page.keyboard.press(key)
    expect(page.locator(".lower")).to_be_hidden()
    page.wait_for_function(f"""() => {{
      const under = document.querySelector('.transport').getBoundingClientRect().top;
      const over = Math.max(...[...document.querySelectorAll('.pane:not([hidden]) .map')]
        .map((each) => each.getBoundingClientRect().bottom));
      const boxes = [...document.querySelectorAll('{LANES}')].map((each) => each.getBoundingClientRect());
      return boxes.length === 10 && boxes.every(({{ top, bottom, left, right, height }}) =>
        height >= 2 && top >= over - 5 && bottom <= under + 1 && left >= 0 && right <= innerWidth);
    }}""")


def test_four_policies_have_lanes_each(page: Page) -> None:
    open_stage(page, f"{EXPERT}&policies=manual_lazy,eager_at_enable,eager_in_clear,ring_lazy")
    expect(page.locator(LANES)).to_have_count(20, timeout=PATIENCE_MS)
    said = page.locator(f"{LANES}[data-run='3'][data-lane='0']")
    expect(said).to_have_attribute("aria-label", re.compile("vCPU 0: .* % stalled on a full log, .* % running$"))


def test_a_click_on_a_chart_goes_there_and_on_a_call_to_its_beginning(page: Page) -> None:
    open_stage(page, EXPERT)
    time = page.locator("[data-mmuviz=time]")
    place = page.evaluate(f"""() => {{
      const {{ chart, canvas }} = {PART};
      const box = canvas.getBoundingClientRect();
      const {{ calls, charts }} = chart.rows;
      return [box.left + chart.xAt(3e10), box.top + calls.y + 5, box.top + charts[0].y + 5];
    }}""")
    page.mouse.click(place[0], place[1])
    begin = page.evaluate("mmuvizStage.stage.runs[0].phases.filter((each) => each.startPs <= 3e10).at(-1).startPs")
    expect(time).to_have_attribute("data-ps", str(begin))
    page.mouse.click(place[0], place[2])
    assert int(time.get_attribute("data-ps") or 0) == pytest.approx(30e9, rel=0.02)
    assert "view=expert" in page.url
    assert PAUSED.split("?")[0] in page.url
