"""The Content-Security-Policy in a real browser: other hosts and inline scripts are refused."""

from playwright.sync_api import Page

from tests.browser.conftest import Watch
from tests.browser.test_stage import open_stage


def test_a_request_to_another_host_is_refused(page: Page, watch: Watch) -> None:
    open_stage(page)
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
    open_stage(page)
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
