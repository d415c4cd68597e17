"""Frames, HTML and quantities: what people and notebooks see of a Recording."""

import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types
import pytest
from hypothesis import given

import mmuviz  # noqa: F401 - registers what draws
from mmuviz.core.errors import InputError
from mmuviz.recording.quantities import bytes_text, count_text, quantile_text, rate_text, share_text, time_text
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CAUSES, TABLES
from tests.recording.made_recordings import made_recording, recordings


@given(recordings())
def test_pandas_and_arrow_hold_the_same(recording: Recording) -> None:
    for name in TABLES:
        frame, table = recording.frame(name), recording.frame(name, kind="arrow")
        assert isinstance(frame, pd.DataFrame)
        assert isinstance(table, pa.Table)
        assert {column: list(frame[column]) for column in frame} == table.to_pydict()


def test_rows_say_what_they_are_of() -> None:
    recording = made_recording()
    bins = recording.frame("bins")
    assert list(bins["start_ps"]) == [place * recording.header.bin_ps for place in range(12)]
    assert int(bins["accesses"].sum()) == recording.totals["accesses"]
    calls = recording.frame("calls")
    assert list(calls["kind"][:3]) == ["enable", "get", "clear"]
    spent = recording.frame("vcpu_bins")
    assert list(spent.columns) == ["bin", "vcpu", "running", "in_fault", "lock_wait", "blocked", "gfn"]
    row = spent[(spent["bin"] == 3) & (spent["vcpu"] == 1)].iloc[0]
    place = 3 * 2 + 1
    assert list(row[2:]) == [*recording.vcpu_bins.shares[place].tolist(), recording.vcpu_bins.gfn[place]]
    cells = recording.frame("cells")
    assert list(cells[cells["frame"] == 0]["cell"]) == [0, 1, 2, 3]
    hist = recording.frame("stalls")
    whole = hist[hist["cause"] == "whole_fault"]
    assert int(whole["stalls"].sum()) == len(recording.longest.stall_ps)
    assert set(hist["cause"]) <= {*CAUSES, "whole_fault"}
    assert bool((hist["from_ps"] <= hist["to_ps"]).all())


def test_unknown_tables_and_kinds_are_refused() -> None:
    with pytest.raises(InputError, match="table 'bin' must be one of calls, bins"):
        made_recording().frame("bin")
    with pytest.raises(InputError, match="frame kind 'polars' must be one of pandas, arrow"):
        made_recording().frame("bins", kind="polars")


@pytest.mark.parametrize(("kind", "package"), [("pandas", "pandas"), ("arrow", "pyarrow")])
def test_a_missing_package_is_named_with_the_remedy(kind: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{package} must be installed .* pip install 'mmuviz\[frames\]'"):
        made_recording().frame("bins", kind=kind)


def test_html_escapes_what_it_shows() -> None:
    title = "<script>alert('x')</script>"
    shown = made_recording(scenario={"title": title}, notes=["<b>&"])._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in shown
    assert "&lt;b&gt;&amp;" in shown
    assert ">stall_p99_ns</th>" in shown


def lines_of(recording: Recording) -> dict[str, Any]:
    return {line.name: line for line in recording.figure().data}


def test_the_figure_shows_the_bins() -> None:
    recording = made_recording(scenario={"title": "<b>1"})
    lines = lines_of(recording)
    stall_ms = sum(np.sum(line.y[:-1]) for line in lines.values() if line.yaxis == "y")
    assert stall_ms * 1e9 == pytest.approx(sum(recording.vcpus[f"stall_{cause}_ps"].sum() for cause in CAUSES))
    progress = lines["accesses"]
    assert np.sum(progress.y[:-1]) * recording.header.bin_ps / 1e6 == pytest.approx(recording.totals["accesses"])
    assert recording.figure().to_dict()["layout"]["title"]["text"] == "&lt;b&gt;1"
    assert lines["1G"].y[-1] == pytest.approx(recording.totals["leaves"]["1g"])


def test_a_run_without_stall_has_a_figure() -> None:
    seed = next(seed for seed in range(999) if not made_recording(seed).totals["stall_total_ns"])
    assert "none" in lines_of(made_recording(seed))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (time_text(0), "0 ns"),
        (time_text(850), "850 ns"),
        (time_text(1234), "1.23 µs"),
        (time_text(53_600_000), "53.6 ms"),
        (time_text(245_400_000), "245 ms"),
        (time_text(1_500_000_000), "1.50 s"),
        (time_text(9_000_000_000_000), "9,000 s"),
        (quantile_text(1500, 4000), "1.5 µs"),
        (quantile_text(940, 4000), "940 ns"),
        (quantile_text(8_400_000, 9_123_456), "8.4 ms"),
        (quantile_text(86_000, 90_000), "86 µs"),
        (quantile_text(107_813, 107_813), "108 µs"),
        (quantile_text(0, 0), "0 ns"),
        (bytes_text(0), "0 B"),
        (bytes_text(8 << 20), "8 MiB"),
        (bytes_text(1536), "1.50 KiB"),
        (bytes_text(1536 << 30), "1.50 TiB"),
        (count_text(402_653_184), "402,653,184"),
        (rate_text(20_100_000), "20.1 million/s"),
        (rate_text(12), "12/s"),
        (share_text(1, 8), "12.5%"),
        (share_text(1, 0), "-"),
    ],
)
def test_quantities_have_units_that_suit(text: str, said: str) -> None:
    assert text == said
