"""The lanes of the expert view: what they are made of, and how they open."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Browser, Page, expect

import mmuviz
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import IOCTL_COUNT
from tests.browser.chooser import chooser
from tests.browser.conftest import PATIENCE_MS
from tests.browser.stage_runs import NAMES, recording_of
from tests.browser.stage_scripts import Stage, opened_stage
from tests.browser.test_stage import PAUSED, open_stage

pytestmark = pytest.mark.xdist_group("stage")

FULL = 255
EXPERT = f"{PAUSED}&view=expert"
MANY: dict[str, Any] = {
    "vm": {"vcpus": 21, "dirty_log_mode": "manual", "eager_page_split": False},
    "memory": [{"size": 64 << 20, "backing": "hugetlb_2m"}],
    "workload": {"pattern": "sequential", "rate_hz": 1_000_000},
    "driver": {"kind": "enable_only", "lead": "1 ms", "tail": "2 ms"},
}


@pytest.fixture(scope="module")
def stage(chromium: Browser, repository: Path) -> Iterator[Stage]:
    with opened_stage(chromium, repository) as opened:
        yield opened


def shares_by_python(made: Recording, first: int, end: int) -> npt.NDArray[np.float64]:
    """Compute shares of a lane of vCPUs [first, end) by bin, float64[bins, 5]: fault, lock, away, slow, run."""
    header = made.header
    every = made.vcpu_bins.shares.reshape(header.bins, header.vcpus, 4) / FULL
    edges = np.minimum(np.arange(header.bins + 1) * header.bin_ps, header.end_ps)
    slow = made.bins.slow_write_ps / (header.vcpus * np.diff(edges))
    running = every[:, :, 0].mean(axis=1)
    slowed = np.divide(slow, running, out=np.zeros_like(slow), where=running > 0).clip(0, 1)
    own = every[:, first:end].mean(axis=1)
    run = own[:, 0]
    return np.stack([own[:, 1], own[:, 2], own[:, 3], run * slowed, run * (1 - slowed)], axis=1)


@pytest.mark.parametrize("name", NAMES)
def test_a_lane_is_its_vcpu_s_bins(stage: Stage, name: str) -> None:
    stage.open(name)
    made = recording_of(name)
    bins, step, end_ps = made.header.bins, made.header.bin_ps, made.header.end_ps
    lanes = stage.run("() => { window.lanes = new S.LaneShares(r); return lanes.groups; }")
    assert lanes == [[vcpu, vcpu + 1] for vcpu in range(made.header.vcpus)]
    picks = chooser("lanes", name)
    for vcpu in range(made.header.vcpus):
        wanted = shares_by_python(made, vcpu, vcpu + 1)
        some = np.unique(picks.integers(0, bins, 20))
        found = stage.numbers(f"[...lanes.of({vcpu}, ps, Math.min(ps + {step}, {end_ps}))]", some * step)
        np.testing.assert_allclose(found, wanted[some], atol=1e-9)
        assert (found.sum(axis=1) <= 1 + 3 / FULL).all()


def test_more_than_eight_vcpus_are_averaged(stage: Stage) -> None:
    made = mmuviz.run(mmuviz.Scenario(**MANY))
    stage.give(made.content())
    groups = stage.run("() => { window.lanes = new S.LaneShares(new S.Run(S.decode(buffer))); return lanes.groups; }")
    assert [group[0] for group in groups] == [0, *(group[1] for group in groups[:-1])]
    assert groups[-1][1] == made.header.vcpus
    assert {end - first for first, end in groups} == {2, 3}
    starts = np.arange(made.header.bins) * made.header.bin_ps
    for lane, (first, end) in enumerate(groups):
        width = f"Math.min(ps + {made.header.bin_ps}, {made.header.end_ps})"
        found = stage.numbers(f"[...lanes.of({lane}, ps, {width})]", starts)
        np.testing.assert_allclose(found, shares_by_python(made, first, end), atol=1e-9)


@pytest.mark.parametrize("name", ["eager", "lazy", "chunks", "memslots"])
def test_parts_of_ioctls_fill_their_calls(stage: Stage, name: str) -> None:
    stage.open(name)
    made = recording_of(name)
    parts = stage.run("() => S.ioctlParts(r).map(p => [p.call.startPs, p.call.endPs, p.startPs, p.endPs, p.walk])")
    calls = made.calls.kind < IOCTL_COUNT
    edges = sorted(zip(made.calls.start_ps[calls].tolist(), made.calls.end_ps[calls].tolist(), strict=True))
    assert sorted({(start, end) for start, end, *_ in parts}) == sorted(set(edges))
    for start, end in edges:
        own = [(first, last) for begun, over, first, last, _ in parts if (begun, over) == (start, end)]
        assert own[0][0] == start
        assert own[-1][1] == end
        assert all(one[1] == other[0] for one, other in itertools.pairwise(own))


def test_eager_splits_and_then_clears_dirty_bits(stage: Stage) -> None:
    stage.open("eager")
    walks = stage.run("() => S.ioctlParts(r).map(part => part.walk)")
    assert [each for each in walks if each != "none"] == ["split", "clear_dirty"]


def test_percents_add_up(stage: Stage) -> None:
    pick = chooser("percents")
    for _ in range(50):
        shares = pick.dirichlet([0.5] * 5).tolist()
        stage.page.evaluate("shares => { window.shares = shares; }", shares)
        assert sum(stage.page.evaluate("() => S.wholePercents(shares)")) == 100


def test_key_e_opens_it_and_the_address_keeps_it(page: Page) -> None:
    open_stage(page, PAUSED)
    lanes = page.locator("[data-mmuviz=lane]")
    expect(lanes).to_have_count(0)
    page.keyboard.press("e")
    expect(lanes).to_have_count(10)  # four vCPUs and the ioctl thread, twice
    expect(page.locator(".lower")).to_be_hidden()
    assert "view=expert" in page.url
    page.reload()
    expect(lanes).to_have_count(10, timeout=PATIENCE_MS)
    expect(lanes.nth(0)).to_have_attribute("aria-label", re.compile("Lazy, vCPU 0: .*stalled"))
    page.keyboard.press("e")
    expect(page.locator(".lower")).to_be_visible()
    assert "view" not in page.url


def test_a_click_on_a_slice_says_why_and_goes_there(page: Page) -> None:
    open_stage(page, EXPERT)
    lane = page.locator("[data-mmuviz=lane][data-run='0'][data-lane='2']")
    box = lane.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2)
    card = page.locator(".why-card")
    expect(card).to_contain_text("Lazy, vCPU 2")
    expect(card).to_contain_text("in faults")
    ps = float(page.locator("[data-mmuviz=time]").get_attribute("data-ps") or 0)
    stalled = page.evaluate("ps => { const [r] = mmuvizStage.stage.runs; return r.vcpuShares(r.binAt(ps), 2)[1]; }", ps)
    assert stalled > 0
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()


def test_a_call_that_is_shorter_than_its_bin_is_said(page: Page) -> None:
    open_stage(page, EXPERT)
    said = page.evaluate(
        """() => {
            const {stage, whyNodes} = mmuvizStage;
            const chart = stage.parts.map(({chart}) => chart).find(Boolean);
            const [run] = stage.runs;
            const bin = run.binAt(run.calls[0].endPs);
            const card = whyNodes(chart, {run: 0, lane: null}, (run.calls[0].endPs + run.framePs(bin + 1)) / 2);
            return card.map(({textContent}) => textContent).join(" ");
        }"""
    )
    assert "enable from 20.0 ms" in said
    assert "No ioctl" not in said


def test_a_slice_is_reached_by_keyboard(page: Page) -> None:
    open_stage(page, EXPERT)
    lanes = page.locator(".timeline-lanes")
    lanes.press("ArrowUp")
    lanes.press("Enter")
    expect(page.locator(".why-card")).to_contain_text("clears dirty bits")
    expect(page.locator("[data-mmuviz=lane][aria-selected=true]")).to_have_attribute("data-name", "ioctl thread")
