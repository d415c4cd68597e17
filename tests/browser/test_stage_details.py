"""The Details drawer, labels of panes and published dots show the values that Python computes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from playwright.sync_api import Browser

import mmuviz
from mmuviz.core.pages import PAGE_BYTES
from mmuviz.costs.hosts import PROFILES
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS, CAUSES, IOCTL_COUNT
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.evidence import packaged_evidence
from mmuviz.studies.packaged_scenarios import ORDER
from mmuviz.studies.scenario_files import read_scenario
from mmuviz.studies.scenario_text import parsed
from tests.browser.chooser import chooser
from tests.browser.stage_runs import MIB, frame_times, recording_of, replayed
from tests.browser.stage_scripts import Stage, opened_stage
from tests.recording.made_recordings import made_recording

pytestmark = pytest.mark.xdist_group("stage")

SCRIPTS: Final = (
    "numbers",
    "ribbon-text",
    "map-layout",
    "published",
    "details-dom",
    "details-calls",
    "details-counters",
    "details-map",
    "details-toml",
    "details-origins",
    "details-evidence",
    "badge",
)
PAUSED: Final = "/?ps=45000000000"
HOSTILE: Final = "<img src=x onerror=document.title='hit'>\"'''\n\\ \x7f \N{GRINNING FACE} </pre><script>1</script>"


@pytest.fixture(scope="module")
def stage(chromium: Browser, repository: Path) -> Iterator[Stage]:
    with opened_stage(chromium, repository) as stage:
        for name in SCRIPTS:
            stage.page.add_script_tag(path=stage.assets / f"{name}.js")
        evidence = packaged_evidence()
        stage.run(
            """known => {
                const drawer = Object.assign(document.createElement('div'), {id: 'stage-details'});
                Object.assign(drawer.dataset, known);
                document.body.append(drawer);
            }""",
            {
                "exact": "1036",
                "recordings": "1036",
                "mmus": "direct_shadow tdp",
                "uncertainty": json.dumps(evidence["uncertainty"]),
            },
        )
        yield stage


def random_recordings() -> dict[str, Recording]:
    """Recordings of random Scenarios."""
    chosen = chooser("details")
    found: dict[str, Recording] = {}
    drivers: list[dict[str, Any]] = [
        {"kind": "enable_only", "lead": "1 ms", "tail": "2 ms"},
        {"kind": "dirty_log_perf_test", "iterations": 2},
        {"kind": "live_rounds", "lead": "1 ms", "rounds": 2, "interval": "1 ms", "clear_chunk": MIB, "disable": True},
    ]
    for index, driver in enumerate(2 * drivers):
        mode = ("manual", "legacy", "manual_initially_set")[int(chosen.integers(3))]
        if driver["kind"] == "live_rounds" and mode == "legacy":
            mode = "manual"
        made = Scenario.model_validate(
            {
                "vm": {
                    "vcpus": int(chosen.integers(1, 4)),
                    "kernel": ("6.1", "6.12", "7.3")[int(chosen.integers(3))],
                    "dirty_log_mode": mode,
                    "eager_page_split": bool(chosen.integers(2)),
                },
                "memory": [{"size": f"{2 * int(chosen.integers(2, 9))} MiB", "backing": "hugetlb_2m"}],
                "workload": {"pattern": "uniform_random", "rate_hz": 2_000_000, "accesses": 5000},
                "driver": driver,
            }
        )
        found[f"random {index}"] = mmuviz.run(made)
    return found


RUNS: Final = ("lazy", "eager", "chunks", "ring", "memslots", "eager memslots", "perf test")


@pytest.fixture(scope="module")
def recordings() -> dict[str, Recording]:
    return {**{name: recording_of(name) for name in RUNS}, **random_recordings()}


def open_runs(stage: Stage, *made: Recording) -> None:
    stage.run("() => { window.runs = []; }")
    for index, each in enumerate(made):
        stage.give(each.content())
        stage.run("label => { runs.push(new S.Run(S.decode(buffer), {label, policy: ''})); }", f"run {index}")
    stage.run("() => { window.r = runs[0]; }")


# ---- calls


def test_every_call_of_every_run_is_a_row(stage: Stage, recordings: dict[str, Recording]) -> None:
    for one, other in (("lazy", "eager"), ("chunks", "ring"), ("random 0", "random 1"), ("random 2", "random 5")):
        made = [recordings[one], recordings[other]]
        open_runs(stage, *made)
        rows = stage.run("() => S.callRows(runs)")
        expected = sorted(
            (int(each.calls["start_ps"][row]), run, row)
            for run, each in enumerate(made)
            for row in range(len(each.calls["kind"]))
        )
        assert [(each["startPs"], each["run"], each["row"]) for each in rows] == expected
        for each in rows:
            calls = made[each["run"]].calls
            row = each["row"]
            assert each["kind"] == CALL_KINDS[calls["kind"][row]]
            assert each["isIoctl"] == (calls["kind"][row] < IOCTL_COUNT)
            for name, column in (
                ("endPs", "end_ps"),
                ("holdPs", "hold_ps"),
                ("waitPs", "wait_ps"),
                ("slot", "slot"),
                ("reported", "reported_pages"),
                ("splits", "splits"),
                ("zaps", "zaps"),
                ("tablesAdded", "tables_added"),
                ("tlbFlushes", "tlb_flushes"),
                ("faults", "faults"),
            ):
                assert each[name] == calls[column][row], (one, other, row, name)


def test_a_call_s_pages_are_those_of_its_slot_or_chunk(stage: Stage, recordings: dict[str, Recording]) -> None:
    made = recordings["chunks"]
    open_runs(stage, made)
    rows = stage.run("() => S.callRows(runs)")
    scenario = made.header.document()["scenario"]
    (slot,), chunk = scenario["memory"], scenario["driver"]["clear_chunk"]
    clears = [each["pages"] for each in rows if each["kind"] == "clear"]
    assert clears == [chunk // PAGE_BYTES] * (scenario["driver"]["rounds"] * slot["size"] // chunk)
    assert {each["pages"] for each in rows if each["kind"] in ("enable", "get")} == {slot["size"] // PAGE_BYTES}
    assert {each["pages"] for each in rows if not each["isIoctl"]} == {None}


def test_what_a_call_found_is_said(stage: Stage, recordings: dict[str, Recording]) -> None:
    open_runs(stage, recordings["eager"])
    (enable,) = stage.run("() => S.callRows(runs).filter(({kind}) => kind === 'enable')")
    calls = recordings["eager"].calls
    row = enable["row"]
    assert f"{calls['splits'][row]:,} splits" in enable["found"]
    assert f"+{calls['tables_added'][row]:,} tables" in enable["found"]


MANY: Final = """() => {
    const place = document.body.appendChild(document.createElement('div'));
    place.style.cssText = 'height: 400px; display: flex; flex-direction: column';
    const went = [];
    const table = S.detailTabs.calls(place, {runs, goTo: (ps) => went.push(ps), clock: {now: 0}});
    const scroller = place.querySelector('.details-scroller');
    scroller.style.cssText = 'overflow: auto; flex: 1; min-height: 0';
    table.render();
    const rows = () => [...place.querySelectorAll('.call-row')];
    const most = [rows().length];
    scroller.scrollTop = scroller.scrollHeight;
    table.render();
    most.push(rows().length);
    const last = rows().at(-1);
    last.click();
    const {run, row, startPs} = last.dataset;
    const count = place.querySelector('table').getAttribute('aria-rowcount');
    place.remove();
    return {most, last: [Number(run), Number(row), Number(startPs)], count: Number(count), went};
}"""


def test_of_many_calls_only_those_that_are_seen_exist(stage: Stage) -> None:
    made = made_recording(7, calls=5000)
    open_runs(stage, made)
    found = stage.run(MANY)
    starts = made.calls["start_ps"]
    last = max(range(len(starts)), key=lambda row: (int(starts[row]), row))
    assert max(found["most"]) < 60
    assert found["count"] == 5001
    assert found["last"] == [0, last, starts[last]]
    assert found["went"] == [starts[last]]


# ---- counters


def test_counters_at_the_ends_of_bins_are_sums_and_states(stage: Stage, recordings: dict[str, Recording]) -> None:
    for name, made in recordings.items():
        open_runs(stage, made)
        times = frame_times(made)[1:]
        chosen = times[np.unique(np.linspace(0, len(times) - 1, 12).astype(int))]
        script = """times => {
            const counters = S.counterGroups(r).flatMap(([, , each]) => each).filter(({column}) => column);
            return counters.map((each) => [each.of, each.column, times.map((ps) => S.counterAt(r, each, ps))]);
        }"""
        found = stage.run(script, chosen.tolist())
        columns = {column for _, column, _ in found}
        assert {f"stall_{cause}_ps" for cause in CAUSES} <= columns
        assert {"pml_full_exits", "faults_not_present", "faults_slow_protected", "slow_write_ps"} <= columns
        at = np.searchsorted(times, chosen)
        for of, column, values in found:
            if of == "call":
                continue
            stored = made.bins[column].astype(np.int64)
            expected = (np.cumsum(stored) if of == "sum" else stored)[at]
            assert values == expected.tolist(), (name, column)


def test_between_the_ends_of_bins_a_counter_is_between_its_sums(stage: Stage, recordings: dict[str, Recording]) -> None:
    made = recordings["lazy"]
    open_runs(stage, made)
    sums = np.concatenate([[0], np.cumsum(made.bins["faults_fast"])])
    for ps in chooser("between").integers(0, made.header.end_ps, 50).tolist():
        value = stage.run("ps => S.counterAt(r, {of: 'sum', column: 'faults_fast'}, ps)", ps)
        at = ps // made.header.bin_ps
        assert value == int(value)
        assert sums[at] <= value <= sums[at + 1]


def test_kvm_s_own_counters_are_those_of_the_last_call_that_ended(
    stage: Stage, recordings: dict[str, Recording]
) -> None:
    made = recordings["chunks"]
    open_runs(stage, made)
    ends = made.calls["end_ps"]
    for ps in (0, int(ends.min()) - 1, int(ends.min()), int(np.median(ends)), made.header.end_ps):
        value = stage.run("ps => S.counterAt(r, {of: 'call', column: 'pf_taken'}, ps)", ps)
        done = [row for row in range(len(ends)) if ends[row] <= ps]
        last = max(done, key=lambda row: (int(ends[row]), row), default=None)
        assert value == (0 if last is None else made.calls["pf_taken"][last])


# ---- the map


def test_the_map_as_a_table_has_the_shares_of_each_memslot(stage: Stage, recordings: dict[str, Recording]) -> None:
    for name in ("lazy", "memslots", "eager memslots", "random 0", "random 3"):
        made = recordings[name]
        open_runs(stage, made)
        frames = replayed(made)
        parts = stage.run("() => S.mapParts(r)")
        slots = [each for each in parts if not each["inside"]]
        memory = made.header.document()["scenario"]["memory"]
        assert len(slots) == len(memory)
        assert sum(each["pages"] for each in slots) == sum(each["size"] for each in memory) // PAGE_BYTES
        for frame in (0, len(frames) // 2, len(frames) - 1):
            for each in parts:
                cells = slice(each["first"], each["last"] + 1)
                weights = made.cell_map.pages[cells].astype(np.float64)
                expected = (frames[frame, cells].astype(np.float64) * weights[:, None]).sum(axis=0) / (
                    255 * weights.sum()
                )
                shares = stage.run("([part, frame]) => [...S.partShares(r, part, frame)]", [each, frame])
                assert shares == pytest.approx(expected.tolist(), abs=1e-9), (name, frame)


def test_a_guest_of_four_vcpus_has_their_parts(stage: Stage, recordings: dict[str, Recording]) -> None:
    open_runs(stage, recordings["lazy"])
    parts = stage.run("() => S.mapParts(r).filter(({inside}) => inside)")
    assert [each["name"] for each in parts] == [f"part of vCPU {vcpu}" for vcpu in range(4)]
    assert len({each["pages"] for each in parts}) == 1


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (1e-9, "<1 %"), (0.005, "<1 %"), (0.5, "50 %"), (0.999, ">99 %"), (1, "100 %")]
)
def test_a_share_is_nothing_or_all_only_where_it_is(stage: Stage, share: float, text: str) -> None:
    assert stage.run("share => S.percentText(share)", share) == text


# ---- origins


def documents() -> list[dict[str, Any]]:
    found = []
    for name in ORDER:
        each = read_scenario(name)
        found += [one.as_document() for one in (each.scenarios if isinstance(each, Comparison) else (each,))]
    return found


def test_the_scenario_s_text_is_a_file_of_the_same_scenario(stage: Stage, recordings: dict[str, Recording]) -> None:
    every = [*documents(), *(made.header.document()["scenario"] for made in recordings.values())]
    texts = stage.run("all => all.map((each) => S.tomlOf(each))", every)
    for document, text in zip(every, texts, strict=True):
        again = Scenario.model_validate(parsed(text.encode()))
        assert again.as_document() == document


def test_a_text_of_anything_comes_back(stage: Stage) -> None:
    text = stage.run("each => S.tomlOf(each)", {**documents()[0], "title": HOSTILE, "look_at": "a\tb"})
    again = parsed(text.encode())
    assert again["title"] == HOSTILE
    assert again["look_at"] == "a\tb"
    assert parsed(stage.run("() => S.tomlOf({title: '\\ud800'})").encode())["title"] == "\N{REPLACEMENT CHARACTER}"


def test_what_a_scenario_says_is_only_text(stage: Stage, recordings: dict[str, Recording]) -> None:
    open_runs(stage, recordings["random 0"])
    html = stage.run(
        """async title => {
            r.header.scenario.title = title;
            r.label = title;
            const place = document.body.appendChild(document.createElement('div'));
            const ledger = {hosts: {[r.header.host.profile]: {fitted_to: [title]}}};
            const drawer = {fetchInto: (into, name, make) => into.replaceChildren(...make(ledger))};
            S.detailTabs.origins(place, {runs, state: {set: {}}}, drawer);
            S.detailTabs.calls(place.appendChild(document.createElement('div')), {runs, goTo() {}, clock: {now: 0}});
            S.detailTabs.counters(place.appendChild(document.createElement('div')), {runs}).tell(0);
            S.detailTabs.map(place.appendChild(document.createElement('div')), {runs}).tell(0);
            const found = [place.querySelectorAll('img, script').length, place.querySelector('h3').textContent];
            place.remove();
            return found;
        }""",
        HOSTILE,
    )
    assert html == [0, HOSTILE]
    assert stage.page.title() == ""


# ---- labels


def header(profile: str = "tdp_eager", **scenario: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a Scenario
    return {
        "scenario": {"vm": {"mmu": "tdp", "kernel": "6.12"}, "driver": {}, "host": {}, **scenario},
        "host": {"profile": profile},
    }


def label(stage: Stage, made: dict[str, Any]) -> str:
    return str(stage.run("header => S.badgeOf({header}).full", made))


def test_a_label_says_where_counts_and_times_come_from(stage: Stage) -> None:
    percent = {name: each["percent"] for name, each in packaged_evidence()["uncertainty"].items()}
    assert label(stage, header()) == (
        f"counts: modelled, verified by 1,036 recordings · times: modelled, host tdp_eager ±{percent['tdp_eager']} %"
    )
    recorded = header(
        vm={"kernel": "6.12.95+deb12-amd64", "mmu": "tdp"}, driver={"kind": "listed_ops", "recording": "A"}
    )
    assert label(stage, recorded).startswith("counts: recorded on kernel 6.12.95, exact · times: modelled, host")
    assert "no recording of this MMU" in label(stage, header(vm={"mmu": "stage2"}))
    assert label(stage, header("tdp_eager_416")).endswith("%, extrapolated")
    changed = label(stage, header(host={"overrides": {"walk_ps": 1}}))
    assert changed.endswith("host tdp_eager, changed")
    assert "±" not in changed
    for name in PROFILES:
        assert f"{name} ±{percent[name]} %" in label(stage, header(name))
