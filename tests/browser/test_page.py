import re
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from mmuviz.web.shipped import Shelf
from tests.browser.conftest import Watch

SIZES = [(360, 740), (800, 600), (1280, 800), (1920, 1080)]


def open_page(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="MMUViz", exact=True)).to_be_visible()
    expect(page.locator("#map[data-op]")).to_be_visible()


def test_the_page_names_itself_and_says_what_it_is_for(page: Page) -> None:
    open_page(page)
    expect(page).to_have_title("MMUViz")
    expect(page.get_by_role("banner")).to_contain_text("dirty logging")


def test_the_page_links_to_every_shipped_recording(page: Page) -> None:
    open_page(page)
    links = page.get_by_role("navigation", name="Recordings").get_by_role("link")
    shipped = Shelf().links
    expect(links).to_have_text([link.title for link in shipped])
    for link, recording in zip(links.all(), shipped, strict=True):
        expect(link).to_have_attribute("href", f"?scenario={recording.name}")


def test_a_request_to_another_host_is_refused(page: Page, watch: Watch) -> None:
    open_page(page)
    assert page.evaluate("fetch('http://127.0.0.2:1/').then(() => 'went', () => 'refused')") == "refused"
    assert any("Content Security Policy" in complaint for complaint in watch.complaints)
    watch.complaints.clear()


def test_the_watch_sees_foreign_requests_errors_and_exceptions(page: Page, watch: Watch) -> None:
    # A blank page has no policy of ours that could stop it first.
    page.set_content("<img src='http://127.0.0.2:1/'><script>console.error('lost'); throw Error('thrown')</script>")
    seen = " ".join(watch.complaints)
    watch.complaints.clear()
    assert "foreign: http://127.0.0.2:1/" in seen
    assert "error: lost" in seen
    assert "uncaught: thrown" in seen


def test_inline_scripts_and_eval_are_refused(page: Page, watch: Watch) -> None:
    open_page(page)
    page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = 'window.intruder = 1';
            document.body.append(script);
        }"""
    )
    page.wait_for_timeout(100)
    assert page.evaluate("window.intruder") is None
    assert any("inline script" in complaint for complaint in watch.complaints)
    watch.complaints.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(page: Page, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    open_page(page)
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_follows_the_system_s_colours_and_the_theme_attribute(page: Page) -> None:
    def lightness() -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in re.findall(r"\d+", colour)[:3])

    page.emulate_media(color_scheme="light")
    open_page(page)
    light = lightness()
    page.emulate_media(color_scheme="dark")
    dark = lightness()
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert lightness() == light
    page.emulate_media(color_scheme="light")
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert lightness() == dark
    assert dark < 150
    assert light > 600


def test_an_unknown_address_gives_a_readable_page(page: Page, watch: Watch) -> None:
    response = page.goto("/nowhere")
    assert response is not None
    assert response.status == 404
    expect(page.get_by_role("heading")).to_have_text("404 Not Found")
    # Chromium writes the 404 itself to the console.
    assert len(watch.complaints) == 1
    watch.complaints.clear()
    page.get_by_role("link", name="Open MMUViz").click()
    expect(page.get_by_role("heading", name="MMUViz", exact=True)).to_be_visible()


def test_a_second_visit_downloads_no_file_again(page: Page) -> None:
    transferred = """performance.getEntriesByType('resource').filter(e => e.transferSize > 0)
        .map(e => new URL(e.name).pathname).filter(p => p.startsWith('/assets/') || p.includes('-suites/'))"""
    page.goto("/", wait_until="networkidle")
    assert "/assets/tokens.css" in page.evaluate(transferred)
    page.goto("/", wait_until="networkidle")
    assert page.evaluate(transferred) == []


def test_plotly_cannot_send_a_chart_away(page: Page, watch: Watch) -> None:
    open_page(page)
    page.add_script_tag(url="/_dash-component-suites/plotly/package_data/plotly.min.js")
    page.evaluate(
        """async () => {
            const chart = document.createElement('div');
            document.body.append(chart);
            const config = {showSendToCloud: true, displayModeBar: true};
            await window.Plotly.newPlot(chart, [{y: [1, 2]}], {}, config);
        }"""
    )
    button = page.locator("[data-title='Share chart...']")
    expect(button).to_have_count(1)
    button.click()
    page.wait_for_timeout(300)
    assert len(page.context.pages) == 1
    assert page.locator(".plotly-cloud-dialog-box").count() == 0
    assert watch.complaints == ["error: Invalid plotlyServerURL: none"]
    watch.complaints.clear()
