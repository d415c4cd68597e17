"""What the page refuses, in a real browser: other hosts, inline scripts, and sending anything away."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Watch
from tests.browser.opened import open_page


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


def test_plotly_cannot_send_a_chart_away(page: Page, watch: Watch) -> None:
    open_page(page)
    expect(page.locator(".modebar")).to_have_count(0)
    page.evaluate(
        """async () => {
            const chart = document.createElement('div');
            document.querySelector('.details').append(chart);
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
