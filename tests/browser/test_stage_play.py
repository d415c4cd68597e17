"""Playback options: seek to a typed time, loop, and the automatic slow-down."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS
from tests.browser.test_stage import PAUSED, SIZES, open_stage

pytestmark = pytest.mark.xdist_group("stage")

MS = 1_000_000_000


def instant(page: Page) -> int:
    return int(page.locator("[data-mmuviz=time]").get_attribute("data-ps") or -1)


@pytest.mark.parametrize(("typed", "ps"), [("45 ms", 45 * MS), ("0.1s", 100 * MS), ("20063939 ns", 20_063_939_000)])
def test_a_typed_time_is_gone_to(page: Page, typed: str, ps: int) -> None:
    open_stage(page, PAUSED)
    page.keyboard.press("g")
    page.keyboard.type(typed)
    page.keyboard.press("Enter")
    expect(page.locator("[data-mmuviz=time]")).to_have_attribute("data-ps", str(ps))


@pytest.mark.parametrize(
    ("typed", "rule"), [("soon", "is no time"), ("", "Write a time as 45 ms"), ("9 s", "is past the end")]
)
def test_what_is_no_time_is_refused_and_moves_nothing(page: Page, typed: str, rule: str) -> None:
    open_stage(page, PAUSED)
    page.keyboard.press("g")
    page.keyboard.type(typed)
    page.keyboard.press("Enter")
    expect(page.locator("#stage-play-said")).to_contain_text(rule)
    assert instant(page) == 45 * MS


def test_a_loop_is_set_by_keys_kept_in_the_address_and_played(page: Page) -> None:
    open_stage(page, PAUSED)
    page.keyboard.press("a")
    page.evaluate("() => mmuvizStage.stage.goTo(46e9)")
    page.keyboard.press("b")
    assert "loop=45000000000-46000000000" in page.url
    open_stage(page, page.url)
    page.evaluate("() => { mmuvizStage.stage.clock.speed = 5e9; mmuvizStage.stage.clock.play(); }")
    # At 5 ms a second a millisecond takes 0.2 s: it has come round when it is earlier than before.
    page.wait_for_function(
        """() => {
            const { now } = mmuvizStage.stage.clock;
            const again = window.last !== undefined && now < window.last;
            window.last = now;
            return again && now >= 45e9 && now < 46e9;
        }""",
        timeout=PATIENCE_MS,
    )
    page.keyboard.press("x")
    page.keyboard.press("Space")
    expect(page.locator("[data-mmuviz=play]")).to_have_attribute("aria-label", "Play")
    assert "loop" not in page.url


def test_it_slows_down_by_itself_unless_that_is_switched_off(page: Page) -> None:
    open_stage(page, PAUSED)
    rate = (
        "() => { const { clock } = mmuvizStage.stage; clock.seek(clock.runs[0].enablePs); return clock.psPerSecond; }"
    )
    page.locator("#stage-speed").select_option(str(10**12))
    slowed = page.evaluate(rate)
    assert slowed <= page.evaluate("() => Math.max(...mmuvizStage.stage.runs.map(run => run.binPs))")
    page.locator("#stage-play-more").click()
    page.locator("#stage-slow").click()
    expect(page.locator("#stage-slow")).to_have_attribute("aria-checked", "false")
    assert page.evaluate(rate) == 10**12
    assert "slow=off" in page.url


SPEED = """() => {
    const select = document.getElementById('stage-speed');
    const more = document.getElementById('stage-play-more').getBoundingClientRect();
    const whole = select.cloneNode(true);
    [...whole.options].forEach((option) => { option.text = select.selectedOptions[0].text; });
    whole.style.cssText = 'position:absolute;max-width:none';
    select.parentElement.append(whole);
    const wanted = whole.getBoundingClientRect().width;
    whole.remove();
    const boxes = ['.buttons', '.time', '#stage-speed', '#stage-play-more', '.ribbon']
        .map((name) => [name, document.querySelector(name).getBoundingClientRect()]);
    const meet = (a, b) => a.left < b.right - 0.5 && b.left < a.right - 0.5
        && a.top < b.bottom - 0.5 && b.top < a.bottom - 0.5;
    return {
        text: select.selectedOptions[0].text, cut: wanted - select.getBoundingClientRect().width,
        met: boxes.flatMap(([a, one], at) =>
            boxes.slice(at + 1).filter(([, other]) => meet(one, other)).map(([b]) => a + b)),
    };
}"""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("type_", ["normal", "presenter"])
def test_the_speed_is_never_cut_and_meets_nothing(page: Page, size: tuple[int, int], type_: str) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, PAUSED)
    if type_ == "presenter":
        page.keyboard.press("p")
    shown = set()
    for speed, playing in (("auto", False), ("auto", True), (str(10**11), False), (str(10**11), True), ("event", True)):
        page.evaluate(
            """([speed, playing]) => {
                const {stage} = mmuvizStage;
                stage.clock.pause();
                stage.chooseSpeed(speed);
                stage.clock.seek(20e9);
                if (playing) {
                    stage.clock.play();
                }
                stage.tell(stage.clock.now);
            }""",
            [speed, playing],
        )
        found = page.evaluate(SPEED)
        assert found["cut"] <= 0.5, found
        assert found["met"] == [], found
        shown.add(found["text"])
    assert len(shown) >= 4, shown


@pytest.mark.parametrize("part", ["loop=5-3", "loop=x", "slow=maybe", "view=all", "theme=pink", "story=nope"])
def test_a_malformed_part_of_the_address_gets_a_message_and_the_default(page: Page, part: str) -> None:
    open_stage(page, f"/?{part}")
    expect(page.locator("#stage-refused")).to_have_text(re.compile(r"(; h|[.?] H)ere is the default story\."))
    expect(page.locator("[data-mmuviz=pane]:not([hidden])")).to_have_count(2)
