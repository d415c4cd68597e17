"""The stage in a real browser, served by the real server."""

from __future__ import annotations

import json
import re
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

import mmuviz
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.scenario_files import read_scenario
from tests.browser.conftest import PATIENCE_MS, Watch

PAUSED = "/?ps=45000000000"
SIZES = [(1280, 720), (1920, 1080), (1024, 768), (800, 600), (360, 740), (640, 360)]
SETS_OF = "buttons => buttons.map(({dataset}) => dataset.set)"
INSTANTS_PS = (0, 19_000_000_000, 45_000_000_000, 150_000_000_000, 419_000_000_000)


def open_stage(page: Page, path: str = PAUSED) -> None:
    page.goto(path)
    expect(page.locator("[data-mmuviz=pane]:not([hidden])").first).to_be_visible(timeout=PATIENCE_MS)


def forget_answers(watch: Watch) -> None:
    """Remove Chromium's console messages on responses of 400, which it writes even if the page handles them."""
    watch.complaints = [each for each in watch.complaints if "status of 400" not in each]


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    """Recordings of the default entry's Scenarios, run by Python."""
    found = read_scenario("running-guest")
    assert isinstance(found, Comparison)
    return [mmuviz.run(each) for each in found.scenarios]


def test_it_opens_the_default_story_and_plays_it(page: Page) -> None:
    open_stage(page, "/")
    assert urlsplit(page.url).path == "/"
    expect(page.locator("[data-mmuviz=pane]:not([hidden])")).to_have_count(2)
    expect(page.locator("h1")).to_have_text(re.compile(r"\?$"))
    page.wait_for_function("() => Number(document.querySelector('[data-mmuviz=time]').dataset.ps) > 1e9")
    page.keyboard.press("Space")
    expect(page.locator("[data-mmuviz=play]")).to_have_attribute("aria-label", "Play")
    at = page.locator("[data-mmuviz=time]").get_attribute("data-ps")
    page.wait_for_timeout(300)
    assert page.locator("[data-mmuviz=time]").get_attribute("data-ps") == at


@pytest.mark.parametrize("ps", INSTANTS_PS)
def test_the_numbers_are_those_of_the_recordings(page: Page, recordings: list[Recording], ps: int) -> None:
    """At an instant inside a bin its part of the bin's sum counts; table pages are those of the last bin's end."""
    open_stage(page, f"/?ps={ps}")
    stalls, tables = page.locator("[data-mmuviz=stall]"), page.locator("[data-mmuviz=tables]")
    for index, recording in enumerate(recordings):
        bins, header = recording.bins, recording.header
        ends = [min((each + 1) * header.bin_ps, header.end_ps) for each in range(header.bins)]
        stall_ps = sum(getattr(bins, f"stall_{cause}_ps") for cause in header.causes)
        whole = sum(end <= ps for end in ends)
        before = float(stall_ps[:whole].sum())
        if whole < header.bins:
            since = ps - whole * header.bin_ps
            before += int(stall_ps[whole]) * since / (ends[whole] - whole * header.bin_ps)
        shown = int(stalls.nth(index).get_attribute("data-value") or -1)
        assert shown == pytest.approx(before / header.vcpus / 1000, abs=1)
        pages = int(bins.table_pages[whole - 1]) if whole else header.table_pages_at_enable or 0
        added = max(pages - (header.table_pages_at_enable or 0), 0) * 4096
        assert int(tables.nth(index).get_attribute("data-value") or -1) == added


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_and_nothing_is_cut_off(
    page: Page, size: tuple[int, int], scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page)
    root = "document.documentElement"
    assert page.evaluate(f"[{root}.scrollWidth <= innerWidth, {root}.scrollHeight <= innerHeight]") == [True, True]
    outside = """() => [...document.querySelectorAll(
        '[data-mmuviz=play], [data-mmuviz=time], [data-mmuviz=scrubber], .number-figure, h1, [data-mmuviz=map]')]
        .filter((each) => each.getClientRects().length)
        .map((each) => [each.className || each.id, each.getBoundingClientRect()])
        .filter(([, box]) => box.left < -1 || box.top < -5 || box.right > innerWidth + 1
            || box.bottom > innerHeight + 1)
        .map(([name, box]) => `${name} ${Math.round(box.left)} ${Math.round(box.top)} ${Math.round(box.right)}`)"""
    assert page.evaluate(outside) == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("story", ["amd-without-pml", "arm64-split-chunk"])
def test_long_names_and_many_panes_push_nothing_out(page: Page, story: str, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, f"/?story={story}&ps=60000000000")
    found = page.evaluate(
        """() => {
            const shown = (each) => each.getClientRects().length > 0;
            const box = (each) => each.getBoundingClientRect();
            const wrong = [];
            for (const pane of document.querySelectorAll('.pane:not([hidden])')) {
                for (const part of [...pane.querySelectorAll('.number-figure, .number-label')].filter(shown)) {
                    const from = box(pane.querySelector('select')).right;
                    if (box(part).right > box(pane).right + 1 || box(part).left < from - 1) {
                        wrong.push(`${part.className} ${part.textContent}`);
                    }
                }
            }
            const row = document.querySelector('.controls');
            const last = row.querySelector('[data-act=more]');
            if (innerWidth >= 1000 && shown(last) && box(last).right > innerWidth) {
                wrong.push('More');
            }
            const [transport, lower] = ['.transport', '.lower'].map((each) => box(document.querySelector(each)));
            return transport.bottom > innerHeight + 1 || lower.bottom > transport.top + 1 ? [...wrong, 'rows'] : wrong;
        }"""
    )
    assert found == []


def test_the_ways_to_play_can_be_chosen_on_a_phone_on_its_side(page: Page) -> None:
    page.set_viewport_size({"width": 640, "height": 360})
    open_stage(page)
    expect(page.locator("#stage-speed")).to_be_visible()
    page.locator("#stage-play-more").click()
    for name in ("#stage-step", "#stage-stop"):
        expect(page.locator(name)).to_be_visible()


def test_reasons_cover_nobody(page: Page) -> None:
    page.set_viewport_size({"width": 1024, "height": 768})
    open_stage(page, "/?story=amd-without-pml&ps=60000000000")
    met = page.evaluate(
        """() => mmuvizStage.stage.panes.filter(({map}) => map).flatMap(({map: {actors}}) => {
            const of = (head, right) => right
                ? [head.x + actors.radius, head.x + actors.radius + head.pill]
                : [head.x - actors.radius - head.pill, head.x - actors.radius];
            return actors.heads.filter(({pill}) => pill).flatMap((head) => {
                const [from, to] = of(head, head.right);
                return actors.heads.filter((other) => other !== head && other.track === head.track
                    && Math.abs(other.top - head.top) < actors.pillHeight && other.x > from && other.x < to);
            });
        }).length"""
    )
    assert met == 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("opened", ["summary", "play menu"])
def test_what_opens_stays_inside_the_window(page: Page, opened: str, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page)
    if opened == "summary":
        page.keyboard.press("End")
    else:
        page.locator("#stage-play-more").click()
    card = page.locator("#stage-summary .summary" if opened == "summary" else "#stage-play-menu")
    expect(card).to_be_visible()
    box = card.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= size[0]
    assert box["y"] + box["height"] <= size[1]


def test_a_recording_of_real_kvm_has_no_size_to_speak_of(page: Page) -> None:
    open_stage(page, "/?story=recorded-lost-dirty-page&ps=0")
    page.keyboard.press("End")
    summary = page.locator("#stage-summary")
    expect(summary).to_be_visible()
    assert "Infinity" not in summary.inner_text()
    assert " 0 MiB" not in page.locator("[data-mmuviz=sentence]").first.inner_text()
    changes = [json.loads(each) for each in page.locator("#stage-summary [data-set]").evaluate_all(SETS_OF)]
    assert all(changes)
    # Its operations say every access: there is no pattern to choose.
    expect(page.locator("[data-field='workload.pattern']").first).to_be_hidden()
    frames = page.locator(".control-frame:visible")
    assert all(frames.nth(at).inner_text().strip() for at in range(frames.count()))


def test_vcpus_with_nothing_left_to_do_wait_for_no_lock_and_run_nowhere(page: Page) -> None:
    open_stage(page, "/?story=arm64-split-chunk&ps=150000000000")
    sentences, reasons = page.evaluate(
        """() => {
            const {panes: [first]} = mmuvizStage.stage;
            const {run} = first;
            const states = new mmuvizStage.VcpuStates(run).at(run.endPs);
            return [[run.endPs, run.endPs + 1].map((ps) => mmuvizStage.sentence(run, ps).text),
                [...new Set(states.map(({state, text}) => `${state} ${text}`))]];
        }"""
    )
    assert reasons == ["idle idle"]
    assert sentences[0] == "Logging is off, and the vCPUs are idle."
    assert sentences[1].startswith("This run ended at ")


def test_with_reduced_motion_it_opens_paused_where_panes_differ(page: Page, recordings: list[Recording]) -> None:
    page.emulate_media(reduced_motion="reduce")
    open_stage(page, "/")
    calls = recordings[1].calls
    now = page.evaluate("mmuvizStage.stage.clock.now")
    enable = calls.kind == CALL_KINDS.index("enable")
    assert int(calls.start_ps[enable][0]) < now < int(calls.end_ps[enable][0])
    assert not page.evaluate("mmuvizStage.stage.clock.playing")


def test_a_control_changes_the_guest_and_the_address_says_so(page: Page) -> None:
    open_stage(page)
    page.locator("[data-mmuviz=control][data-field='memory[0].size']").select_option(label="1 GiB")
    page.wait_for_function("() => mmuvizStage.stage.scenario.memory[0].size === 2 ** 30")
    page.keyboard.press("End")
    expect(page.locator("[data-mmuviz=summary]").first).to_be_visible()
    query = page.evaluate("new URLSearchParams(location.search).get('memory[0].size')")
    assert query == '"1 GiB"'
    open_stage(page, page.url)
    assert page.evaluate("mmuvizStage.stage.scenario.memory[0].size") == 2**30


def test_a_policy_is_chosen_in_the_pane_s_title(page: Page) -> None:
    open_stage(page)
    page.locator("[data-mmuviz=policy]").nth(1).select_option("eager_in_clear")
    page.wait_for_function("() => mmuvizStage.stage.runs[1].policy === 'eager_in_clear'")
    assert page.evaluate("mmuvizStage.stage.runs.map((run) => run.policy)") == ["manual_lazy", "eager_in_clear"]


def test_what_is_refused_is_said_at_its_field_and_changes_nothing(page: Page, watch: Watch) -> None:
    open_stage(page, "/?ps=45000000000&vm.vcpus=96")
    before = page.evaluate("mmuvizStage.stage.runs.map((run) => run.vcpus)")
    with page.expect_response("**/api/runs") as answer:
        page.locator("[data-act=more-vcpus]").click()
    assert answer.value.status == 400
    refused = page.locator("#stage-refused")
    expect(refused).to_contain_text("vm.vcpus=97 must be at most 96")
    expect(page.locator("output[data-field='vm.vcpus']")).to_have_text("96")
    assert page.evaluate("mmuvizStage.stage.runs.map((run) => run.vcpus)") == before == [96, 96]
    forget_answers(watch)


@pytest.mark.parametrize("query", ["?ps=-1", "?nonsense=1", "?vm.vcpus=[", "?story=none-of-ours", "?vm.kernel=%22x%22"])
def test_a_bad_address_gets_a_message_and_the_default(page: Page, query: str, watch: Watch) -> None:
    open_stage(page, f"/{query}")
    expect(page.locator("#stage-refused")).to_be_visible()
    assert page.evaluate("mmuvizStage.stage.runs.map((run) => run.policy)") == ["manual_lazy", "eager_at_enable"]
    forget_answers(watch)


def test_no_request_goes_out_while_it_plays(page: Page) -> None:
    open_stage(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.startswith("http") else None)
    page.keyboard.press("Space")
    page.wait_for_timeout(1500)
    assert asked == []


def test_the_scrubber_takes_a_pointer_and_keys(page: Page) -> None:
    open_stage(page)
    scrubber = page.locator("[data-mmuviz=scrubber]")
    box = scrubber.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + box["height"] - 8)
    middle = int(page.locator("[data-mmuviz=time]").get_attribute("data-ps") or 0)
    assert middle > 150_000_000_000
    scrubber.focus()
    page.keyboard.press("ArrowLeft")
    assert int(page.locator("[data-mmuviz=time]").get_attribute("data-ps") or 0) < middle
    page.keyboard.press("Home")
    expect(page.locator("[data-mmuviz=time]")).to_have_attribute("data-ps", "0")


def test_help_lists_the_keys(page: Page) -> None:
    open_stage(page)
    page.keyboard.press("?")
    expect(page.locator("#stage-help")).to_contain_text("play or pause")
    page.keyboard.press("Escape")
    expect(page.locator("#stage-help")).to_be_hidden()
