"""The page-table walk beside the charts is never empty."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_stage import open_stage

pytestmark = pytest.mark.xdist_group("stage")

BOXES = """(at) => [".map-box", ".sentence", ".pane-loupe"].map((name) => {
    const node = window.mmuvizStage.stage.panes[at].section.querySelector(name);
    return node.getBoundingClientRect().toJSON();
})"""


def test_without_a_vcpu_at_work_the_walk_is_that_of_the_first_page(page: Page) -> None:
    """The lazy run of an idle guest is over: neither its ioctl nor its vCPU is anywhere."""
    open_stage(page, "/?story=rfc-memslot&ps=5000000000000&memory[0].size=%224+GiB%22")
    loupe = page.locator("[data-mmuviz=loupe] canvas").first
    first = page.evaluate("window.mmuvizStage.stage.runs[0].firstGfn[0]")
    expect(loupe).to_have_attribute("aria-label", re.compile(rf"no vCPU is at a known page; .* gfn {first:#x};"))


def test_of_several_vcpus_the_first_at_a_known_page_counts(page: Page) -> None:
    open_stage(page, "/?ps=45000000000")
    page.evaluate("""() => {
        const {stage} = window.mmuvizStage, [run] = stage.runs, before = run.vcpuGfn.bind(run);
        run.vcpuGfn = (ps, vcpu) => (vcpu < 2 ? -1 : before(ps, vcpu));
        stage.goToPlace(46e9);
    }""")
    expect(page.locator("[data-mmuviz=loupe] canvas").first).to_have_attribute(
        "aria-label", re.compile(r"vCPU 2 at gfn 0x")
    )


@pytest.mark.parametrize("view", ["", "&view=expert"])
@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_each_of_several_panes_has_its_walk_beside_its_map(
    page: Page, size: tuple[int, int], count: int, view: str
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    policies = ",".join(("lazy", "eager_at_enable", "eager_in_clear", "ring_lazy")[:count])
    open_stage(page, f"/?policies={policies}&ps=45000000000{view}")
    loupes, panes = page.locator("[data-mmuviz=loupe]"), page.locator("[data-mmuviz=pane]")
    expect(loupes).to_have_count(count)
    labels = page.evaluate("window.mmuvizStage.stage.runs.map(({label}) => label)")
    for index, label in enumerate(labels):
        inside = panes.nth(index).locator("[data-mmuviz=loupe] canvas")
        expect(inside).to_have_attribute("aria-label", re.compile(rf"^Page-table walk, {re.escape(label)}: "))
        box, around = inside.bounding_box(), panes.nth(index).bounding_box()
        assert box
        assert around
        assert box["width"] >= 200
        assert box["height"] >= 95
        assert box["y"] + box["height"] <= around["y"] + around["height"] + 1
        assert inside.evaluate("""(canvas) => {
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return data.some((value, at) => at % 4 === 3 && value > 0);
        }"""), "it is drawn"
        map_box, sentence, walk = page.evaluate(BOXES, index)
        for other in (map_box, sentence):
            apart = other["right"] <= walk["left"] + 1 or other["bottom"] <= walk["top"] + 1
            assert apart or walk["bottom"] <= other["top"] + 1, "it covers neither map nor sentence"


def test_of_two_panes_in_a_column_the_walk_is_that_of_the_one_entered_last(page: Page) -> None:
    page.set_viewport_size({"width": 1024, "height": 768})
    open_stage(page, "/?policies=lazy,eager_at_enable,eager_in_clear,ring_lazy&ps=45000000000")
    labels = page.evaluate("window.mmuvizStage.stage.runs.map(({label}) => label)")
    loupes, panes = page.locator("[data-mmuviz=loupe] canvas"), page.locator("[data-mmuviz=pane]")
    for index in (2, 3, 0, 1):
        panes.nth(index).locator(".map-box, canvas").first.hover()
        label = re.compile(rf"^Page-table walk, {re.escape(labels[index])}: ")
        expect(loupes.nth(index % 2)).to_have_attribute("aria-label", label)
    panes.nth(3).locator("select").first.focus()
    expect(loupes.nth(1)).to_have_attribute("aria-label", re.compile(re.escape(labels[3])))
    expect(loupes.nth(0)).to_have_attribute("aria-label", re.compile(re.escape(labels[0])))


ENTRIES = """([span, shares]) => {
    const S = window.mmuvizStage;
    const run = {header: {cell_pages: span}, firstGfn: Float64Array.from([0, span])};
    const all = Uint8Array.from([...shares, 255, 0, 0, 0, 0, 0, 0, 0]);
    const entries = new S.WalkEntries(run, {at: () => all});
    return [entries.levelOf(0), entries.levelOf(1), entries.kindOfGib(0)];
}"""


@pytest.mark.parametrize("span", [512, 2048, 16384])
@pytest.mark.parametrize(
    ("shares", "level", "kind"),
    [
        ((239, 16, 0, 0), 1, "table"),
        ((1, 0, 254, 0), 2, "table"),
        ((254, 0, 1, 0), 2, "table"),
        ((0, 0, 0, 255), 3, "page"),
        ((255, 0, 0, 0), 0, "none"),
    ],
)
def test_an_entry_with_anything_below_it_is_not_empty(
    page: Page, span: int, shares: tuple[int, ...], level: int, kind: str
) -> None:
    """A table with a few entries, whatever part of memory a cell of the map stands for."""
    open_stage(page)
    assert page.evaluate(ENTRIES, [span, [*shares, 0, 0, 0, 0]]) == [level, 0, kind]


BITS = """() => {
    const [loupe] = window.mmuvizStage.stage.parts.map(({loupes}) => loupes).find(Boolean);
    let end = 0;
    const text = loupe.text.bind(loupe);
    loupe.text = (said, x, ...rest) => {
        const wide = text(said, x, ...rest);
        const part = loupe.ctx.textAlign === 'center' ? 0.5 : 1;
        end = Math.max(end, (x + part * loupe.ctx.measureText(said).width) * loupe.scale);
        return wide;
    };
    loupe.drawn = null;
    loupe.resize();
    loupe.draw(60e9);
    return [end, loupe.canvas.clientWidth, loupe.withBits];
}"""


def test_the_bits_below_a_walk_are_not_cut(page: Page) -> None:
    """Bits of arm64 are the longest; with three panes a walk has least room."""
    open_stage(page, "/?story=arm64-split-chunk&ps=60000000000")
    end, width, bits = page.evaluate(BITS)
    assert bits
    assert 0 < end <= width
