"""A migration on the stage: its fields and their refusals, and its phases."""

from __future__ import annotations

import itertools
import json

import pytest
from playwright.sync_api import Page, expect

import mmuviz
from mmuviz.core.errors import MmuvizError
from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.choices.units import rate_text, time_text
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.requests import request_of
from mmuviz.studies.scenario_files import read_scenario
from tests.browser.conftest import PATIENCE_MS, Watch
from tests.browser.test_stage import forget_answers, open_stage
from tests.browser.test_stage_access import found as axe_found

pytestmark = pytest.mark.xdist_group("stage")

STORY = "migration-small-hot"
PS = 600_000_000_000
PATH = f"/?story={STORY}&ps={PS}"
SIZES = [(1280, 720), (1024, 768), (800, 600), (360, 740)]
PHASES = ("lead", "setup", "round", "downtime", "postcopy", "interval", "tail")
SEGMENTS = "#stage-segments .segment"


@pytest.fixture(scope="module")
def made() -> list[Recording]:
    """Recordings of the entry's Scenarios, run by Python."""
    found = read_scenario(STORY)
    assert isinstance(found, Comparison)
    return [mmuviz.run(each) for each in found.scenarios]


def phases(recording: Recording) -> list[tuple[str, int, int, int]]:
    """Kind, number, begin and end of each phase that takes time."""
    calls = recording.calls
    rows = zip(
        calls.kind.tolist(), calls.iteration.tolist(), calls.start_ps.tolist(), calls.end_ps.tolist(), strict=True
    )
    return [(CALL_KINDS[kind], *rest) for kind, *rest in rows if CALL_KINDS[kind] in PHASES and rest[2] > rest[1]]


def changed(page: Page, script: str, wanted: object) -> None:
    page.wait_for_function(f"(wanted) => {script} === wanted", arg=wanted, timeout=PATIENCE_MS)


KIND = "mmuvizStage.stage.runs[0].header.scenario.driver.kind"

# Fields


def test_enabling_becomes_a_migration_and_again_what_the_story_does(page: Page) -> None:
    open_stage(page, "/?ps=45000000000&workload.rate_hz=100000&memory[0].size=%2264+MiB%22")
    before = page.url
    event = page.locator('select[data-field="driver.kind"]')
    assert event.evaluate("(each) => each.selectedOptions[0].text") == "Enable logging"
    expect(page.locator("#stage-migration-open")).to_be_hidden()
    event.select_option(label="Migration (QEMU)")
    changed(page, KIND, "qemu_precopy")
    page.wait_for_function("() => !document.querySelector('#stage').classList.contains('stale')")
    assert page.evaluate("mmuvizStage.stage.runs.map((run) => run.policy)") == ["lazy", "eager_in_clear"]
    expect(page.locator("#stage-migration-open")).to_be_visible()
    event.select_option(label="Enable logging")
    changed(page, KIND, "enable_only")
    assert page.evaluate("mmuvizStage.stage.runs.map((run) => run.policy)") == ["manual_lazy", "eager_at_enable"]
    assert "driver." not in page.url
    assert before.split("&", 1)[1].split("&")[0] in page.url


def test_the_sheet_has_the_fields_of_the_scenario(page: Page, made: list[Recording]) -> None:
    open_stage(page, PATH)
    page.locator("#stage-migration-open").click()
    driver = made[0].header.document()["scenario"]["driver"]
    for field, text in (
        ("driver.bandwidth", rate_text(driver["bandwidth"])),
        ("driver.link", rate_text(driver["link"])),
        ("driver.downtime_limit", time_text(driver["downtime_limit"])),
    ):
        expect(page.locator(f'#stage-migration [data-field="{field}"]')).to_have_text(text)
    chunk = page.locator('#stage-migration select[data-field="driver.clear_bitmap_shift"]')
    assert json.loads(chunk.input_value()) == driver["clear_bitmap_shift"]
    assert chunk.evaluate("(each) => each.selectedOptions[0].text") == "1 GiB"
    pressed = page.locator("#stage-migration .migration-value[aria-pressed=true]").all_inner_texts()
    assert pressed.count(rate_text(driver["link"])) == 2


@pytest.mark.parametrize(
    ("field", "typed", "sent"),
    [
        ("driver.bandwidth", "2 Gbit/s", 250_000_000),
        ("driver.link", "40 Gbit/s", 5_000_000_000),
        ("driver.downtime_limit", "1 s", 1_000_000_000),
    ],
)
def test_what_is_typed_is_run(page: Page, field: str, typed: str, sent: int) -> None:
    open_stage(page, PATH)
    page.locator("#stage-migration-open").click()
    box = page.locator(f'#stage-migration [data-field="{field}"]')
    box.fill(typed)
    box.press("Enter")
    changed(page, f"mmuvizStage.stage.runs[0].header.scenario.{field}", sent)
    expect(page.locator("#stage-migration")).to_be_visible()
    assert f"{field}=" in page.url


def test_offered_values_and_choices_are_run(page: Page) -> None:
    open_stage(page, PATH)
    page.locator("#stage-migration-open").click()
    row = page.locator('#stage-migration [data-row="driver.link"]')
    row.locator(".migration-value", has_text="100 Gbit/s").click()
    changed(page, "mmuvizStage.stage.runs[0].header.scenario.driver.link", 12_500_000_000)
    page.locator('#stage-migration select[data-field="driver.auto_converge"]').select_option(label="on")
    changed(page, "mmuvizStage.stage.runs[0].header.scenario.driver.auto_converge", wanted=True)
    page.locator('#stage-migration select[data-field="driver.clear_bitmap_shift"]').select_option(label="2 MiB")
    changed(page, "mmuvizStage.stage.runs[0].header.scenario.driver.clear_bitmap_shift", 9)
    page.locator('#stage-migration [data-row="driver.postcopy_after"] .migration-value', has_text="1 s").click()
    changed(page, "mmuvizStage.stage.runs[0].header.scenario.driver.postcopy_after", 1_000_000_000)


def test_a_ring_takes_the_place_of_the_bitmap(page: Page) -> None:
    open_stage(page, PATH)
    page.locator("#stage-migration-open").click()
    entries = page.locator('#stage-migration [data-row="vm.ring_entries"]')
    expect(entries).to_be_hidden()
    page.locator("#stage-migration-ring").click()
    changed(page, "mmuvizStage.stage.runs[0].header.scenario.vm.dirty_log_mode", "ring")
    expect(entries).to_be_visible()
    page.locator("#stage-migration-ring").click()
    changed(page, "mmuvizStage.stage.runs[0].header.scenario.vm.dirty_log_mode", "manual_initially_set")


@pytest.mark.parametrize(
    ("field", "typed", "rule"),
    [
        ("driver.bandwidth", "ten", "must be a number with a unit"),
        ("driver.link", "1 B/s", "driver.link"),
        ("driver.downtime_limit", "0 ms", "1 ms"),
        ("driver.downtime_limit", "1500 us", "driver.downtime_limit"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(page: Page, watch: Watch, field: str, typed: str, rule: str) -> None:
    open_stage(page, PATH)
    before = page.evaluate("mmuvizStage.stage.runs[0].hash")
    page.locator("#stage-migration-open").click()
    box = page.locator(f'#stage-migration [data-field="{field}"]')
    box.fill(typed)
    box.press("Enter")
    row = page.locator(f'#stage-migration [data-row="{field}"]')
    expect(row.locator(".field-refused")).to_contain_text(rule)
    others = page.locator("#stage-migration .field-refused").all_inner_texts()
    assert sum(bool(each) for each in others) == 1
    assert page.evaluate("mmuvizStage.stage.runs[0].hash") == before
    forget_answers(watch)


def test_fields_that_do_not_go_together_are_refused_as_python_refuses_them(page: Page, watch: Watch) -> None:
    asked = {"base": STORY, "set": {"driver.postcopy_after": "1 s", "driver.multifd_channels": 4}, "policies": None}
    with pytest.raises(MmuvizError) as refused:
        request_of(asked)
    open_stage(page, f"{PATH}&driver.multifd_channels=4")
    page.locator("#stage-migration-open").click()
    page.locator('#stage-migration [data-row="driver.postcopy_after"] .migration-value', has_text="1 s").click()
    expect(page.locator("#stage-migration .field-refused", has_text="post").first).to_have_text(str(refused.value))
    forget_answers(watch)


# Phases


def test_each_phase_is_a_segment_that_leads_to_its_begin(page: Page, made: list[Recording]) -> None:
    open_stage(page, PATH)
    expected = phases(made[0])
    segments = page.locator(SEGMENTS)
    shown = segments.evaluate_all(
        "all => all.flatMap(({segments}) => segments.map((each) => [each.kind, each.number, each.startPs, each.endPs]))"
    )
    assert shown == [list(each) for each in expected]
    for index in range(segments.count()):
        segments.nth(index).click()
        starts = segments.nth(index).evaluate("each => each.segments.map(({startPs}) => startPs)")
        assert page.evaluate("mmuvizStage.stage.clock.now") == starts[0]
        expect(segments.nth(index)).to_have_attribute("aria-current", "true")


def test_post_copy_is_a_phase_of_its_own(page: Page) -> None:
    asked = {"base": STORY, "set": {"driver.postcopy_after": "200 ms"}, "policies": None}
    expected = phases(mmuviz.run(request_of(asked).scenarios[0]))
    assert "postcopy" in [each[0] for each in expected]
    open_stage(page, f"{PATH}&driver.postcopy_after=%22200+ms%22")
    script = "all => all.flatMap((each) => each.segments).map((each) => [each.kind, each.startPs, each.endPs])"
    assert page.locator(SEGMENTS).evaluate_all(script) == [[kind, *ends] for kind, _, *ends in expected]


def test_the_other_pane_s_phases_are_shown_by_a_button(page: Page, made: list[Recording]) -> None:
    open_stage(page, PATH)
    page.locator(".segments-run").click()
    shown = page.locator(SEGMENTS).evaluate_all(
        "all => all.flatMap(({segments}) => segments.map(({startPs}) => startPs))"
    )
    assert shown == [each[2] for each in phases(made[1])]
    label = page.evaluate("mmuvizStage.stage.runs[1].label")
    expect(page.locator("#stage-segments")).to_have_attribute("aria-label", f"Phases of {label}")


def test_a_key_steps_from_round_to_round(page: Page, made: list[Recording]) -> None:
    open_stage(page, f"/?story={STORY}&ps=0")
    edges = sorted({edge for each in made for _, _, *ends in phases(each) for edge in ends} - {0})
    walked = []
    for _ in edges:
        page.keyboard.press("}")
        walked.append(page.evaluate("mmuvizStage.stage.clock.now"))
    assert walked == edges
    page.keyboard.press("{")
    assert page.evaluate("mmuvizStage.stage.clock.now") == edges[-2]


def test_a_round_says_what_it_sent(page: Page, made: list[Recording]) -> None:
    open_stage(page, PATH)
    rounds = made[0].rounds
    says = page.locator('.segment[data-kind="round"]').first.get_attribute("aria-label") or ""
    assert says.startswith("round 1, ")
    assert page.evaluate("S => mmuvizStage.bytesText(S)", int(rounds.bytes_sent[0])) in says
    assert page.evaluate("S => mmuvizStage.bytesText(S)", int(rounds.remaining_pages[0]) * PAGE_BYTES) in says


@pytest.mark.parametrize("size", SIZES)
def test_segments_can_be_hit_and_lie_in_order(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, f"/?story=migration-too-hot&ps={PS}")
    boxes = page.locator(SEGMENTS).evaluate_all(
        "all => all.map((each) => each.getBoundingClientRect())"
        ".map((box) => [box.left, box.right, box.top, box.bottom])"
    )
    assert boxes
    assert all(right - left >= 24 - 0.1 and bottom - top >= 24 - 0.1 for left, right, top, bottom in boxes)
    assert all(before[1] <= after[0] + 0.6 for before, after in itertools.pairwise(boxes))
    assert all(left >= 0 and right <= size[0] + 0.6 and bottom <= size[1] for left, right, _, bottom in boxes)


SEEN = """() => {
    const segments = [...document.querySelectorAll('#stage-segments .segment')].map((each) =>
        [each.textContent, each.scrollWidth <= each.clientWidth, each.segments[0].kind]);
    const [now, run] = ['.segments-now', '.segments-run span'].map((each) => document.querySelector(each));
    const box = ({left, right, top, bottom}) => [left, right, top, bottom];
    return {segments, now: now.textContent, whole: now.scrollWidth <= now.clientWidth, run: run.textContent,
        runWhole: run.scrollWidth <= run.parentNode.clientWidth, place: box(now.getBoundingClientRect()),
        seen: now.checkVisibility()};
}"""
NAMES = {"lead": "before", "setup": "setup", "downtime": "downtime", "postcopy": "post-copy", "tail": "after"}


@pytest.mark.parametrize("size", [*SIZES, (1280, 720), (800, 600), (360, 740), (640, 360)])
@pytest.mark.parametrize("panes", ["", "&policies=lazy,eager_at_enable,eager_in_clear,ring_lazy"])
def test_the_current_phase_is_named_in_full_at_a_fixed_place(
    page: Page, made: list[Recording], size: tuple[int, int], panes: str
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, f"{PATH}{panes}")
    places = set()
    for kind, number, begin, end in phases(made[0]):
        page.evaluate("(ps) => mmuvizStage.stage.goTo(ps)", (begin + end) // 2)
        seen = page.evaluate(SEEN)
        assert seen["seen"] or (size[1] < 480 and panes)
        if seen["seen"]:
            assert seen["now"].startswith(f"round {number}" if kind == "round" else NAMES[kind])
            assert seen["whole"], seen
            places.add(tuple(seen["place"]))
        # A segment has a word that fits, a round its number, or nothing.
        for text, fits, of in seen["segments"]:
            words = ("round", "1", "2", "3", "4", "5", "6", "7", "8", "9") if of == "round" else (NAMES[of],)
            assert not text or (fits and text.startswith(words)), seen
        assert seen["runWhole"], seen
        assert seen["run"] == page.evaluate("mmuvizStage.stage.ribbon.rowNames[0]")
    assert len(places) <= 1


# For everybody


@pytest.mark.parametrize("theme", ["light", "dark", "projector"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_axe_finds_nothing(page: Page, theme: str, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, f"{PATH}&theme={theme}")
    assert axe_found(page) == []


@pytest.mark.parametrize("opens", ["migration", "guests"])
def test_axe_finds_nothing_in_what_opens(page: Page, opens: str) -> None:
    open_stage(page, PATH)
    page.locator({"migration": "#stage-migration-open", "guests": "#stage-guest"}[opens]).click()
    assert axe_found(page) == []


@pytest.mark.parametrize("size", SIZES)
def test_nothing_scrolls_and_the_sheets_lie_inside(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, PATH)
    root = "document.documentElement"
    assert page.evaluate(f"[{root}.scrollWidth <= innerWidth, {root}.scrollHeight <= innerHeight]") == [True, True]
    for opens, sheet in (("#stage-migration-open", "#stage-migration"), ("#stage-guest", "#stage-guests")):
        page.evaluate("opens => document.querySelector(opens).click()", opens)
        box = page.locator(sheet).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size[0]
        assert box["y"] + box["height"] <= size[1]
        page.keyboard.press("Escape")


# The summary


def test_the_summary_says_how_each_migration_ended(page: Page, made: list[Recording]) -> None:
    open_stage(page, PATH)
    page.keyboard.press("End")
    title = page.locator("#stage-summary .summary-title").inner_text()
    for each in made:
        took = each.totals["migration"]
        assert took["completed"]
        total, downtime = page.evaluate(
            "(times) => times.map(mmuvizStage.timeText)", [took["total_ns"] * 1000, took["downtime_ns"] * 1000]
        )
        assert f"migrated in {total}, downtime {downtime}." in title.replace("\u00a0", " ")


def test_the_summary_of_one_that_was_given_up_says_why_and_what_may_help(page: Page) -> None:
    open_stage(page, f"{PATH}&driver.cancel_at=%22100 ms%22")
    page.keyboard.press("End")
    assert ": cancelled after 10" in page.locator("#stage-summary .summary-title").inner_text()
    page.locator("#stage-summary button", has_text="Auto-converge").click()
    changed(page, "mmuvizStage.stage.runs[0].header.scenario.driver.auto_converge", wanted=True)


@pytest.mark.parametrize("size", SIZES)
def test_the_summary_leaves_the_phases_free(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, "/?story=migration-too-hot&ps=0")
    page.keyboard.press("End")
    card, phases_ = (page.locator(each).bounding_box() for each in ("#stage-summary .summary", "#stage-segments"))
    assert card is not None
    assert phases_ is not None
    assert card["y"] + card["height"] <= phases_["y"]
