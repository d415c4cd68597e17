import re
from typing import Literal

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from mmuviz.components.op_table import HEADINGS, op_rows
from mmuviz.recording.time_words import time_rows
from mmuviz.recording.timeline import Timeline
from mmuviz.web.shipped import DEFAULT, Shelf
from tests.browser.conftest import PATIENCE_MS, Watch
from tests.browser.opened import PAUSED, open_page

SHELF = Shelf()
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZES = [(360, 740), (800, 600), (1280, 720), (1920, 1080)]


def timeline(name: str) -> Timeline:
    return SHELF.scenarios[name].made.timeline


def test_the_page_names_itself_and_says_what_it_is_for(page: Page) -> None:
    open_page(page)
    expect(page).to_have_title("MMUViz")
    expect(page.get_by_role("banner")).to_contain_text("dirty logging")


def test_the_first_thing_to_read_is_the_point(page: Page) -> None:
    open_page(page)
    header = SHELF.scenarios["legacy"].made.header
    heading = page.get_by_role("heading", level=2).first
    expect(heading).to_have_text(header["point"])
    for pane, title in enumerate(each["title"] for each in header["panes"]):
        expect(page.locator(f"[data-pane='{pane}'] h3")).to_have_text(title)


def test_the_menu_is_closed_and_links_to_every_scenario(page: Page) -> None:
    open_page(page)
    links = page.locator(".menu a")
    expect(links.first).to_be_hidden()
    page.locator(".menu summary").click()
    expect(links.first).to_be_visible()
    shipped = SHELF.links
    expect(links).to_have_text([f"{link.name} {link.title}" for link in shipped])
    for link, scenario in zip(links.all(), shipped, strict=True):
        expect(link).to_have_attribute("href", f"?scenario={scenario.name}")
    page.set_viewport_size({"width": 360, "height": 740})
    sheet = page.locator(".menu-sheet")
    assert sheet.evaluate("sheet => sheet.scrollWidth <= sheet.clientWidth")
    page.keyboard.press("Escape")
    expect(links.first).to_be_hidden()
    expect(page.locator(".menu summary")).to_be_focused()


def test_a_link_of_the_menu_opens_its_scenario(page: Page) -> None:
    open_page(page)
    page.locator(".menu summary").click()
    page.locator("a[href='?scenario=manual']").click()
    expect(page.locator(".menu a[aria-current]")).to_have_attribute("href", "?scenario=manual")
    expect(page.locator("#story[data-ready='yes']")).to_be_attached(timeout=PATIENCE_MS)


def test_a_permalink_comes_back_to_the_same_tick(page: Page) -> None:
    open_page(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/?scenario=legacy&step=9002")
    said = page.locator(".say").all_inner_texts()
    figures = page.locator("dd").all_inner_texts()
    page.reload()
    expect(page.locator("#story[data-ready='yes']")).to_have_attribute("data-t", "9002")
    expect(page.locator("#story")).to_have_attribute("data-playing", "no")
    assert page.locator(".say").all_inner_texts() == said
    assert page.locator("dd").all_inner_texts() == figures


@pytest.mark.parametrize("query", ["?scenario=%00%ff", "?step=%3Cb%3E"])
def test_a_bad_address_gets_a_message_and_plays_the_default(page: Page, query: str) -> None:
    page.goto(f"/{query}")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("#story[data-ready='yes']")).to_be_attached(timeout=PATIENCE_MS)
    expect(page.locator(".menu a[aria-current]")).to_have_attribute("href", f"?scenario={DEFAULT}")
    expect(page.locator("#story")).to_have_attribute("data-playing", "yes", timeout=PATIENCE_MS)


def test_the_colours_that_were_chosen_are_there_before_anything_is_painted(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    open_page(page)
    button = page.locator("#theme")
    expect(button).to_have_accessible_name("Colours: as the system has it", timeout=PATIENCE_MS)
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_accessible_name("Colours: light")
    light = lightness(page)
    page.keyboard.press("Enter")
    expect(button).to_have_accessible_name("Colours: dark")
    assert lightness(page) < light
    open_page(page)
    first = page.locator("head :is(script, link[rel='stylesheet'])").first
    expect(first).to_have_attribute("src", re.compile("^/assets/theme.js"))
    expect(button).to_have_accessible_name("Colours: dark", timeout=PATIENCE_MS)
    assert lightness(page) < light
    button.click()
    expect(button).to_have_accessible_name("Colours: as the system has it")
    assert lightness(page) == light


def test_recordings_that_cannot_be_fetched_are_said_in_words(page: Page, watch: Watch) -> None:
    page.route("**/recording/*", lambda route: route.fulfill(status=200, body=b"MMUVIZP\x09 and more"))
    page.goto(f"/{PAUSED}")
    expect(page.locator("#clock")).to_contain_text("cannot be shown")
    page.locator(".menu summary").click()
    expect(page.locator(".menu a").first).to_be_visible()
    assert watch.complaints == []


@pytest.mark.parametrize("size", SIZES)
def test_a_screen_needs_no_scrolling_and_has_large_targets(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_page(page)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        check_no_scrolling(page, *size)
    targets = (
        "#transport button, #transport select, #scrub, .site-header summary, .site-header button, .view-path button"
    )
    for target in (*page.locator(targets).all(), *page.locator("#ops button").all()):
        box = target.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 24, target


def check_no_scrolling(page: Page, width: int, height: int) -> None:
    """The maps, their sentences and the player are on the first screen."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    player = page.locator("#transport").bounding_box()
    assert player is not None
    assert player["y"] + player["height"] == pytest.approx(height, abs=1)
    for part in (*page.locator("canvas.map").all(), *page.locator(".say-text").all()):
        box = part.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= player["y"]
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    left, right = (page.locator(f"#map-{pane}").bounding_box() for pane in (0, 1))
    assert left is not None
    assert right is not None
    assert left["y"] == right["y"]


def test_every_sentence_fits_its_place(page: Page) -> None:
    """The longest sentences of all scenarios, at the sizes of the screens."""
    headers = [SHELF.scenarios[name].made.header for name in ("legacy", DEFAULT, "shadow-mmu", "pml")]
    texts = {
        say[form] for head in headers for pane in head["panes"] for say in pane["says"] for form in ("one", "many")
    }
    texts |= {text for head in headers for pane in head["panes"] for text in pane["quiet"]}
    filled = [re.sub(r"\{n\}|\{page\}|\{last\}", "16,384", text).replace("{vcpu}", "0") for text in texts]
    open_page(page)
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        for text in sorted(filled, key=len)[-6:]:
            cut = page.evaluate(
                """text => {
                    const say = document.querySelector('.say-text');
                    say.textContent = text;
                    return say.scrollHeight > say.clientHeight + 1;
                }""",
                text,
            )
            assert not cut, (width, text)


def lightness(page: Page) -> int:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3])


MIDDLE = """() => {
    const canvas = document.getElementById('map-0');
    const middle = Math.floor((Number(canvas.dataset.cellPx) - 1) / 2);
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
    copy.drawImage(canvas, 0, 0);
    const [r, g, b] = copy.getImageData(middle, middle, 1, 1).data;
    return '#' + [r, g, b].map(part => part.toString(16).padStart(2, '0')).join('');
}"""
COLOUR = "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"


def test_the_page_and_its_maps_follow_the_system_s_colours_and_the_theme_attribute(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    open_page(page, "?scenario=legacy&step=0")
    light = lightness(page)
    seen = [page.evaluate(MIDDLE)]
    assert seen[0] == page.evaluate(COLOUR, "--map-none")
    page.emulate_media(color_scheme="dark")
    dark = lightness(page)
    page.wait_for_function(f"() => ({MIDDLE})() === ({COLOUR})('--map-none')")
    seen.append(page.evaluate(MIDDLE))
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    page.wait_for_function(f"() => ({MIDDLE})() === '{seen[0]}'")
    assert lightness(page) == light
    page.emulate_media(color_scheme="light")
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function(f"() => ({MIDDLE})() === '{seen[1]}'")
    assert lightness(page) == dark
    assert dark < 150
    assert light > 600


def test_the_cursor_of_each_chart_stands_at_the_clock(page: Page) -> None:
    """Plotly's own mapping of the x axis says where; its fields are private, so they are held here."""
    open_page(page)
    for width, height in [(1280, 720), (800, 600), (1920, 1080)]:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(500)
        clock = timeline("legacy")
        [x] = clock.x_at(np.array([9000]))
        for identity in ("chart-left", "chart-right", "chart-both"):
            apart = page.evaluate(
                """([id, x]) => {
                    const chart = document.querySelector(`#${id} .js-plotly-plot`) || document.getElementById(id);
                    const axis = chart._fullLayout.xaxis;
                    const left = chart.getBoundingClientRect().left + axis._offset + axis.d2p(x);
                    const cursor = chart.closest('.chart-frame').querySelector('.cursor').getBoundingClientRect();
                    return (cursor.left + cursor.right) / 2 - left;
                }""",
                [identity, x],
            )
            assert abs(apart) <= 1.5


PLACE_ON_AXIS = """([id, x]) => {
    const frame = document.getElementById(id).closest('.chart-frame');
    const chart = frame.querySelector('.js-plotly-plot');
    const axis = chart._fullLayout.xaxis;
    const left = chart.getBoundingClientRect().left - frame.getBoundingClientRect().left;
    return [left + axis._offset + axis.d2p(x), axis.d2p(axis.range[1]) / axis.range[1]];
}"""
CURSOR = """id => {
    const frame = document.getElementById(id).closest('.chart-frame');
    const cursor = frame.querySelector('.cursor').getBoundingClientRect();
    return (cursor.left + cursor.right) / 2 - frame.getBoundingClientRect().left;
}"""


def test_charts_of_simulated_time_follow_the_clock_and_lead_to_it(page: Page) -> None:
    scenario = SHELF.scenarios["4gib-in-time"]
    clock, timings = scenario.made.timeline, scenario.timings
    assert timings is not None
    ends = [0, *clock.op_ends.tolist()]
    tick = (ends[4] + ends[3]) // 2  # amid the first round of writes
    open_page(page, f"?scenario={scenario.name}&step={tick}", cursors=2)
    expect(page.get_by_role("heading", level=2).first).to_have_text(scenario.point)
    expect(page.locator(".charts-head")).to_contain_text("Modelled, not measured")
    expect(page.locator("#times tbody tr")).to_have_count(len(time_rows(scenario.made.pair, timings)))
    page.wait_for_timeout(500)
    for identity, timing in zip(("chart-left", "chart-right"), timings, strict=True):
        # The same moment of the story comes at each side's own time.
        time_ms = np.interp(tick, ends, [0, *timing.op_end_ms])
        expected, _ = page.evaluate(PLACE_ON_AXIS, [identity, float(time_ms)])
        assert abs(page.evaluate(CURSOR, identity) - expected) <= 1.5
    later_ms = float(timings[0].op_end_ms[5:7].mean())  # amid the second round
    x, px_per_ms = page.evaluate(PLACE_ON_AXIS, ["chart-left", later_ms])
    page.locator(".chart-frame").first.click(position={"x": x, "y": 100})
    went = np.interp(int(page.locator("#story").get_attribute("data-t") or 0), ends, [0, *timings[0].op_end_ms])
    assert abs(went - later_ms) * px_per_ms <= 1.5


def test_a_click_on_a_chart_goes_there(page: Page) -> None:
    open_page(page)
    frame = page.locator(".chart-frame").first
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box is not None
    frame.click(position={"x": box["width"] / 2, "y": 100})
    before = page.locator("#story").get_attribute("data-t")
    assert before != "9000"
    frame.click(position={"x": box["width"] * 0.8, "y": 100})
    assert int(page.locator("#story").get_attribute("data-t") or 0) > int(before or 0)


def test_the_table_of_ops_says_what_each_op_did(page: Page) -> None:
    open_page(page)
    rows = op_rows(SHELF.scenarios["legacy"].made.pair.sides)
    shown = page.eval_on_selector_all(
        "#ops tbody tr", "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
    )
    assert len(shown) == len(rows)
    for index, (cells, (label, *figures)) in enumerate(zip(shown, rows, strict=True)):
        texts = ["" if value is None else f"{value:,}" for pair in figures for value in pair]
        assert cells == [f"{index + 1}{label}", *texts]
    heads = page.locator("#ops thead tr").all()
    assert heads[0].locator("th").all_inner_texts() == ["Op", *HEADINGS]
    assert heads[1].locator("th").all_inner_texts() == ["left", "right"] * len(HEADINGS)


def test_a_row_of_the_ops_goes_to_its_end_and_is_marked(page: Page) -> None:
    open_page(page)
    ends = timeline("legacy").op_ends.tolist()
    for op in (3, 0, len(ends) - 1):
        page.locator(f"#ops tr[data-op='{op}'] button").click()
        expect(page.locator("#story")).to_have_attribute("data-t", str(ends[op]))
        expect(page.locator("#ops tr[aria-current]")).to_have_attribute("data-op", str(op))


def test_the_table_of_the_maps_counts_every_page_once(page: Page) -> None:
    open_page(page)
    page.get_by_text("The maps as a table").click()
    expect(page.locator("#map-table tbody tr")).to_have_count(16)
    rows = [
        [cell.replace(",", "") for cell in row.locator("td").all_inner_texts()]
        for row in page.locator("#map-table tbody tr").all()
    ]
    pages = SHELF.scenarios["legacy"].made.pair.left.slot.pages
    for side in (0, 6):
        assert sum(int(cell) for row in rows for cell in row[side : side + 4]) == pages
    expect(page.locator("#map-summary-0")).to_contain_text(f"{pages:,} pages")


def test_an_unknown_address_gives_a_readable_page(page: Page, watch: Watch) -> None:
    response = page.goto("/nowhere")
    assert response is not None
    assert response.status == 404
    expect(page.get_by_role("heading")).to_have_text("404 Not Found")
    # Chromium writes the 404 itself to the console.
    assert len(watch.complaints) == 1
    watch.complaints.clear()
    page.get_by_role("link", name="Open MMUViz").click()
    expect(page.locator("[data-mmuviz=pane]:not([hidden])").first).to_be_visible(timeout=PATIENCE_MS)


def test_a_second_visit_downloads_no_file_again(page: Page) -> None:
    # Chromium counts 300 bytes for an answer of "not modified".
    transferred = """performance.getEntriesByType('resource').filter(e => e.transferSize > 300)
        .map(e => new URL(e.name).pathname).filter(p => /^.(assets|recording)/.test(p) || p.includes('-suites/'))"""
    open_page(page)
    assert "/assets/tokens.css" in page.evaluate(transferred)
    open_page(page)
    assert page.evaluate(transferred) == []


def test_the_charts_come_from_the_bundle_in_assets(page: Page) -> None:
    open_page(page)
    asked = page.evaluate("performance.getEntriesByType('resource').map(e => new URL(e.name).pathname)")
    assert [path for path in asked if "plotly" in path and not path.startswith("/assets/plotly-basic-")] == []


def test_the_legend_fades_where_it_goes_on(page: Page) -> None:
    open_page(page, "?scenario=legacy&step=0")
    legend = page.get_by_role("list", name="Legend")
    ends = "e => ['--faded-start', '--faded-end'].map(name => parseFloat(getComputedStyle(e).getPropertyValue(name)))"
    assert legend.evaluate(ends) == [0, 0]
    assert legend.evaluate("e => getComputedStyle(e).maskImage") == "none"
    page.set_viewport_size({"width": 360, "height": 740})
    faded = f"want => ({ends})(document.querySelector('[aria-label=Legend]')).join() === want"
    page.wait_for_function(faded, arg="0,32")
    legend.evaluate("e => { e.scrollLeft = e.scrollWidth; }")
    page.wait_for_function(faded, arg="32,0")
