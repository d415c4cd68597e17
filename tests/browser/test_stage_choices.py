"""Choices on the page (stories, guests, policies, log mode), and messages while a result is pending."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from mmuviz.studies.guests import GUESTS
from mmuviz.studies.offered import stories
from mmuviz.studies.requests import request_of
from tests.browser.conftest import PATIENCE_MS, Watch
from tests.browser.test_stage import PAUSED, forget_answers, open_stage

pytestmark = pytest.mark.xdist_group("stage")

POLICIES = "mmuvizStage.stage.runs.map((run) => run.policy)"
STALE = "#stage-stale"


def policies(page: Page) -> list[str]:
    return list(page.evaluate(POLICIES))


def shows(page: Page, *expected: str) -> None:
    page.wait_for_function(f"(expected) => String({POLICIES}) === String(expected)", arg=list(expected))


def test_the_menu_has_every_story_with_its_facts(page: Page) -> None:
    open_stage(page)
    page.locator("#stage-story").click()
    items = page.locator("#stage-stories [data-story]")
    assert [items.nth(at).get_attribute("data-story") for at in range(items.count())] == [each[0] for each in stories()]
    for name, title, group, facts in stories():
        item = page.locator(f'#stage-stories [data-story="{name}"]')
        assert item.locator(".story-title").text_content() == title
        chips = item.locator(".chip").all_text_contents()
        kernels = {re.sub(r"^(\d+\.\d+).*", r"\1", each["vm"]["kernel"]) for each in json.loads(facts)}
        assert all(any(kernel in chip for chip in chips) for kernel in kernels), (name, chips)
        assert item.is_visible() == (group == "")


def test_a_story_is_chosen_by_keys_and_shown_with_its_facts(page: Page) -> None:
    open_stage(page)
    page.locator("#stage-story").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    chosen, title = stories()[2][:2]
    page.wait_for_function("(name) => mmuvizStage.stage.state.base === name", arg=chosen)
    expect(page.locator("h1")).to_have_text(title)
    expect(page.locator("#stage-stories")).to_be_hidden()
    wanted = request_of({"base": chosen}).scenarios
    facts = page.locator("#stage-facts").inner_text()
    assert all(each.vm.kernel in facts and f"{each.vm.vcpus} vCPUs" in facts for each in wanted)


def test_policies_are_added_and_taken_away(page: Page) -> None:
    open_stage(page)
    before = policies(page)
    page.locator(".pane-add:visible").click()
    shows(page, *before, "eager_in_clear")
    page.locator(".pane-add:visible").click()
    page.wait_for_function("() => mmuvizStage.stage.runs.length === 4")
    expect(page.locator(".pane-add:visible")).to_have_count(0)
    expect(page.locator("[data-mmuviz=pane]:visible")).to_have_count(4)
    page.locator(".pane-remove:visible").first.click()
    page.wait_for_function("() => mmuvizStage.stage.runs.length === 3")
    page.locator(".pane-remove:visible").nth(1).click()
    page.wait_for_function("() => mmuvizStage.stage.runs.length === 2")
    expect(page.locator(".pane-remove:visible")).to_have_count(0)
    assert before[0] not in policies(page)


def test_a_policy_that_stands_beside_changes_places(page: Page) -> None:
    open_stage(page)
    page.locator("[data-mmuviz=policy]").nth(0).select_option("eager_at_enable")
    shows(page, "eager_at_enable", "manual_lazy")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("legacy", ("legacy_lazy", "legacy_eager")),
        ("ring", ("ring_lazy", "ring_eager")),
        ("manual_initially_set", ("lazy", "eager_in_clear")),
    ],
)
def test_another_log_mode_keeps_who_splits(page: Page, mode: str, expected: tuple[str, str]) -> None:
    open_stage(page)
    chosen = page.locator('select[data-field="vm.dirty_log_mode"]')
    chosen.select_option(json.dumps(mode))
    shows(page, *expected)
    modes = page.evaluate("mmuvizStage.stage.runs.map((run) => run.header.scenario.vm.dirty_log_mode)")
    assert modes == [mode, mode]
    assert json.loads(chosen.input_value()) == mode


def test_what_differs_between_panes_is_said_to_be_mixed(page: Page) -> None:
    open_stage(page, "/?ps=45000000000&policies=legacy_lazy,eager_at_enable")
    chosen = page.locator('select[data-field="vm.dirty_log_mode"]')
    assert chosen.evaluate("(select) => select.selectedOptions[0].text") == "mixed"
    assert chosen.get_attribute("title") == "legacy / manual"


def test_guests_of_operators_are_asked_for_as_they_are_offered(page: Page) -> None:
    """The request of the page is checked by Python; it is not run, since the larger guest takes a minute."""
    open_stage(page)
    asked: list[object] = []

    def answer(route: Route) -> None:
        if route.request.method == "POST":
            asked.append(route.request.post_data_json)
            route.fulfill(status=202, json={"job": "0" * 32, "runs": [], "place": 0, "estimate": {"seconds": 66}})
        else:
            route.fulfill(json={"state": "running", "share": 0.25, "eta_s": 49.2, "place": 0, "runs": []})

    page.route("**/api/**", answer)
    page.locator("#stage-guest").click()
    items = page.locator("[data-preset]")
    assert items.count() == len(GUESTS)
    for at, guest in enumerate(GUESTS):
        item = items.nth(at)
        expect(item).to_contain_text(guest.description)
        item.click()
        expect(page.locator(STALE)).to_contain_text("25 %, about 50 s left")
        assert asked[-1] == {**guest.request(), "focus": None}
        page.locator("#stage-stale-cancel").click()
        page.locator("#stage-guest").click()


def test_the_result_before_stays_says_that_it_is_old_and_can_be_kept(page: Page) -> None:
    open_stage(page)
    cancelled: list[str] = []

    def answer(route: Route) -> None:
        if route.request.method == "DELETE":
            cancelled.append(route.request.url)
        running = {"job": "a" * 32, "runs": [], "place": 0, "estimate": {"seconds": 8.4}, "state": "running"}
        route.fulfill(status=202 if route.request.method == "POST" else 200, json={**running, "scenario": ASKED})

    page.route("**/api/**", answer)
    before = page.evaluate("mmuvizStage.stage.runs[0].hash")
    page.locator('select[data-field="memory[0].size"]').select_option('"64 GiB"')
    bar = page.locator(STALE)
    expect(bar).to_contain_text("This is the result before")
    expect(bar).to_contain_text("estimated 8 s")
    assert "stale" in (page.locator("#stage").get_attribute("class") or "")
    assert page.evaluate("mmuvizStage.stage.runs[0].hash") == before
    page.locator("#stage-stale-cancel").click()
    expect(bar).to_be_hidden()
    page.wait_for_function("() => !document.querySelector('#stage').classList.contains('stale')")
    assert [urlsplit(each).path for each in cancelled] == ["/api/jobs/" + "a" * 32]
    size = page.locator('select[data-field="memory[0].size"]')
    assert size.evaluate("(each) => each.selectedOptions[0].text") == "4 GiB"


ASKED = {**request_of({"base": "running-guest", "set": {"memory[0].size": "64 GiB"}}).base.as_document()}


def test_changes_that_follow_each_other_add_up(page: Page) -> None:
    open_stage(page)
    for _ in range(3):
        page.locator("[data-act=more-vcpus]").click()
    page.locator('select[data-field="vm.pml"]').select_option("false")
    page.wait_for_function("() => mmuvizStage.stage.runs.every((run) => run.vcpus > 4 && !run.header.scenario.vm.pml)")
    expect(page.locator(STALE)).to_be_hidden()
    shown = page.evaluate("mmuvizStage.stage.runs[0].vcpus")
    expect(page.locator("output[data-field='vm.vcpus']")).to_have_text(str(shown))


def test_a_job_that_the_server_forgot_is_asked_for_again(page: Page, watch: Watch) -> None:
    open_stage(page)
    seen: list[str] = []

    def forgotten(route: Route) -> None:
        seen.append(route.request.method)
        if len(seen) == 1:
            route.fulfill(status=202, json={"job": "b" * 32, "runs": [], "place": 0})
        elif len(seen) == 2:
            route.fulfill(status=404, json={"message": "there is no such job"})
        else:
            route.continue_()

    page.route("**/api/runs", forgotten)
    page.route("**/api/jobs/*", forgotten)
    page.locator('select[data-field="vm.pml"]').select_option("false")
    page.wait_for_function("() => !mmuvizStage.stage.runs[0].header.scenario.vm.pml")
    assert seen[:3] == ["POST", "GET", "POST"]
    watch.complaints = [each for each in watch.complaints if "status of 404" not in each]


def test_a_server_that_fails_is_asked_again_by_a_button(page: Page, watch: Watch) -> None:
    open_stage(page)
    page.route("**/api/runs", lambda route: route.fulfill(status=503, json={"message": "too many wait"}))
    page.locator('select[data-field="vm.pml"]').select_option("false")
    bar = page.locator(STALE)
    expect(bar).to_contain_text("too many wait This is the result before.", timeout=PATIENCE_MS)
    page.unroute("**/api/runs")
    page.locator("#stage-stale-again").click()
    page.wait_for_function("() => !mmuvizStage.stage.runs[0].header.scenario.vm.pml")
    expect(bar).to_be_hidden()
    watch.complaints = [each for each in watch.complaints if "status of 503" not in each]


def test_a_result_that_cannot_be_read_is_not_blamed_on_the_server(page: Page) -> None:
    open_stage(page)
    page.route("**/api/recording/*", lambda route: route.fulfill(body=b"mmuviz\0R" + bytes([255, 0, 0, 0]) + bytes(64)))
    page.locator('select[data-field="vm.pml"]').select_option("false")
    bar = page.locator(STALE)
    said = "The result cannot be shown: the recording is of another version; load the page again."
    expect(bar).to_contain_text(f"{said} This is the result before.", timeout=PATIENCE_MS)
    page.unroute("**/api/recording/*")
    page.locator("#stage-stale-again").click()
    page.wait_for_function("() => !mmuvizStage.stage.runs[0].header.scenario.vm.pml")


def test_a_line_that_is_refused_stands_in_the_window_and_goes_away(page: Page, watch: Watch) -> None:
    open_stage(page, f"{PAUSED}&vm.vcpus=96")
    page.locator("[data-act=more-vcpus]").click()
    line = page.locator("#stage-refused")
    expect(line).to_be_visible()
    box = line.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 1280
    line.locator("button").click()
    expect(line).to_be_hidden()
    forget_answers(watch)


def test_more_shows_sizes_and_times_as_a_file_says_them(page: Page) -> None:
    open_stage(page)
    page.locator("[data-act=more]").click()
    values = {
        name: page.locator(f'#stage-more .field-input[data-field="{name}"]').text_content()
        for name in ("memory[0].size", "driver.lead", "driver.tail", "vm.vcpus", "workload.rate_hz")
    }
    assert values == {
        "memory[0].size": "4 GiB",
        "driver.lead": "20 ms",
        "driver.tail": "400 ms",
        "vm.vcpus": "4",
        "workload.rate_hz": "5000000",
    }
    page.locator('#stage-more .field-input[data-field="driver.tail"]').fill("50 ms")
    page.keyboard.press("Enter")
    page.wait_for_function("() => mmuvizStage.stage.runs[0].header.scenario.driver.tail === 50e6")


def test_on_small_screens_the_sheet_adds_panes_and_takes_them_away(page: Page) -> None:
    page.set_viewport_size({"width": 800, "height": 600})
    open_stage(page)
    page.locator("#stage-change").click()
    page.locator("[data-act=add-pane]").click()
    page.wait_for_function("() => mmuvizStage.stage.runs.length === 3")
    page.locator("[data-act=remove-pane]").click()
    page.wait_for_function("() => mmuvizStage.stage.runs.length === 2")


def test_more_says_what_each_type_is_and_offers_none_that_needs_a_file(page: Page) -> None:
    open_stage(page)
    page.locator("[data-act=more]").click()
    types = page.locator("#stage-more .field-row:has([data-field='workload.pattern']) .field-types")
    types.locator("summary").click()
    expect(types).to_contain_text("hot_set")
    expect(types).to_contain_text("Resembles dirty_log_perf_test -a")
    offered = types.locator("dt").all_text_contents()
    assert "sequential" in offered
    assert "trace" not in offered
    assert page.locator("#stage-more [data-field='workload.file']").count() == 0
