"""Files that are opened: scenarios, recordings of real KVM and Recordings; and those that are none of them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import mmuviz
from tests.browser.conftest import Watch
from tests.browser.test_stage import forget_answers, open_stage

pytestmark = pytest.mark.xdist_group("stage")

SMALL = {
    "title": "How long does a small guest stall?",
    "vm": {"kernel": "6.6", "vcpus": 2},
    "memory": [{"size": "16 MiB", "backing": "hugetlb_2m"}],
    "workload": {"pattern": "zipf", "rate_hz": 1_000_000},
    "driver": {"kind": "enable_only", "lead": "1 ms", "tail": "3 ms"},
}
CARD = "#stage-opened"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Recordings of a small guest under two policies, as files."""
    folder = tmp_path_factory.mktemp("recordings")
    found: dict[str, Path] = {}
    for eager in (False, True):
        vm = {**SMALL["vm"], "eager_page_split": eager}  # type: ignore[dict-item]  # SMALL has parts of one type each
        name = f"{'eager' if eager else 'lazy'}.mmuviz"
        found[name] = folder / name
        mmuviz.run(mmuviz.Scenario.model_validate({**SMALL, "vm": vm})).save(found[name])
    return found


def choose(page: Page, *files: Path) -> None:
    page.locator("input[type=file]").set_input_files([str(each) for each in files])


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_recording_is_shown_as_it_is_and_beside_what_was_shown(page: Page, made: dict[str, Path]) -> None:
    open_stage(page)
    before = page.evaluate("mmuvizStage.stage.runs.map((run) => run.hash)")
    choose(page, made["lazy.mmuviz"])
    page.wait_for_function("() => mmuvizStage.stage.runs.length === 1")
    found = mmuviz.load(made["lazy.mmuviz"])
    assert page.evaluate("mmuvizStage.stage.runs[0].hash") == found.hash
    expect(page.locator(CARD)).to_contain_text(f"its content fits its hash {found.hash[:12]}")
    page.locator("[data-act=open-beside]").click()
    page.wait_for_function("() => mmuvizStage.stage.runs.length === 3")
    assert page.evaluate("mmuvizStage.stage.runs.map((run) => run.hash)") == [*before, found.hash]


def test_recordings_that_are_opened_together_stand_beside_each_other(page: Page, made: dict[str, Path]) -> None:
    open_stage(page)
    choose(page, *made.values())
    page.wait_for_function("() => mmuvizStage.stage.runs[0].label === 'lazy'")
    assert page.evaluate("mmuvizStage.stage.runs.map((run) => run.label)") == ["lazy", "eager"]
    expect(page.locator("[data-mmuviz=pane]:visible")).to_have_count(2)
    assert "story" not in page.url


def test_a_scenario_is_run(page: Page, tmp_path: Path) -> None:
    open_stage(page)
    choose(page, written(tmp_path, "small.json", json.dumps(SMALL)))
    page.wait_for_function("() => mmuvizStage.stage.runs[0].header.scenario.vm.kernel === '6.6'")
    expect(page.locator("h1")).to_have_text(str(SMALL["title"]))
    expect(page.locator(CARD)).to_contain_text("small.json is shown.")
    link = page.url
    open_stage(page, link)
    page.wait_for_function("() => mmuvizStage.stage.runs[0].header.scenario.vm.kernel === '6.6'")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bad.toml", b"[vm]\nkernel = ", "bad.toml: "),
        ("wrong.json", b'{"vm": {"vcpus": 0}, "memory": [{"size": "1 GiB"}]}', "vm.vcpus"),
        ("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\0", "neither a scenario (TOML or JSON) nor a Recording"),
        ("cut.mmuviz", b"\x1f\x8b\x08\0\0\0\0\0", "cut short or damaged"),
        ("long.toml", b"# " + b"x" * (300 << 10), "a scenario here at most 256 KiB"),
    ],
)
def test_what_is_no_such_file_is_refused_in_a_line_and_changes_nothing(
    page: Page, tmp_path: Path, watch: Watch, name: str, content: bytes, said: str
) -> None:
    open_stage(page)
    before = page.evaluate("mmuvizStage.stage.runs.map((run) => run.hash)")
    (tmp_path / name).write_bytes(content)
    choose(page, tmp_path / name)
    expect(page.locator(CARD)).to_contain_text(said)
    assert page.evaluate("mmuvizStage.stage.runs.map((run) => run.hash)") == before
    forget_answers(watch)


def test_a_recording_with_one_byte_changed_is_refused(page: Page, made: dict[str, Path], tmp_path: Path) -> None:
    open_stage(page)
    content = bytearray(made["lazy.mmuviz"].read_bytes())
    content[len(content) // 2] ^= 0x40
    (tmp_path / "changed.mmuviz").write_bytes(bytes(content))
    choose(page, tmp_path / "changed.mmuviz")
    expect(page.locator(CARD)).to_contain_text("changed.mmuviz: ")
    assert page.evaluate("mmuvizStage.stage.runs.length") == 2


def test_a_file_is_dropped_on_the_page(page: Page, made: dict[str, Path]) -> None:
    open_stage(page)
    data = base64.b64encode(made["eager.mmuviz"].read_bytes()).decode()
    drop = """(data) => {
        const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([bytes], "eager.mmuviz"));
        document.body.dispatchEvent(new DragEvent("dragover", { dataTransfer, bubbles: true, cancelable: true }));
        const seen = !document.getElementById("stage-drop").hidden;
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        return [seen, document.getElementById("stage-drop").hidden];
    }"""
    assert page.evaluate(drop, data) == [True, True]
    page.wait_for_function("() => mmuvizStage.stage.runs.length === 1")
    assert page.evaluate("mmuvizStage.stage.runs[0].policy") != ""


def test_back_leads_from_a_file_to_the_story_and_forward_to_the_file(page: Page, made: dict[str, Path]) -> None:
    open_stage(page)
    choose(page, made["lazy.mmuviz"])
    page.wait_for_function("() => mmuvizStage.stage.runs.length === 1")
    page.go_back()
    page.wait_for_function("() => mmuvizStage.stage.runs.length === 2")
    page.go_forward()
    page.wait_for_function("() => mmuvizStage.stage.runs.length === 1")
    assert page.evaluate("mmuvizStage.stage.runs[0].label") == "lazy"
