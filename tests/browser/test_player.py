"""The player in a real browser: what each control does, and what playing must not do."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from mmuviz.recording.timeline import Timeline
from mmuviz.web.shipped import DEFAULT, Shelf
from mmuviz.web.stage_app import OLD_PAGE
from tests.browser.conftest import PATIENCE_MS, Watch
from tests.served import Served

SHELF = Shelf()

START = 9000


@pytest.fixture(scope="module")
def clock() -> Timeline:
    return SHELF.scenarios["legacy"].made.timeline


def open_story(page: Page, query: str = f"?scenario=legacy&step={START}") -> None:
    page.goto(f"/{query}" if query else OLD_PAGE)
    expect(page.locator("#story[data-ready='yes']")).to_be_attached(timeout=PATIENCE_MS)
    expect(page.locator(".chart-frame .cursor:not([hidden])")).to_have_count(3, timeout=PATIENCE_MS)


def tick(page: Page) -> int:
    return int(page.locator("#story").get_attribute("data-t") or "-1")


def expect_playing(page: Page, playing: str) -> None:
    expect(page.locator("#story")).to_have_attribute("data-playing", playing, timeout=PATIENCE_MS)


def access_ends(clock: Timeline) -> list[int]:
    return [int(end) for end in clock.tick_ends]


def after(ends: list[int], position: int) -> int:
    return next((end for end in ends if end > position), ends[-1])


def before(ends: list[int], position: int) -> int:
    return next((end for end in reversed(ends) if end < position), 0)


def op_ends(clock: Timeline) -> list[int]:
    return [int(end) for end in clock.op_ends]


Step = Callable[[Timeline, int], int]
STEPS: dict[str, Step] = {
    "ArrowRight": lambda _, t: t + 1,
    "ArrowLeft": lambda _, t: t - 1,
    "Shift+ArrowRight": lambda clock, t: after(access_ends(clock), t),
    "Shift+ArrowLeft": lambda clock, t: before(access_ends(clock), t),
    "PageDown": lambda clock, t: after(op_ends(clock), t),
    "]": lambda clock, t: after(op_ends(clock), t),
    "PageUp": lambda clock, t: before(op_ends(clock), t),
    "[": lambda clock, t: before(op_ends(clock), t),
    "Home": lambda _clock, _t: 0,
    "End": lambda clock, _: clock.total,
}
BUTTONS = {
    "next": "ArrowRight",
    "back": "ArrowLeft",
    "next-access": "Shift+ArrowRight",
    "back-access": "Shift+ArrowLeft",
    "next-op": "PageDown",
    "back-op": "PageUp",
    "first": "Home",
    "last": "End",
}


def test_the_page_plays_by_itself_from_where_the_story_opens(page: Page) -> None:
    open_story(page, "")
    expect_playing(page, "yes")
    opening = SHELF.scenarios[DEFAULT].made.header["open_at"]
    page.wait_for_function("t => Number(document.getElementById('story').dataset.t) > t", arg=opening)
    page.keyboard.press("Space")
    expect_playing(page, "no")
    at = tick(page)
    page.wait_for_timeout(300)
    assert tick(page) == at


def test_each_key_steps_as_the_clock_says(page: Page, clock: Timeline) -> None:
    open_story(page)
    at = START
    for key, step in STEPS.items():
        for _ in range(3):
            page.keyboard.press(key)
            at = min(clock.total, max(0, step(clock, at)))
            assert tick(page) == at, key
        assert key in ("Home", "End") or 0 < at < clock.total


def test_each_button_does_what_its_key_does(page: Page, clock: Timeline) -> None:
    open_story(page)
    at = START
    for button, key in BUTTONS.items():
        page.locator(f"#{button}").click()
        at = min(clock.total, max(0, STEPS[key](clock, at)))
        assert tick(page) == at, button
        title = page.locator(f"#{button}").get_attribute("title") or ""
        assert title.startswith(page.locator(f"#{button}").get_attribute("aria-label") or "?")


def test_forward_and_back_is_the_identity(page: Page) -> None:
    open_story(page)
    seen = []
    for _ in range(6):
        seen.append((tick(page), page.locator("dd").all_inner_texts(), page.locator(".say").all_inner_texts()))
        page.keyboard.press("ArrowRight")
    for state in reversed(seen):
        page.keyboard.press("ArrowLeft")
        now = (tick(page), page.locator("dd").all_inner_texts(), page.locator(".say").all_inner_texts())
        assert now == state


def test_space_and_the_remote_s_key_play_and_pause(page: Page) -> None:
    open_story(page)
    at = START
    for key in (" ", "."):
        page.keyboard.press(key)
        expect_playing(page, "yes")
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        page.wait_for_timeout(100)
        page.keyboard.press(key)
        expect_playing(page, "no")
        assert tick(page) > at
        at = tick(page)


def test_the_speed_is_kept_by_keys_and_by_the_list(page: Page) -> None:
    open_story(page)
    speed = page.locator("#speed")
    expect(speed).to_have_value("1")
    for key, value in [(">", "2"), (">", "4"), ("<", "2"), ("<", "1"), ("<", "0.5"), ("<", "0.25"), ("<", "0.25")]:
        page.keyboard.press(key)
        expect(speed).to_have_value(value)
    speed.select_option("16")
    expect(speed.locator("option")).to_have_count(7)
    # A key pressed in the list is the list's.
    speed.press("End")
    assert tick(page) == START


def test_sixteen_times_is_sixteen_times(page: Page, clock: Timeline) -> None:
    open_story(page, "?scenario=legacy&step=0")
    page.locator("#speed").select_option("16")
    seconds = sum(clock.seconds_by_op())
    page.evaluate("window.began = performance.now()")
    page.locator("#play").click()
    page.wait_for_function("() => document.getElementById('story').dataset.playing === 'no'", timeout=PATIENCE_MS)
    took = page.evaluate("performance.now() - window.began") / 1000
    assert tick(page) == clock.total
    assert seconds / 16 <= took < seconds / 16 + 1.5
    page.locator("#speed").select_option("1")
    page.locator("#play").click()
    page.wait_for_function(
        "total => Number(document.getElementById('story').dataset.t) < total", arg=clock.total, timeout=PATIENCE_MS
    )


def test_the_scrubber_seeks_by_pointer_and_steps_by_key(page: Page, clock: Timeline) -> None:
    open_story(page)
    scrub = page.locator("#scrub")
    box = scrub.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    middle = sum(clock.seconds_by_op()) / 2
    expect(page.locator("#clock")).to_contain_text("op ")
    now = page.evaluate("Number(document.getElementById('scrub').value)") / 1000
    assert now == pytest.approx(middle, rel=0.02)
    at = tick(page)
    assert 0 < at < clock.total
    page.wait_for_url(f"**/?scenario=legacy&step={at}")
    scrub.focus()
    page.keyboard.press("ArrowRight")
    assert tick(page) == at + 1
    place = clock.place(at + 1)
    said = scrub.get_attribute("aria-valuetext") or ""
    assert said.startswith(f"op {place.op + 1} of 17, access {place.access + 1:,} of ")
    assert said.endswith(f", step {at + 1:,} of {clock.total:,}")


def test_a_pane_with_fewer_events_says_that_it_waits(page: Page, clock: Timeline) -> None:
    position = next(
        int(end)
        for access, end in enumerate(clock.tick_ends)
        if 0 < clock.rows[1][access + 1] - clock.rows[1][access] < clock.rows[0][access + 1] - clock.rows[0][access]
    )
    open_story(page, f"?scenario=legacy&step={position}")
    expect(page.locator("[data-pane='1'] .say")).to_contain_text("Waits: its part of this access is done.")
    expect(page.locator("[data-pane='0'] .say")).not_to_contain_text("Waits")


def test_keys_with_modifiers_are_the_browser_s(page: Page) -> None:
    open_story(page)
    for key in ("Control+ArrowRight", "Alt+ArrowDown", "Meta+End"):
        page.keyboard.press(key)
    assert tick(page) == START


def test_the_list_of_keys_names_every_key(page: Page) -> None:
    open_story(page)
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keys")
    expect(sheet).to_be_visible()
    table = page.evaluate("window.mmuviz.KEYS.map(({does}) => does)")
    expect(sheet.locator("dd")).to_have_text(table)
    page.keyboard.press("ArrowRight")
    assert tick(page) == START
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    page.get_by_role("button", name="Keys").click()
    expect(sheet).to_be_visible()


def test_both_maps_zoom_together_by_key_click_and_path(page: Page) -> None:
    open_story(page)
    path = page.locator(".view-path button")
    expect(path).to_have_text([re.compile("Whole slot")])

    def firsts() -> list[str | None]:
        return [page.locator(f"#map-{pane}").get_attribute("data-first") for pane in (0, 1)]

    whole = firsts()
    page.keyboard.press("+")
    expect(path).to_have_count(2)
    page.keyboard.press("-")
    expect(path).to_have_count(1)
    assert firsts() == whole
    page.locator("#map-1").click(position={"x": 5, "y": 5})
    expect(path).to_have_count(2)
    assert firsts()[0] == firsts()[1]
    path.first.click()
    expect(path).to_have_count(1)
    page.locator("#map-0").focus()
    page.keyboard.press("Enter")
    expect(path).to_have_count(2)
    page.keyboard.press("Escape")
    expect(path).to_have_count(1)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_playing_asks_the_server_nothing_and_leaves_the_address_alone(page: Page) -> None:
    open_story(page)
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.keyboard.press("Space")
    page.wait_for_timeout(1500)
    assert page.url.endswith(f"step={START}")
    page.keyboard.press("Space")
    page.wait_for_url(f"**/?scenario=legacy&step={tick(page)}")
    # The tab's icon comes when the browser finds time for it.
    assert [url for url in asked if "/favicon." not in url] == []


def test_pictures_stand_for_the_charts_while_it_plays(page: Page) -> None:
    open_story(page)
    pictures = page.locator(".chart-frame[data-still] > .still")
    drawings = page.locator(".chart-frame .main-svg").filter(visible=True)
    drawn = drawings.count()
    page.keyboard.press("Space")
    expect(pictures).to_have_count(3, timeout=PATIENCE_MS)
    expect(drawings).to_have_count(0)
    page.set_viewport_size({"width": 800, "height": 600})
    page.wait_for_function("() => document.querySelector('.chart-frame .main-svg').clientWidth > 0")
    expect(pictures).to_have_count(3, timeout=PATIENCE_MS)
    sizes = "e => e.map(each => Math.round(each.getBoundingClientRect().width))"
    widths = pictures.evaluate_all(sizes)
    page.keyboard.press("Space")
    expect(drawings).to_have_count(drawn)
    assert page.locator(".chart-frame .main-svg:first-child").evaluate_all(sizes) == widths


def test_playing_says_nothing_to_a_screen_reader(page: Page) -> None:
    open_story(page)
    live = page.locator("#live")
    expect(live).to_contain_text("op ", timeout=PATIENCE_MS)
    page.evaluate(
        """() => {
            window.told = 0;
            new MutationObserver(list => { window.told += list.length; })
                .observe(document.getElementById('live'), {childList: true, characterData: true, subtree: true});
        }"""
    )
    page.keyboard.press("Space")
    page.wait_for_timeout(1500)
    assert page.evaluate("window.told") == 0
    page.keyboard.press("Space")
    expect(live).to_contain_text(f"step {tick(page):,} of")
    page.evaluate("window.told = 0")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(900)
    assert page.evaluate("window.told") <= 1


SHIFTS = """() => new Promise(done => {
    let sum = 0;
    new PerformanceObserver(list => list.getEntries().forEach(e => { sum += e.hadRecentInput ? 0 : e.value; }))
        .observe({type: 'layout-shift', buffered: true});
    setTimeout(() => done(sum), 300);
})"""


@pytest.mark.parametrize("size", [(360, 740), (1280, 720)])
def test_nothing_moves_while_it_loads_and_plays(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_story(page, "")
    expect_playing(page, "yes")
    page.wait_for_timeout(2500)
    assert page.evaluate(SHIFTS) < 0.05


@pytest.fixture
def calm(chromium: Browser, server: Served) -> Iterator[BrowserContext]:
    context = chromium.new_context(base_url=server.url, reduced_motion="reduce")
    yield context
    context.close()


def test_who_asks_for_less_motion_gets_a_still_at_a_telling_place(calm: BrowserContext) -> None:
    page = calm.new_page()
    open_story(page, "")
    made = SHELF.scenarios[DEFAULT].made
    kinds = [op.kind for op in made.pair.left.ops]
    told = next(op for op in range(kinds.index("enable") + 1, len(kinds)) if kinds[op] in ("read", "write"))
    page.wait_for_timeout(500)
    expect_playing(page, "no")
    assert tick(page) == int(made.timeline.op_ends[told])
    page.get_by_role("button", name="Play").click()
    expect_playing(page, "yes")


def test_the_phone_plays_too(page: Page, watch: Watch) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    open_story(page, "?scenario=lost-dirty-page")
    expect_playing(page, "yes")
    page.locator("#play").click()
    expect_playing(page, "no")
    expect(page.locator(".menu a").first).to_be_hidden()
    assert watch.complaints == []
