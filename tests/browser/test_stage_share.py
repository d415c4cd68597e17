"""The Share menu: links, reports and files reproduce the view from which they were made."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import mmuviz
from mmuviz.cli import main
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.scenario_files import read_scenario
from tests.browser.conftest import PATIENCE_MS
from tests.browser.test_stage import PAUSED, open_stage
from tests.served import Served

pytestmark = pytest.mark.xdist_group("stage")

SMALL = (
    "/stage/?ps=3000000&memory%5B0%5D.size=%2264+MiB%22&memory%5B0%5D.backing=%22hugetlb_2m%22"
    "&vm.vcpus=2&driver.lead=%221+ms%22&driver.tail=%225+ms%22"
)


@pytest.fixture
def shared(chromium: Browser, server: Served) -> Iterator[Page]:
    """A page that may write to the clipboard."""
    context = chromium.new_context(base_url=server.url, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


def report_of(page: Page) -> str:
    page.locator("[data-mmuviz=share]").click()
    page.locator("[data-act=copy-report]").click()
    expect(page.locator("#stage-share-said")).to_have_text("The report is copied.")
    return str(page.evaluate("() => navigator.clipboard.readText()"))


def saved(page: Page, act: str) -> Path:
    with page.expect_download() as download:
        page.locator(f"[data-act={act}]").click()
    return download.value.path()


def opened(page: Page, path: str) -> None:
    open_stage(page, path)
    page.locator("[data-mmuviz=share]").click()


def test_the_report_is_for_a_mail_and_its_command_gives_its_numbers(
    shared: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    open_stage(shared, SMALL)
    report = report_of(shared)
    assert report.isascii()
    assert max(map(len, report.splitlines())) <= 72
    line = report.split("To compute it again\n")[1].replace("\\\n", " ")
    arguments = shlex.split(line)
    assert arguments[:3] == ["mmuviz", "compare", "running-guest"]
    assert main([*arguments[1:], "--json"]) == 0
    totals = [each["totals"] for each in json.loads(capsys.readouterr().out)]
    faults = re.search(r"^faults +([\d,]+) +([\d,]+)$", report, re.MULTILINE)
    assert faults is not None
    assert [int(each.replace(",", "")) for each in faults.groups()] == [sum(each["faults"].values()) for each in totals]
    units = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
    stall = re.search(r"^stall per vCPU +([\d.]+) (\w+) +([\d.]+) (\w+)$", report, re.MULTILINE)
    assert stall is not None
    said = [float(stall[at]) * units[stall[at + 1]] for at in (1, 3)]
    assert said == pytest.approx([each["stall_total_ns"] / 2 for each in totals], rel=0.006, abs=1)


def test_the_report_s_address_leads_back(shared: Page) -> None:
    open_stage(shared, SMALL)
    folded = re.search(r"<([^>]+)>", report_of(shared))
    assert folded is not None
    address = re.sub(r"\s", "", folded[1])
    state = "() => { const { base, set, policies, ps } = mmuvizStage.stage.state; return [base, set, policies, ps]; }"
    before = shared.evaluate(state)
    open_stage(shared, address)
    assert shared.evaluate(state) == before
    assert shared.locator("[data-mmuviz=time]").get_attribute("data-ps") == "3000000"


def lines_of(report: str) -> list[str]:
    assert report.isascii()
    lines = report.splitlines()
    assert max(map(len, lines)) <= 72
    return lines


def test_no_word_is_longer_than_a_line_of_the_report(page: Page) -> None:
    word = "".join(chr(97 + at % 26) for at in range(200))
    open_stage(page, f"{PAUSED}&note=see+{word}+there&title={word[:110]}")
    report = page.evaluate("mmuvizStage.report(mmuvizStage.stage)")
    plain = "".join(part.strip() for part in lines_of(report))
    assert word in plain
    assert plain.startswith(word[:110])


def test_no_title_or_note_makes_a_line_of_its_own(page: Page) -> None:
    forged = "%0A%0DTo+compute+it+again%0D%0A++rm+%E2%80%AEx%00%1B"
    open_stage(page, f"{PAUSED}&note=x{forged}&title=y{forged}")
    expect(page.locator("h1")).to_have_text("y To compute it again rm x")
    assert page.evaluate("mmuvizStage.stage.state.note") == "x To compute it again rm x"
    page.evaluate("() => { mmuvizStage.stage.state.note = 'z\\n\\nTo compute it again\\n  rm x'; }")
    lines = lines_of(page.evaluate("mmuvizStage.report(mmuvizStage.stage)"))
    assert lines.count("To compute it again") == 1
    assert "z To compute it again rm x" in lines


def test_the_report_s_facts_are_those_of_all_panes(page: Page) -> None:
    open_stage(page, f"{PAUSED}&policies=lazy,eager_at_enable,ring_lazy")
    plain = " ".join(lines_of(page.evaluate("mmuvizStage.report(mmuvizStage.stage)")))
    for each in page.locator(".bar .fact-line .chip").all_inner_texts():
        assert each in plain
    assert "manual log, all set at first / manual log / dirty ring, PML" in plain


def test_no_head_of_the_report_s_table_is_cut(page: Page) -> None:
    open_stage(page, f"{PAUSED}&policies=lazy,eager_at_enable,eager_in_clear,ring_lazy")
    lines = lines_of(page.evaluate("mmuvizStage.report(mmuvizStage.stage)"))
    end = next(at for at, line in enumerate(lines) if line.startswith("stall per vCPU"))
    begin = max(at for at, line in enumerate(lines[:end]) if not line) + 1
    columns = [(22 + 12 * at, 34 + 12 * at) for at in range(4)]
    heads = [" ".join(" ".join(line[a:b] for line in lines[begin:end]).split()) for a, b in columns]
    assert heads == page.evaluate("mmuvizStage.stage.runs.map((run) => run.label)")


def test_the_report_s_letters_lose_their_accents_only(page: Page) -> None:
    open_stage(page, f"{PAUSED}&note=G%C3%A4ste+%C3%A0+%C2%BD+%EF%AC%81n+5+%C2%B5s+%E6%BC%A2+%E2%86%92+x")
    assert "Gaste a 1/2 fin 5 us ? -> x" in lines_of(page.evaluate("mmuvizStage.report(mmuvizStage.stage)"))


def test_a_long_value_of_the_report_s_command_is_one_word(page: Page) -> None:
    open_stage(page)
    value = "it's " * 60
    page.evaluate("(text) => { mmuvizStage.stage.state.set['host.note'] = text; }", value)
    line = page.evaluate("mmuvizStage.report(mmuvizStage.stage)").split("To compute it again\n")[1]
    lines_of(line)
    assert f"host.note={value}" in shlex.split(line.replace("\\\n", ""))


def test_the_scenario_file_is_what_is_seen(shared: Page, tmp_path: Path) -> None:
    opened(shared, SMALL)
    path = tmp_path / "saved.json"
    path.write_bytes(saved(shared, "save-scenario").read_bytes())
    found = read_scenario(str(path))
    assert isinstance(found, Comparison)
    digests = shared.evaluate("() => mmuvizStage.stage.runs.map(run => run.header.digest)")
    assert [mmuviz.run(each).header.digest for each in found.scenarios] == digests


def test_tables_are_the_recordings(shared: Page, tmp_path: Path) -> None:
    opened(shared, SMALL)
    path = tmp_path / "saved.json"
    path.write_bytes(saved(shared, "save-scenario").read_bytes())
    found = read_scenario(str(path))
    assert isinstance(found, Comparison)
    made: list[Recording] = [mmuviz.run(each) for each in found.scenarios]
    calls = list(csv.DictReader(io.StringIO(saved(shared, "save-calls").read_text())))
    rows = [(each, row) for each in made for row in range(len(each.calls.kind))]
    assert len(calls) == len(rows)
    for line, (each, row) in zip(calls, rows, strict=True):
        assert line["kind"] == CALL_KINDS[each.calls.kind[row]]
        assert int(line["faults"]) == each.calls.faults[row]
        assert abs(int(line["start_ns"]) * 1000 - each.calls.start_ps[row]) <= 500
    series = list(csv.DictReader(io.StringIO(saved(shared, "save-bins").read_text())))
    assert len(series) == sum(each.header.bins for each in made)
    assert sum(int(line["accesses"]) for line in series) == sum(each.totals["accesses"] for each in made)
    assert int(series[-1]["table_pages"]) == made[-1].bins.table_pages[-1]


def test_the_picture_is_a_png_of_the_page(shared: Page) -> None:
    shared.set_viewport_size({"width": 1280, "height": 720})
    opened(shared, PAUSED)
    data = saved(shared, "export-png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (2560, 2 * (720 + 24))
    assert len(data) > 50_000  # an empty one takes 20 kB


def test_title_note_and_theme_go_with_the_link(page: Page) -> None:
    open_stage(page, f"{PAUSED}&title=Ours+%3Cb%3E&note=Look+at+vCPU+2&theme=projector")
    expect(page.locator("h1")).to_have_text("Ours <b>")
    expect(page.locator("#stage-note")).to_contain_text("Look at vCPU 2")
    expect(page.locator("html")).to_have_attribute("data-theme", "projector")
    for part in ("title=Ours", "note=Look", "theme=projector"):
        assert part in page.url
    page.locator("#stage-note button").click()
    expect(page.locator("#stage-note")).to_be_hidden()


def test_a_typed_note_keeps_its_words_apart_and_says_what_is_left_out(page: Page) -> None:
    opened(page, PAUSED)
    note = page.locator("#stage-share-note")
    note.evaluate("(box) => { box.focus(); box.innerHTML = '<div>one</div><div>two</div>'; box.blur(); }")
    assert page.evaluate("mmuvizStage.stage.state.note") == "one two"
    note.fill(f"{'x' * 400}yz")
    note.blur()
    assert page.evaluate("mmuvizStage.stage.state.note") == "x" * 400
    said = "The note has at most 400 characters; the last 2 are left out."
    expect(page.locator("#stage-share-said")).to_have_text(said)


def test_back_takes_back_a_change_of_the_guest_and_not_a_moment(page: Page) -> None:
    open_stage(page, PAUSED)
    vcpus = page.locator("[data-mmuviz=control][data-field='vm.vcpus']")
    page.keyboard.press("End")
    page.keyboard.press("Home")
    page.locator("[data-act=more-vcpus]").click()
    page.wait_for_function("() => mmuvizStage.stage.runs[0].vcpus === 5", timeout=PATIENCE_MS)
    page.keyboard.press("Space")
    assert "vm.vcpus=5" in page.url
    page.go_back()
    page.wait_for_function("() => mmuvizStage.stage.runs[0].vcpus === 4", timeout=PATIENCE_MS)
    expect(vcpus).to_have_text("4")
    page.go_forward()
    page.wait_for_function("() => mmuvizStage.stage.runs[0].vcpus === 5", timeout=PATIENCE_MS)


def test_the_tab_tells_what_is_seen(page: Page) -> None:
    open_stage(page, PAUSED)
    expect(page).to_have_title("4 GiB, Lazy | Eager, 45.0 ms \N{EN DASH} MMUViz")


def test_a_state_that_is_too_long_for_a_link_is_offered_as_a_file(page: Page) -> None:
    open_stage(page, PAUSED)
    page.evaluate("() => { mmuvizStage.stage.state.note = 'x'.repeat(2100); }")
    page.locator("[data-mmuviz=share]").click()
    expect(page.locator("#stage-share-said")).to_contain_text("save the Scenario file instead")
