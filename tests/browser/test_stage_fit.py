"""Text that has to fit: sentences of one size that nothing covers, and controls whose values are not cut."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from mmuviz.studies.offered import stories
from tests.browser.test_stage import SIZES, open_stage

pytestmark = pytest.mark.xdist_group("stage")

SENTENCE_SIZES = """() => [...document.querySelectorAll("[data-mmuviz=pane]:not([hidden]) .sentence")].map((each) => {
    const {fontSize} = getComputedStyle(each);
    return [fontSize, each.scrollHeight <= each.clientHeight + 4];
})"""
NAMES = """() => {
    const shown = [...document.querySelectorAll("[data-mmuviz=pane]:not([hidden]) .number-label")];
    const nameOf = (each) => getComputedStyle(each, "::after").content.split('"')[1];
    return shown.filter((each) => each.offsetParent).map((each) => [nameOf(each), each.getBoundingClientRect().bottom]);
}"""
CUT = """() => {
    const context = document.createElement("canvas").getContext("2d");
    const shown = [...document.querySelectorAll(".controls .control-select")].filter((each) => each.offsetParent);
    return shown.filter((each) => {
        const {font, letterSpacing} = getComputedStyle(each);
        context.font = font;
        context.letterSpacing = letterSpacing;
        const text = each.selectedOptions[0].textContent;
        return context.measureText(text).width > each.clientWidth;
    }).map((each) => each.selectedOptions[0].textContent);
}"""

LEADING = 4  # CSS px that a line of text is higher than its letters, on either side

# Lines of text have some leading, by which their boxes may overlap.
COVERED = """() => {
    const boxes = (node) => {
        const range = document.createRange();
        range.selectNodeContents(node);
        return [...range.getClientRects()].filter(({width, height}) => width && height);
    };
    const shown = (node) => node && node.getClientRects().length > 0;
    return [...document.querySelectorAll("[data-mmuviz=pane]:not([hidden])")].flatMap((pane, at) => {
        const sentence = pane.querySelector(".sentence");
        const lines = boxes(sentence);
        const under = [pane.querySelector(".badge"), pane.querySelector(".map-key")].filter(shown);
        const wrong = under.filter((node) => boxes(node).some((box) => lines.some((line) =>
            line.bottom > box.top + 2 && line.top < box.bottom - 2 && line.right > box.left && line.left < box.right)));
        const said = wrong.map(({className}) => `${at} ${className}`);
        const transport = document.querySelector(".transport").getBoundingClientRect().top;
        const low = under.filter((node) => node.getBoundingClientRect().bottom > transport + 1);
        said.push(...low.map(({className}) => `${at} ${className} low`));
        const top = sentence.getBoundingClientRect().top;
        return lines.some((line) => line.top < top - 2) ? [...said, `${at} top`] : said;
    });
}"""
LONG_SENTENCES = (
    "arm64-split-chunk",
    "ring-or-bitmap-migration",
    "never-converges",
    "migration-small-hot",
    "read-mostly",
    "clear-in-chunks",
)
GO = """async ([story, share]) => {
    const {stage} = window.mmuvizStage;
    if (stage.state.base !== story) {
        await stage.chooseStory(story);
    }
    stage.goToPlace(stage.clock.endPs * share);
}"""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("policies", ["lazy,eager_at_enable", "lazy,eager_at_enable,eager_in_clear,ring_lazy"])
def test_sentences_of_all_panes_have_one_size_and_are_whole(page: Page, size: tuple[int, int], policies: str) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, f"/?ps=0&policies={policies}")
    for ps in (10_000_000_000, 25_000_000_000, 45_000_000_000, 70_000_000_000, 400_000_000_000):
        page.evaluate("(ps) => window.mmuvizStage.stage.goToPlace(ps)", ps)
        found = page.evaluate(SENTENCE_SIZES)
        assert len({font for font, _ in found}) == 1
        assert all(whole for _, whole in found)


BEYOND = """() => {
    const top = document.querySelector(".transport").getBoundingClientRect();
    const panes = "[data-mmuviz=pane]:not([hidden])";
    const all = [...document.querySelectorAll(`${panes} :is(.pane-head, .map-box, .sentence)`)];
    const below = all.filter((each) => each.getBoundingClientRect().bottom > top.top + 1);
    const over = below.map((each) => each.className);
    return top.bottom > innerHeight + 1 ? [...over, "transport"] : over;
}"""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", ["", "p"])
@pytest.mark.parametrize("panes", [2, 3, 4])
def test_panes_and_transport_are_inside_the_window(page: Page, size: tuple[int, int], key: str, panes: int) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    policies = ["lazy", "eager_at_enable", "eager_in_clear", "ring_lazy"][:panes]
    open_stage(page, f"/?ps=45000000000&policies={','.join(policies)}")
    if key:
        page.keyboard.press(key)
    assert page.evaluate(BEYOND) == []


@pytest.mark.parametrize("width", [1024, 1100, 1280, 1440])
def test_the_values_of_the_default_guest_s_controls_are_not_cut(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 768})
    open_stage(page)
    assert page.evaluate(CUT) == []
    page.evaluate("() => document.querySelector('.controls').classList.add('folded')")
    assert page.evaluate(CUT), "this measure finds what is cut"


@pytest.mark.parametrize("size", SIZES)
def test_nothing_under_a_map_covers_another_line(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page)
    for story in LONG_SENTENCES:
        for share in (0.5, 0.1, 0.25, 0.9):
            page.evaluate(GO, [story, share])
            assert page.evaluate(COVERED) == [], (story, share)


@pytest.mark.parametrize(
    ("size", "story", "ps"),
    [
        ((1280, 720), "arm64-split-chunk", 3_950_000_000),
        ((360, 740), "ring-or-bitmap-migration", 20_000_000_000_000),
    ],
)
def test_a_long_function_and_the_legend_have_their_own_lines(
    page: Page, size: tuple[int, int], story: str, ps: int
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, f"/?story={story}&ps={ps}")
    assert page.evaluate(COVERED) == []
    page.add_style_tag(
        content=".stage .badge, .stage .map-key { display: block !important; margin-top: -14px !important; }"
    )
    assert page.evaluate(COVERED), "this measure finds what is covered"


@pytest.mark.parametrize("shown", ["presenter", "expert"])
@pytest.mark.parametrize("story", ["never-converges", "ring-or-bitmap-migration"])
def test_the_legend_covers_no_sentence_where_panes_have_no_line_for_it(page: Page, story: str, shown: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    open_stage(page, f"/?story={story}&ps=3000000000000")
    page.keyboard.press({"presenter": "p", "expert": "e"}[shown])
    assert page.evaluate(COVERED) == []


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (360, 740)])
def test_no_choice_of_the_guest_form_is_cut(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page)
    page.evaluate("document.getElementById('stage-guest').click()")
    cut = """() => {
        const context = document.createElement("canvas").getContext("2d");
        return [...document.querySelectorAll(".guest-row .control-select")].flatMap((each) => {
            context.font = getComputedStyle(each).font;
            // The arrow takes some of it.
            return [...each.options].filter(({text}) => context.measureText(text).width + 24 > each.clientWidth);
        }).map(({text}) => text);
    }"""
    assert page.evaluate(cut) == []


@pytest.mark.parametrize("size", [(1280, 720), (360, 740), (800, 600)])
def test_the_legend_of_a_migration_is_whole(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page, "/?story=never-converges&ps=3000000000000")
    found = page.evaluate(
        """() => [...document.querySelectorAll("[data-mmuviz=pane]:not([hidden])")].map((pane) => {
            const box = pane.getBoundingClientRect();
            const badge = document.createRange();
            badge.selectNodeContents(pane.querySelector(".badge"));
            const end = innerWidth < 1000 ? pane.querySelector(".badge").getBoundingClientRect().right
                : Math.max(...[...badge.getClientRects()].map(({right}) => right));
            return [...pane.querySelectorAll(".map-key span")].filter((each) => {
                const {left, right, width} = each.getBoundingClientRect();
                return width > 0 && right <= box.right + 1 && left >= end;
            }).map((each) => each.textContent);
        })"""
    )
    assert found == [["sent", "sent again", "to send"]] * 2


@pytest.mark.parametrize("presenter", [False, True])
def test_numbers_of_low_windows_have_their_names(page: Page, presenter: bool) -> None:  # noqa: FBT001  # a parameter
    """In presenter type they would be too small to be read."""
    page.set_viewport_size({"width": 640, "height": 360})
    open_stage(page)
    if presenter:
        page.keyboard.press("p")
    names = page.evaluate(NAMES)
    assert [name for name, _ in names] == ([] if presenter else ["speed", "stall", "ioctl"] * 2)
    top = page.locator("[data-mmuviz=map]").first.bounding_box()
    assert top is not None
    assert all(bottom <= top["y"] for _, bottom in names)


CUT_DESCRIPTIONS = """() => [...document.querySelectorAll("[data-mmuviz=pane]:not([hidden]) .policy-says")]
    .filter((each) => each.offsetParent && getComputedStyle(each).visibility === "visible")
    .filter((each) => each.scrollHeight > each.clientHeight + 4).map((each) => each.textContent)"""


@pytest.mark.parametrize("story", ["migration-small-hot", "running-guest", "clear-in-chunks"])
def test_a_policy_s_description_is_whole_or_not_there(page: Page, story: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    open_stage(page, f"/?story={story}&ps=0")
    end = page.evaluate("window.mmuvizStage.stage.clock.endPs")
    for part in (0.0, 0.1, 0.3, 0.6, 1.0):
        page.evaluate("(ps) => window.mmuvizStage.stage.goToPlace(ps)", int(part * end))
        assert page.evaluate(CUT_DESCRIPTIONS) == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", ["", "p"])
def test_every_story_s_question_is_whole_and_inside_the_bar(page: Page, size: tuple[int, int], key: str) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_stage(page)
    if key:
        page.keyboard.press(key)
    wrong = page.evaluate(
        """(titles) => titles.filter((title) => {
            const question = document.getElementById("stage-question");
            question.textContent = title;
            mmuvizStage.stage.resize();
            const [box, bar] = [question, document.querySelector(".bar")].map((each) => each.getBoundingClientRect());
            const cut = question.scrollHeight > question.clientHeight + 4;
            return cut || box.top < bar.top - LEADING || box.bottom > bar.bottom + LEADING;
        })""".replace("LEADING", str(LEADING)),
        [title for _, title, _, _ in stories()],
    )
    assert wrong == []
