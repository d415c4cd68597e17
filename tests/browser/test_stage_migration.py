"""A migration on the stage: its fields and their refusals, its phases, its charts, and what was sent on the map."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Page, expect

import mmuviz
from mmuviz.cli import main
from mmuviz.core.errors import MmuvizError
from mmuviz.core.pages import PAGE_BYTES
from mmuviz.costs.hosts import PROFILES
from mmuviz.engine.choices.units import rate_text, time_text
from mmuviz.exports.migration_answer import migration_answer
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS, FULL_SHARE
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.evidence import packaged_evidence
from mmuviz.studies.guests import MIGRATING
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
WINDOW_PS = 100_000_000_000
PHASES = ("lead", "setup", "round", "downtime", "postcopy", "interval", "tail")
SEGMENTS = "#stage-segments .segment"


@pytest.fixture(scope="module")
def made() -> list[Recording]:
    """The story, run by Python."""
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


# Charts


def at(made_: Recording, column: npt.NDArray[Any], ps: float) -> float:
    """A sum over bins at a time: a bin's part rises evenly."""
    header = made_.header
    edges = np.minimum(np.arange(header.bins + 1) * header.bin_ps, header.end_ps).astype(float)
    return float(np.interp(ps, edges, np.concatenate([[0], np.cumsum(column)])))


def window_rate(made_: Recording, column: npt.NDArray[Any], ps: int) -> float:
    """A sum's rise a second over the whole bins that end in the 100 ms before the last bin's end."""
    header = made_.header
    last = header.bins if ps >= header.end_ps else ps // header.bin_ps
    first = max(0, last - max(1, round(WINDOW_PS / header.bin_ps)))
    took = min(last * header.bin_ps, header.end_ps) - first * header.bin_ps
    return float(column[first:last].sum()) / took * 1e12 if took > 0 else 0.0


def left_at(made_: Recording, ps: int) -> float:
    """What the last sync left, less what was sent since."""
    rounds, ended = made_.rounds, made_.header.migration
    assert ended is not None
    begun = np.flatnonzero(rounds.start_ps <= ps)
    if ps >= ended.end_ps or not len(begun):
        return 0.0
    row = int(begun[-1])
    sent = made_.bins.bytes_sent
    start, whole = at(made_, sent, rounds.start_ps[row]), at(made_, sent, rounds.end_ps[row])
    share = (at(made_, sent, ps) - start) / (whole - start) if whole > start else 0.0
    return float(rounds.remaining_pages[row] - min(share, 1.0) * rounds.pages_sent[row]) * PAGE_BYTES


def values(page: Page, name: str) -> list[float]:
    found = page.locator(f'#stage-charts [data-name="{name}"]').get_attribute("data-values")
    assert found is not None
    return [float(each) for each in re.findall(r"[-\d.e+]+", found)]


def open_charts(page: Page, path: str = PATH) -> None:
    open_stage(page, path)
    page.keyboard.press("c")
    page.wait_for_function("() => Number(document.querySelector('#stage-charts').dataset.drawn) > 5")


@pytest.mark.parametrize("ps", [0, 100_000_000_000, PS, 10**18])
def test_charts_have_the_numbers_of_the_recordings(page: Page, made: list[Recording], ps: int) -> None:
    open_charts(page)
    page.evaluate("ps => mmuvizStage.stage.goTo(ps)", ps)
    now = page.evaluate("mmuvizStage.stage.clock.now")
    ends = [min(now, each.header.end_ps) for each in made]
    both = list(zip(made, ends, strict=True))
    page.wait_for_function("() => mmuvizStage.moreCharts.charts[0].place.dataset.values !== undefined")
    expected = {
        "sent": [at(each, each.bins.bytes_sent, end) for each, end in both],
        "remaining": [left_at(each, end) for each, end in both],
        "rates": [window_rate(each, each.bins.dirtied_pages, end) * PAGE_BYTES for each, end in both],
    }
    for name, numbers in expected.items():
        assert values(page, name) == pytest.approx(numbers, rel=1e-9, abs=1), name
    sending = page.evaluate(
        "ps => mmuvizStage.stage.runs.map((run) => mmuvizStage.sendRate(run, Math.min(ps, run.endPs)))", now
    )
    assert sending == pytest.approx([window_rate(each, each.bins.bytes_sent, end) for each, end in both])


def test_the_last_clear_is_the_latency_that_is_shown(page: Page, made: list[Recording]) -> None:
    open_charts(page)
    kind = CALL_KINDS.index("clear")
    expected = []
    for each in made:
        rows = np.flatnonzero((each.calls.kind == kind) & (each.calls.end_ps <= PS))
        expected.append(int((each.calls.end_ps - each.calls.start_ps)[rows[-1]]) if len(rows) else 0)
    assert values(page, "clears") == pytest.approx(expected)


def crossing(made_: Recording) -> int | None:
    """The end of the bin from which on less becomes dirty than is sent, until the guest stops."""
    header, ended = made_.header, made_.header.migration
    assert ended is not None
    stop = ended.stop_ps if ended.stop_ps is not None else 0
    found: int | None = None
    for frame in range(int(made_.rounds.start_ps[0]) // header.bin_ps + 1, header.bins + 1):
        ps = min(frame * header.bin_ps, header.end_ps)
        if ps > stop:
            break
        dirty = window_rate(made_, made_.bins.dirtied_pages, ps) * PAGE_BYTES
        if dirty >= window_rate(made_, made_.bins.bytes_sent, ps):
            found = None
        elif found is None:
            found = ps
    return found


@pytest.mark.parametrize("story", [STORY, "migration-too-hot"])
def test_the_crossing_of_dirty_rate_and_bandwidth_is_marked(page: Page, story: str) -> None:
    source = read_scenario(story)
    assert isinstance(source, Comparison)
    expected = [crossing(mmuviz.run(each)) for each in source.scenarios]
    open_charts(page, f"/?story={story}&ps={PS}")
    shown = page.evaluate("mmuvizStage.stage.runs.map((run) => mmuvizStage.rateCrossing(run)?.ps ?? null)")
    assert shown == expected
    marks = page.evaluate(
        "mmuvizStage.moreCharts.charts.find(({measure}) => measure.name === 'rates').plotPlace.data"
        ".filter(({mode}) => mode === 'markers').map(({x}) => x[0])"
    )
    assert marks == [each for each in expected if each is not None]


def test_progress_stands_beside_that_of_the_same_guest_without_migration(page: Page, made: list[Recording]) -> None:
    open_charts(page)
    page.wait_for_function("() => mmuvizStage.stage.runs.every((run) => run.without)", timeout=PATIENCE_MS)
    document = made[0].header.document()["scenario"]
    longest = max(each.header.end_ps for each in made)
    document["driver"] = {"kind": "without_logging", "duration": -(-longest // 1000)}
    alone = mmuviz.run(mmuviz.Scenario.model_validate(document))
    shown = page.evaluate("ps => mmuvizStage.stage.runs.map((run) => run.without.accesses(ps))", PS)
    assert shown == pytest.approx([at(alone, alone.bins.accesses, PS)] * len(made))
    expect(page.locator('#stage-charts [data-name="progress"] .more-also')).to_contain_text("without migration")


def test_the_table_behind_what_is_left_is_that_of_the_rounds(page: Page, made: list[Recording]) -> None:
    open_charts(page)
    page.locator('#stage-charts [data-name="remaining"] .chart-tool').click()
    rows = page.locator("#stage-table tbody tr")
    assert rows.count() == sum(len(each.rounds.round) for each in made)
    shown = rows.evaluate_all(
        "all => all.map((row) => [...row.querySelectorAll('[data-value]')].map(({dataset}) => Number(dataset.value)))"
    )
    expected = [
        [
            int(each.rounds.round[row]),
            int(each.rounds.start_ps[row]),
            int(each.rounds.bytes_sent[row]),
            int(each.rounds.resent_pages[row]) * PAGE_BYTES,
            int(each.rounds.new_dirty_pages[row]) * PAGE_BYTES,
            int(each.rounds.remaining_pages[row]) * PAGE_BYTES,
            int(each.rounds.dirty_rate_pps[row]) * PAGE_BYTES,
            int(each.rounds.bandwidth_bytes_per_s[row]),
            int(each.rounds.threshold_bytes[row]),
            int(each.rounds.expected_downtime_ps[row]),
        ]
        for each in made
        for row in range(len(each.rounds.round))
    ]
    assert shown == expected


# The map


@pytest.mark.parametrize("ps", [0, 300_000_000_000, PS, 880_000_000_000])
def test_cells_show_what_the_recording_says_was_sent(page: Page, made: list[Recording], ps: int) -> None:
    open_stage(page, f"/?story={STORY}&ps={ps}")
    for index, each in enumerate(made):
        frame = each.header.bins if ps >= each.header.end_ps else ps // each.header.bin_ps
        shares = np.zeros((len(each.cell_map.pages), 2), dtype=int)
        for row in range(int(each.sent_cells.frame_start[frame + 1])):
            shares[each.sent_cells.cell[row]] = each.sent_cells.shares[row]
        shown = page.evaluate(
            "([index, ps]) => { const run = mmuvizStage.stage.runs[index];"
            " const found = mmuvizStage.sentAt(run, Math.min(ps, run.endPs));"
            " return [[...found.sent], [...found.again]]; }",
            [index, ps],
        )
        assert shown == [shares[:, 0].tolist(), shares[:, 1].tolist()]


def test_a_strip_never_hides_a_dirty_page(page: Page) -> None:
    """Where the lowest dot of a column of a cell is dirty, no strip lies on it."""
    open_stage(page, PATH)
    strip = "([geometry, sent, again, dirty]) => mmuvizStage.sentStrip(geometry, sent, again, dirty)"
    for dots, step in ((2, 3), (5, 3), (8, 3)):
        geometry = {"dots": dots, "step": step, "tile": dots * step - 1}
        for dirty in range(FULL_SHARE + 1):
            dirty_dots = page.evaluate("([share, dots]) => mmuvizStage.dotsOf(share, dots)", [dirty, dots * dots])
            found = page.evaluate(strip, [geometry, FULL_SHARE, FULL_SHARE, dirty])
            assert found["from"] == dirty_dots // dots * step


def test_what_the_colours_mean_stands_under_the_map(page: Page) -> None:
    open_stage(page, PATH)
    expect(page.locator(".sent-key:visible").first).to_contain_text("sent again")
    page.goto("/?ps=45000000000")
    expect(page.locator("[data-mmuviz=pane]:not([hidden])").first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator(".sent-key")).to_have_count(0)


# The operator's form


def small_form(page: Page) -> None:
    open_stage(page, "/?ps=45000000000")
    page.locator("#stage-guest").click()
    for field, text in (("vm.vcpus", "2"), ("memory[0].size", "64 MiB"), ("driver.multifd_channels", "0")):
        page.locator(f'#stage-guests [data-field="{field}"]').fill(text)
    page.locator('#stage-guests [data-field="memory[0].backing"]').select_option("thp")


def test_the_form_ends_in_the_sentence_that_python_says(page: Page) -> None:
    small_form(page)
    page.locator("#stage-guests [data-act=guest-answer]").click()
    card = page.locator("#stage-answer")
    expect(card).to_be_visible()
    asked = {
        "base": "running-guest",
        **page.evaluate("({set: mmuvizStage.stage.state.set, policies: mmuvizStage.stage.state.policies})"),
    }
    made_ = mmuviz.run(request_of(asked).scenarios[0])
    sentence = migration_answer(made_, packaged_evidence()["uncertainty"])["sentence"]
    expect(page.locator("#stage-answer-sentence")).to_have_text(sentence)
    assert "answer=on" in page.url
    assert len(page.url) <= 2000
    page.reload()
    expect(page.locator("#stage-answer-sentence")).to_have_text(sentence)
    report = page.evaluate("mmuvizStage.report(mmuvizStage.stage)")
    assert report.isascii()
    assert max(len(line) for line in report.splitlines()) <= 72
    plain = " ".join(report.split())
    assert " ".join(sentence.replace("±", "+-").replace("µ", "u").split()) in plain
    assert "mmuviz compare running-guest " in plain.replace("\\ ", "")


def test_the_report_s_command_computes_the_same(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    small_form(page)
    page.locator("#stage-guests [data-act=guest-answer]").click()
    expect(page.locator("#stage-answer")).to_be_visible()
    words = shlex.split(page.evaluate("mmuvizStage.compareLine(mmuvizStage.stage)"))
    assert words[:3] == ["mmuviz", "compare", "running-guest"]
    assert main([*words[1:], "--json"]) == 0
    hashes = [each["hash"] for each in json.loads(capsys.readouterr().out)]
    assert hashes == page.evaluate("mmuvizStage.stage.runs.map((run) => run.hash)")


def test_presets_are_those_of_python_and_marked_where_extrapolated(page: Page) -> None:
    open_stage(page, "/?ps=45000000000")
    page.locator("#stage-guest").click()
    presets = page.locator("#stage-guests [data-guest]")
    assert presets.all_inner_texts() == [each.title for each in MIGRATING]
    for index, guest in enumerate(MIGRATING):
        presets.nth(index).click()
        expect(page.locator("#stage-guest-says")).to_have_text(guest.says)
        wanted = page.evaluate("mmuvizStage.guestForm.wanted()")
        ours, theirs = (request_of({"base": "running-guest", **each}).scenarios for each in (wanted, guest.request()))
        assert [each.digest() for each in ours] == [each.digest() for each in theirs]
        assert ("Extrapolated" in guest.says) == PROFILES[ours[0].host.profile].extrapolated


@pytest.mark.parametrize(
    ("field", "typed", "rule"),
    [
        ("vm.vcpus", "0", "vm.vcpus"),
        ("memory[0].size", "lots", "memory[0].size"),
        ("driver.downtime_limit", "3", "driver.downtime_limit"),
        ("workload.hot_percent", "200", "workload.hot_percent"),
    ],
)
def test_the_form_refuses_at_its_field(page: Page, watch: Watch, field: str, typed: str, rule: str) -> None:
    small_form(page)
    box = page.locator(f'#stage-guests [data-field="{field}"]')
    box.fill(typed)
    box.press("Enter")
    row = page.locator("#stage-guests .guest-row", has=page.locator(f'[data-field="{field}"]'))
    expect(row.locator(".field-refused")).to_contain_text(rule)
    expect(page.locator("#stage-guests")).to_be_visible()
    expect(page.locator("#stage-answer")).to_be_hidden()
    forget_answers(watch)


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
