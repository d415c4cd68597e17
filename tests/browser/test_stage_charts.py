"""Charts and ribbons of the stage: Python's numbers, and names that do not move."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Browser

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS, CAUSES, IOCTL_COUNT
from tests.browser.chooser import chooser
from tests.browser.stage_charts import PS, SETS, opened_charts
from tests.browser.stage_runs import recording_of
from tests.browser.stage_scripts import Stage

pytestmark = pytest.mark.xdist_group("stage")

BYTES: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
SIZES: Final = ((364, 126), (264, 104), (784, 134), (336, 104), (544, 238), (200, 80))
RIBBONS: Final = ((884, 66), (490, 66), (336, 54), (394, 58), (1462, 84), (884, 100))
MAKE: Final = """([kind, measure, width, height, presenter]) => {
    document.body.replaceChildren();
    const canvas = document.createElement('canvas');
    Object.assign(canvas.style, {display: 'block', width: width + 'px', height: height + 'px'});
    document.body.append(canvas);
    window.made = kind === 'chart'
        ? new S.Chart(canvas, runs, {measure, presenter}) : new S.Ribbon(canvas, runs, {presenter});
}"""


@pytest.fixture(scope="module")
def stage(chromium: Browser, repository: Path) -> Iterator[Stage]:
    with opened_charts(chromium, repository) as stage:
        yield stage


# ---- what Python says


def _ends(made: Recording) -> list[int]:
    """Ends of bins: there, sums are sums of whole bins and states are as the Recording has them."""
    drawn = chooser("ends of bins", made.hash).integers(0, made.header.bins, 12)
    ends = np.minimum((drawn + 1) * made.header.bin_ps, made.header.end_ps)
    return sorted({int(end) for end in ends} | {made.header.end_ps})


def _sum_by(made: Recording, column: npt.NDArray[np.int64], time_ps: int) -> int:
    return int(column[: -(-time_ps // made.header.bin_ps)].sum())


def _stall_ps(made: Recording, time_ps: int) -> float:
    return sum(_sum_by(made, made.bins[f"stall_{cause}_ps"], time_ps) for cause in CAUSES) / made.header.vcpus


def _tables_bytes(made: Recording, time_ps: int) -> int:
    enables = made.calls.start_ps[made.calls.kind == CALL_KINDS.index("enable")]
    before = made.header.table_pages_at_enable
    if before is None or time_ps < enables[0]:
        return 0
    return (int(made.bins.table_pages[-(-time_ps // made.header.bin_ps) - 1]) - before) * PAGE_BYTES


def _said(amount: float, units: dict[str, int], most: float, nothing: str) -> str:
    """An amount in the unit of the largest: three digits, at most two behind the point."""
    fits = [unit for unit, size in units.items() if most >= 0.9995 * size]
    unit = fits[-1] if fits else (nothing if most == 0 else next(iter(units)))
    value = Decimal(amount) / units[unit]
    if value < Decimal("0.005"):
        return f"<0.01 {unit}" if amount and units[unit] > 1 else f"0 {unit}"
    texts = [str(value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)) for places in (2, 1, 0)]
    text = next((text for text in texts if len(text.replace(".", "")) <= 3), texts[-1])
    return f"{Decimal(text if units[unit] > 1 else texts[-1]):,} {unit}"


MEASURES: Final[tuple[str, ...]] = ("stall", "tables")


# ---- numbers


@pytest.mark.parametrize("names", [("lazy", "eager"), ("perf test", "ring"), ("without logging",), ("chunks",)])
def test_the_numbers_of_a_pane_are_the_recordings(stage: Stage, names: tuple[str, ...]) -> None:
    stage.open(*names)
    made = [recording_of(name) for name in names]
    for time_ps in sorted({end for each in made for end in _ends(each)}):
        at = [min(time_ps, each.header.end_ps) for each in made]
        if any(end % each.header.bin_ps and end != each.header.end_ps for each, end in zip(made, at, strict=True)):
            continue  # another run's bin ends inside one of this run's
        stalls = [_stall_ps(each, end) for each, end in zip(made, at, strict=True)]
        ioctls = [_sum_by(each, each.bins.ioctl_ps, end) for each, end in zip(made, at, strict=True)]
        found = stage.run("ps => runs.map(run => S.numbers(run, ps, runs))", time_ps)
        for numbers, stall_ps, ioctl_ps in zip(found, stalls, ioctls, strict=True):
            for part, amount, all_ in (("stall", stall_ps, stalls), ("ioctl", ioctl_ps, ioctls)):
                assert f"{numbers[part]['value']} {numbers[part]['unit']}" == _said(amount, PS, max(all_), "ms")
                assert numbers[part]["zero"] == (numbers[part]["value"] in {"0", "<0.01"})


@pytest.mark.parametrize("name", ["lazy", "eager"])
def test_guest_speed_is_against_the_rate_before_the_first_ioctl(stage: Stage, name: str) -> None:
    stage.open(name)
    made = recording_of(name)
    first_ps = int(made.calls.start_ps[made.calls.kind < IOCTL_COUNT].min())
    whole = first_ps // made.header.bin_ps
    full = made.bins.accesses[:whole].sum() / whole
    for bin_ in chooser("speed", name).integers(0, made.header.bins - 1, 20).tolist():
        inside_ps = bin_ * made.header.bin_ps + made.header.bin_ps // 3
        text = stage.run("ps => S.numbers(r, ps).speed.value", inside_ps)
        assert int(text) == pytest.approx(min(100, 100 * made.bins.accesses[bin_] / full), abs=0.51)


def test_amounts_have_three_digits_and_their_own_unit(stage: Stage) -> None:
    drawn = chooser("amounts").integers(0, 52, 300)
    for power in drawn.tolist():
        amount = float(chooser("amount", power).integers(1 << power, 2 << power))
        assert stage.run("n => S.timeText(n)", amount) == _said(amount, PS, amount, "ms")
        if power < 39:
            assert stage.run("n => S.bytesText(n)", amount) == _said(amount, BYTES, amount, "MiB")
    assert stage.run("S.timeText(0)") == "0 ms"
    assert stage.run("S.count(1048576)") == "1,048,576"


@pytest.mark.parametrize("names", SETS)
def test_the_numbers_at_the_lines_ends_are_the_recordings(stage: Stage, names: tuple[str, ...]) -> None:
    stage.open(*names)
    made = [recording_of(name) for name in names]
    last = max(each.header.end_ps for each in made)
    stalls = [_stall_ps(each, each.header.end_ps) for each in made]
    sizes = [_tables_bytes(each, each.header.end_ps) for each in made]
    wanted = {
        "stall": [_said(amount, PS, max(stalls), "ms") for amount in stalls],
        "tables": [_said(amount, BYTES, amount, "MiB") for amount in sizes],
    }
    for measure, texts in wanted.items():
        stage.run(MAKE, ["chart", measure, 784, 160, False])
        found = stage.run("ps => { made.draw(ps); return made.labels.map(label => label.text); }", last)
        if len(set(texts)) == 1 and len(texts) > 1:
            assert found == [f"{'Both' if len(texts) == 2 else 'All'} {texts[0]}"]
        else:
            assert sorted(found) == sorted(f"{name} {text}" for name, text in zip(names, texts, strict=True))


def _inside(made: Recording, time_ps: int, measure: str) -> float:
    """The value at an instant: a sum rises evenly in its bin, a state is that of the last bin's end."""
    if measure == "tables":
        return _tables_bytes(made, time_ps - time_ps % made.header.bin_ps) if time_ps < made.header.end_ps else 0
    bin_ = time_ps // made.header.bin_ps
    ends = [bin_ * made.header.bin_ps, min((bin_ + 1) * made.header.bin_ps, made.header.end_ps)]
    return float(np.interp(time_ps, ends, [_stall_ps(made, end) for end in ends]))


@pytest.mark.parametrize("name", ["lazy", "eager", "ring", "chunks"])
@pytest.mark.parametrize("measure", MEASURES)
def test_dot_line_and_number_are_one_value_inside_a_bin_too(stage: Stage, name: str, measure: str) -> None:
    stage.open(name)
    made = recording_of(name)
    stage.run(MAKE, ["chart", measure, 784, 160, False])
    enable_ps = int(made.calls.start_ps[made.calls.kind == CALL_KINDS.index("enable")][0])
    times = chooser("inside bins", name).integers(0, made.header.end_ps, 60).tolist()
    found = stage.run(
        """times => times.map((ps) => {
            made.draw(ps);
            const [{value, y}] = made.ends;
            return [value, S.lineAt(made.lines[0], made.lines[0].vs, ps), y, made.yAt(value)];
        })""",
        times,
    )
    for time_ps, (value, on_line, y, wanted_y) in zip(times, found, strict=True):
        assert value == pytest.approx(on_line, rel=1e-9, abs=1)
        assert y == pytest.approx(wanted_y, abs=1e-6)
        if enable_ps // made.header.bin_ps != time_ps // made.header.bin_ps:  # there, sums rise only from the call on
            assert value == pytest.approx(_inside(made, time_ps, measure), rel=1e-9, abs=1)


# ---- places


def _meet(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two labels overlap by more than a hundredth of a pixel."""

    def inside(at: str, size: str) -> bool:
        low, high = max(first[at], second[at]), min(first[at] + first[size], second[at] + second[size])
        return bool(high - low > 0.01)

    return inside("x", "width") and inside("y", "height")


def _check_places(labels: list[dict[str, Any]], width: float, height: float) -> None:
    for label in labels:
        assert label["x"] >= -0.01
        assert label["x"] + label["width"] <= width + 0.01, label
        assert label["y"] >= -0.01
        assert label["y"] + label["height"] <= height + 0.01, label
    for first, second in itertools.combinations(labels, 2):
        assert not _meet(first, second), (first, second)


@pytest.mark.parametrize("names", SETS)
@pytest.mark.parametrize("measure", ["stall", "tables"])
def test_labels_of_a_chart_never_meet_nor_leave_it(stage: Stage, names: tuple[str, ...], measure: str) -> None:
    stage.open(*names)
    stage.run(
        "() => runs.forEach((run, i) => { if (i === 1) run.label = 'A policy with a very long name, at 2 MiB'; })"
    )
    last = max(recording_of(name).header.end_ps for name in names)
    times = [0, *np.linspace(0, last, 60).tolist(), *chooser("labels", *names).integers(0, last, 40).tolist()]
    script = "times => times.map(ps => { made.draw(ps); return [made.axisLabels, made.labels]; })"
    for (width, height), presenter in itertools.product(SIZES, (False, True)):
        stage.run(MAKE, ["chart", measure, width, height, presenter])
        for axis, ends in stage.run(script, times):
            assert ends
            _check_places(axis, width, height)
            _check_places(ends, width, height)


@pytest.mark.parametrize("names", SETS)
def test_labels_of_the_ribbons_never_overlap_nor_leave_them(stage: Stage, names: tuple[str, ...]) -> None:
    stage.open(*names)
    for (width, height), presenter in itertools.product(RIBBONS, (False, True)):
        if height / len(names) < (24 if presenter else 13):
            continue  # lines of text that high do not fit under each other
        stage.run(MAKE, ["ribbon", "", width, height, presenter])
        _check_places(stage.run("made.labels"), width, height)


# ---- axes


WINDOWS: Final = """runs => runs.map(({end, calls, times}) => {
    const at = S.axisWindow([{endPs: end, calls: calls.map(([startPs, endPs]) => ({startPs, endPs}))}]);
    return times.map(ps => { const {from, to} = at(ps); return [from, to]; });
})"""


def test_the_window_of_time_holds_the_instant_for_any_run(stage: Stage) -> None:
    choose = chooser("windows")
    cases: list[dict[str, Any]] = []
    for _ in range(300):
        end = int(10 ** choose.uniform(6, 14.8))
        start = int(end * choose.choice([0, choose.uniform(), 0.999, choose.uniform() ** 6]))
        stop = start + int((end - start) * choose.uniform() ** choose.integers(1, 12))
        times = sorted({0, start, stop, end, *(end * choose.uniform(size=40)).astype(int).tolist()})
        cases.append({"end": end, "calls": [[start, stop]] if choose.uniform() < 0.9 else [], "times": times})
    for case, found in zip(cases, stage.run(WINDOWS, cases), strict=True):
        for time_ps, (begin, end) in zip(case["times"], found, strict=True):
            assert 0 <= begin < end <= case["end"]
            assert begin <= time_ps <= end
        assert found[-1] == [0, case["end"]]  # at its end all of a run is seen
        if case["calls"]:
            start, stop = case["calls"][0]
            begin, end = found[case["times"].index(start)]
            assert end >= min(stop, case["end"])  # as the ioctl begins its end is in view


def test_the_window_opens_without_a_jump(stage: Stage) -> None:
    end, call = 473 * 10**9, [20 * 10**9, 74 * 10**9]
    times = np.linspace(0, end, 5000).tolist()
    found = np.array(stage.run(WINDOWS, [{"end": end, "calls": [call], "times": times}])[0])
    assert found[0, 1] < 0.25 * end
    assert np.abs(np.diff(found, axis=0)).max() < 0.01 * end
    assert (np.diff(found[:, 1]) >= 0).all()


def test_ticks_are_round_few_and_distinct(stage: Stage) -> None:
    choose = chooser("ticks")
    for _ in range(200):
        binary = bool(choose.integers(2))
        most = 10 ** choose.uniform(3, 14.8)
        begin = most * choose.choice([0, choose.uniform(0, 0.999)])
        units = "S.SIZE_UNITS" if binary else "S.TIME_UNITS"
        script = f"([a, b, c]) => S.ticks(a, b, (b - a) / c, S.axisUnit(b, {units}), {str(binary).lower()})"
        share = int(choose.integers(2, 9))
        ticks = stage.run(script, [begin, most, share])
        assert len(ticks) <= share + 1
        assert len({tick["text"] for tick in ticks}) == len(ticks)
        unit = stage.run(f"b => S.axisUnit(b, {units})[1]", most)
        for tick in ticks:
            assert begin <= tick["at"] * (1 + 1e-9)
            assert tick["at"] <= most * (1 + 1e-9)
            assert float(tick["text"]) * unit == pytest.approx(tick["at"], rel=1e-6)


# ---- ribbons


def test_a_place_on_the_ribbon_is_a_time_and_back(stage: Stage) -> None:
    stage.open("lazy", "eager")
    for width, height in RIBBONS:
        stage.run(MAKE, ["ribbon", "", width, height, False])
        left, right = stage.run("[made.xAt(0), made.xAt(made.endPs)]")
        assert 0 < left < right <= width
        xs = chooser("ribbon", width).uniform(left, right, 200).tolist()
        assert stage.run("xs => xs.map(x => made.xAt(made.psAt(x)))", xs) == pytest.approx(xs, abs=1e-9)
        assert stage.run("[made.psAt(-50), made.psAt(1e6) - made.endPs]") == [0, 0]


@pytest.mark.parametrize("name", ["perf test", "chunks", "ring"])
def test_each_ioctl_is_found_under_the_pointer(stage: Stage, name: str) -> None:
    stage.open(name)
    stage.run(MAKE, ["ribbon", "", 1462, 66, False])
    found = stage.run(
        """() => r.calls.map(call => {
            const x = made.xAt((call.startPs + call.endPs) / 2);
            const hit = made.callsAt(x, made.rows[0].bar + 1);
            return [hit.run, hit.calls.includes(call), made.callsAt(x, -20)];
        })"""
    )
    assert found == [[0, True, None]] * len(found)
    # Each call is in one bar, and no bar is too near to the next one to be hit.
    bars = stage.run("() => made.groups[0].map(({x, width, calls}) => [x, width, calls.length])")
    assert sum(count for _, _, count in bars) == len(found)
    for (x, width, count), (after, wide, others) in itertools.pairwise(bars):
        assert after - x - width >= 3 or (width >= 8 and wide >= 8) or (count, others) == (1, 1), bars
    assert len(found) == int((recording_of(name).calls.kind < IOCTL_COUNT).sum())


PIXELS: Final = """x => {
    const {rows, ctx, dpr, colours} = made;
    const hex = colour => [1, 3, 5].map(at => parseInt(colour.slice(at, at + 2), 16)).join();
    made.draw(made.endPs);
    const {data} = ctx.getImageData(x, rows[0].y, 1, rows[0].high);
    const found = Array.from({length: rows[0].high}, (_, y) => data.slice(4 * y, 4 * y + 3).join());
    const toneOf = rgb => ['stall', 'slowf', 'runf'].find(tone => hex(colours[tone]) === rgb);
    return {high: rows[0].high, pixels: found.map(toneOf)};
}"""


@pytest.mark.parametrize("name", ["lazy", "eager"])
def test_a_column_of_the_ribbon_has_the_shares_of_its_time(stage: Stage, name: str) -> None:
    stage.open(name)
    stage.run(MAKE, ["ribbon", "", 884, 120, False])
    made = recording_of(name)
    left, right = (round(x) for x in stage.run("[made.xAt(0), made.xAt(made.endPs)]"))
    edges = np.minimum(np.arange(made.header.bins + 1) * made.header.bin_ps, made.header.end_ps)
    enable_ps = int(made.calls.start_ps[made.calls.kind == CALL_KINDS.index("enable")][0])

    def share(column: npt.NDArray[np.int64], begin: float, end: float) -> float:
        by = np.interp([begin, end], edges, np.concatenate([[0], np.cumsum(column)]))
        return float((by[1] - by[0]) / (end - begin) / made.header.vcpus)

    stalls = np.sum([made.bins[f"stall_{cause}_ps"] for cause in CAUSES], axis=0)
    for x in chooser("columns", name).integers(left, right - 5, 40).tolist():
        begin, end = ((each - left) / (right - left) * made.header.end_ps for each in (x, x + 1))
        if begin // made.header.bin_ps == enable_ps // made.header.bin_ps:
            continue  # there, what logging causes begins inside the bin
        found = stage.run(PIXELS, x)
        stalled, slower = share(stalls, begin, end), share(made.bins.slow_write_ps, begin, end)
        high, pixels = found["high"], found["pixels"]
        assert pixels.count("stall") == pytest.approx(high * stalled, abs=0.51)
        assert pixels.count("runf") == pytest.approx(high * (1 - stalled - slower), abs=0.51 + high * 4 / 255)
        assert pixels[: pixels.count("stall")] == ["stall"] * pixels.count("stall")  # it hangs from the top
        assert pixels[high - pixels.count("runf") :] == ["runf"] * pixels.count("runf")
