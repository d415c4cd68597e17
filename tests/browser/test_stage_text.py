"""Sentences and the summary of the stage: what they say is what the Recording has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

from mmuviz.exports.migration_text import lost_cause
from mmuviz.recording.schema import CALL_KINDS, CAUSES, FAULT_PATHS
from tests.browser.stage_charts import PS, SETS, opened_charts
from tests.browser.stage_runs import NAMES, recording_of
from tests.browser.stage_scripts import Stage

pytestmark = pytest.mark.xdist_group("stage")


@pytest.fixture(scope="module")
def stage(chromium: Browser, repository: Path) -> Iterator[Stage]:
    with opened_charts(chromium, repository) as stage:
        yield stage


# ---- sentences


def _sentences(stage: Stage, times: Sequence[float]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.run("times => times.map(ps => S.sentence(r, ps))", list(times))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_there_is_one_short_plain_sentence_at_any_time(stage: Stage, name: str) -> None:
    stage.open(name)
    for said in _sentences(stage, np.linspace(0, recording_of(name).header.end_ps, 300).tolist()):
        assert said["text"] == "".join(part["text"] for part in said["parts"])
        assert re.fullmatch(r"[A-Z][^<>]{10,85}\.", said["text"]), said["text"]
        assert not re.search(r"undefined|NaN|null|-\d| ,|\s\s", said["text"] + said["detail"])
        if said["kernelFunction"]:
            assert said["href"] == f"https://elixir.bootlin.com/linux/v6.12/A/ident/{said['kernelFunction']}"


def test_the_sentence_says_what_happens(stage: Stage) -> None:
    lazy, eager = recording_of("lazy"), recording_of("eager")
    stage.open("lazy")
    mid = [each * lazy.header.bin_ps for each in range(lazy.header.bins // 3, 2 * lazy.header.bins // 3)]
    for time_ps, said in zip(mid, _sentences(stage, mid), strict=True):
        bins = slice(time_ps // lazy.header.bin_ps - 2, time_ps // lazy.header.bin_ps + 2)
        faults = sum(int(lazy.bins[f"faults_{kind}"][bins].sum()) for kind in FAULT_PATHS)
        per_ms = faults / lazy.header.vcpus / (4 * lazy.header.bin_ps / PS["ms"])
        if sum(int(lazy.bins[f"stall_{cause}_ps"][bins].sum()) for cause in CAUSES) < 2 * lazy.header.bin_ps:
            continue  # hardly anything stalls there
        found = re.fullmatch(r"Each vCPU stops at every page it dirties: ([\d,]+) times a ms\.", said["text"])
        assert found is not None, said["text"]
        assert int(found[1].replace(",", "")) == pytest.approx(per_ms, rel=0.051)
        assert said["kernelFunction"] == "fast_page_fault"
    stage.open("eager")
    call = np.flatnonzero(eager.calls.kind == CALL_KINDS.index("enable"))[0]
    start, end = int(eager.calls.start_ps[call]), int(eager.calls.end_ps[call])
    first, last = _sentences(stage, [start + (end - start) // 20, end - (end - start) // 20])
    assert first["kernelFunction"] == "tdp_mmu_split_huge_pages_root"
    assert f"of {int(eager.bins.splits_enable.sum())}" in first["text"]
    assert last["kernelFunction"] == "clear_dirty_gfn_range"


# ---- the summary


@pytest.mark.parametrize("names", [*SETS[1:], ("without logging", "memslots")])
def test_the_summary_has_the_totals(stage: Stage, names: tuple[str, ...]) -> None:
    stage.open(*names)
    stage.run("() => document.body.replaceChildren(S.summary(runs))")
    values = stage.run(
        """() => [...document.querySelectorAll('.summary-cell')].map(({dataset, children}) => {
            const bar = [...children].find(each => each.matches('.summary-bar'));
            return [dataset.measure, Number(dataset.run), Number(bar.dataset.value)];
        })"""
    )
    found = {(measure, run): value for measure, run, value in values}
    for run, name in enumerate(names):
        totals, vcpus = recording_of(name).totals, recording_of(name).header.vcpus
        ioctl_ns = sum(each["total_ns"] for each in totals["ioctls"].values())
        assert found["stalled", run] == pytest.approx(totals["stall_total_ns"] / vcpus, abs=1)
        assert found["slower-writes", run] == pytest.approx(totals["slow_writes_ns"] / vcpus, abs=1)
        assert found["ioctl", run] == pytest.approx(ioctl_ns, abs=3)
        assert found["page-tables", run] == totals["table_bytes_added"]
    assert len(found) == 4 * len(names)


def test_the_summary_says_first_what_was_lost(stage: Stage) -> None:
    stage.open("lazy", "eager")
    stage.run(
        """() => { runs[1].lostMarks = [
            {kind: 'lost', cause: 'A cause.', commit: '', gfns: [0x40400, 0x40401]},
            {kind: 'lost', cause: 'A cause.', commit: '', gfns: [0x40401]},
            {kind: 'whole', cause: 'Another.', commit: '', gfns: [0x40600]},
        ]; document.body.replaceChildren(S.summary(runs)); }"""
    )
    title = stage.run("document.querySelector('.summary-title').textContent").replace("\u00a0", " ")
    assert title.startswith("eager lost 2 pages: written, never reported by GET_DIRTY_LOG. lazy: ")
    assert stage.run("[...document.querySelectorAll('.summary-lost')].map(each => each.textContent)") == ["A cause."]
    numbers = (
        "[...document.querySelectorAll('[data-measure=lost-pages] .summary-number')].map(each => each.textContent)"
    )
    assert stage.run(numbers) == ["0pages", "2pages"]
    stage.run("() => { delete runs[1].lostMarks; document.body.replaceChildren(S.summary(runs)); }")
    assert stage.run("document.querySelectorAll('[data-measure=lost-pages], .summary-lost').length") == 0


def test_pages_that_a_migration_lost_are_said_first(stage: Stage) -> None:
    stage.open("lazy")
    stage.run(
        """() => { r.header.migration = {outcome: 'completed', start_ps: 0, stop_ps: 5e9, end_ps: 9e9, lost_pages: 1};
            document.body.replaceChildren(S.summary(runs)); }"""
    )
    title = stage.run("document.querySelector('.summary-title').textContent").replace("\u00a0", " ")
    assert title.startswith("lazy lost 1 page: written, never reported by GET_DIRTY_LOG, stale at the destination. ")
    [cause] = stage.run("[...document.querySelectorAll('.summary-lost')].map(each => each.textContent)")
    for part in (
        "64 pages of a bitmap end on",
        "kvm_arch_mmu_enable_log_dirty_pt_masked()",
        "whose base is a multiple of",
    ):
        assert part in cause
        assert part in lost_cause("6.12")


def test_bars_of_the_summary_have_one_scale(stage: Stage) -> None:
    stage.open("lazy", "eager")
    stage.run("() => document.body.replaceChildren(S.summary(runs))")
    bars = stage.run(
        """() => [...document.querySelectorAll('.summary-bar')].filter(bar => !bar.classList.contains('c-map'))
            .map(bar => [Number(bar.dataset.value), bar.querySelector('i').getBoundingClientRect().width])"""
    )
    longest = max(bars)
    for value, width in bars:
        shown = 0 if value == 0 else max(2, longest[1] * value / longest[0])
        assert width == pytest.approx(shown, abs=0.5)
    sets = stage.run(
        "() => [...document.querySelectorAll('button[data-set]')].map(each => JSON.parse(each.dataset.set))"
    )
    assert {"memory[0].backing": "hugetlb_2m"} in sets
