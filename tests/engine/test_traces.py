"""A guest that follows a trace: what is read, when it happens, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.core.errors import InputError
from mmuviz.engine import trace_feed, trace_file
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import TABLES

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
BASE = 1 << 20
PAGES = 512
Row = tuple[int, int, int, str]


def csv_file(path: Path, rows: list[Row]) -> Path:
    lines = ["time_ns,vcpu,gfn,access", *(f"{time},{vcpu},{BASE + page:#x},{how}" for time, vcpu, page, how in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def parquet_file(path: Path, rows: list[Row]) -> Path:
    times, vcpus, pages, how = zip(*rows, strict=True)
    columns = {"time_ns": times, "vcpu": vcpus, "gfn": [BASE + page for page in pages], "access": how}
    pq.write_table(pa.table({name: list(each) for name, each in columns.items()}), path, row_group_size=3)
    return path


def traced(path: Path, **parts: Any) -> Scenario:  # noqa: ANN401  # of a document
    """Two vCPUs follow a trace while logging is enabled 2 us after their start."""
    return Scenario.model_validate(
        {
            "vm": {"vcpus": 2, "vendor": "amd", "dirty_log_mode": "manual", "eager_page_split": False},
            "memory": [{"size": PAGES * 4096, "backing": "hugetlb_2m"}],
            "workload": {"pattern": "trace", "file": str(path)},
            "driver": {"kind": "live_rounds", "lead": "2 us", "rounds": 1, "interval": "100 us", "tail": "100 us"},
            **parts,
        }
    )


def tables_of(made: Recording) -> dict[str, dict[str, list[Any]]]:
    found = {table: {name: each.tolist() for name, each in made.tables[table].items()} for table in TABLES}
    del found["vcpu_bins"]["gfn"]  # the page of a vCPU's next access is unknown before its part is loaded
    return found


rows = st.lists(
    st.tuples(st.integers(0, 150_000), st.integers(0, 1), st.integers(0, PAGES - 1), st.sampled_from("rw")),
    min_size=1,
    max_size=60,
).map(lambda found: sorted(found, key=lambda row: row[0]))


@settings(max_examples=15, deadline=None)
@given(rows, st.integers(1, 9))
def test_parts_change_nothing_and_neither_does_the_form(
    tmp_path_factory: pytest.TempPathFactory, found: list[Row], part: int
) -> None:
    folder = tmp_path_factory.mktemp("trace")
    with pytest.MonkeyPatch.context() as patch:
        whole = tables_of(run(traced(csv_file(folder / "trace.csv", found))))
        patch.setattr(trace_file, "PART", part)
        assert tables_of(run(traced(folder / "trace.csv"))) == whole
        assert tables_of(run(traced(parquet_file(folder / "trace.parquet", found)))) == whole
    assert sum(whole["bins"]["accesses"]) == len(found)


@pytest.mark.parametrize("part", [1, 2])
def test_a_vcpu_ends_with_its_own_last_access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    """A vCPU stops after its last access, even if more parts of the file are loaded for another vCPU."""
    monkeypatch.setattr(trace_file, "PART", part)
    made = run(traced(csv_file(tmp_path / "trace.csv", [(0, 1, 0, "r"), (50_000, 0, 0, "r"), (100_000, 0, 0, "r")])))
    running = np.asarray(made.tables["vcpu_bins"]["shares"]).reshape(-1, 2, 4)[:, :, 0]
    assert np.flatnonzero(running[:, 1]).max() <= 2
    assert np.flatnonzero(running[:, 0]).max() >= 90


@settings(max_examples=15, deadline=None)
@given(rows)
def test_what_is_written_under_logging_is_what_is_reported(
    tmp_path_factory: pytest.TempPathFactory, found: list[Row]
) -> None:
    """Logging is enabled before the trace's first access, and the guest's end is before the only GET."""
    path = csv_file(tmp_path_factory.mktemp("trace") / "trace.csv", [(time + 50_000, *rest) for time, *rest in found])  # type: ignore[misc]  # three are left
    driver = {"kind": "live_rounds", "rounds": 2, "interval": "1 ms", "lead": "1 us"}
    made = run(traced(path, driver=driver))
    assert made.totals["dirty_reported_pages"] == len({page for _, _, page, how in found if how == "w"})


def test_no_access_comes_before_its_time_and_all_come(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "trace.csv", [(time * 1000, time % 2, 7 * time % PAGES, "w") for time in range(100)])
    made = run(traced(path))
    done = np.cumsum(made.bins.accesses)
    ends_ns = (np.arange(len(done)) + 1) * made.header.bin_ps // 1000
    assert all(count <= end // 1000 + 1 for count, end in zip(done.tolist(), ends_ns.tolist(), strict=True))
    assert done[-1] == 100


def test_a_guest_that_is_late_makes_up_for_it(tmp_path: Path) -> None:
    """Two thousand writes at one instant take longer than that, and all are made."""
    path = csv_file(tmp_path / "trace.csv", [(0, 0, at % PAGES, "w") for at in range(2000)])
    driver = {"kind": "live_rounds", "lead": "2 us", "rounds": 1, "interval": "5 ms"}
    made = run(traced(path, driver=driver))
    assert made.totals["accesses"] == 2000
    assert int(made.bins.accesses[0]) < 2000


def test_a_part_is_all_that_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_file, "PART", 8)
    held: list[int] = []
    load = trace_feed.TraceFeed._load

    def noted(feed: trace_feed.TraceFeed, machine: Any) -> None:  # noqa: ANN401  # of the engine
        load(feed, machine)
        held.append(len(machine.clock.listed))

    monkeypatch.setattr(trace_feed.TraceFeed, "_load", noted)
    run(traced(csv_file(tmp_path / "trace.csv", [(at * 2000, at % 2, at, "w") for at in range(80)])))
    assert len(held) == 10
    assert max(held) <= 2 * (8 + 8)


def test_a_guest_that_cannot_follow_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_file, "PART", 50)
    monkeypatch.setattr(trace_feed, "MOST_BEHIND", 20)
    rows = [(0, int(at % 50 == 49), at % PAGES, "w") for at in range(200)]  # vCPU 1 soon asks for the next part
    path = csv_file(tmp_path / "trace.csv", rows)
    with pytest.raises(InputError, match=r"accesses wait at .* since the guest is slower than its trace"):
        run(traced(path))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["time,vcpu,gfn,access"], "trace.csv:1: 'time,vcpu,gfn,access' must be time_ns,vcpu,gfn,access"),
        (["0,0,0x100000"], "trace.csv:2: has 3 values and must have 4"),
        (["0,0,0x100000,w", "1,0,page,w"], "trace.csv:3: gfn='page' must be a whole number"),
        (["0,0,0x100000,x"], "trace.csv:2: access='x' must be r or w"),
        (["5,0,0x100000,w", "4,0,0x100000,w"], "trace.csv:3: time_ns=4 must not be before that of the line above"),
        (["0,2,0x100000,w"], "trace.csv:2: vcpu=2 must be 0 to 1"),
        (["0,0,0x100000,w", "0,0,0xfffff,r"], "trace.csv:3: gfn=1048575 must be in a memslot"),
        (["0,0,0x100000,w", "9" * 300 + ",0,0,w"], "trace.csv:3: has more than 200 characters"),
        (["3600000000001,0,0x100000,w"], "trace.csv:2: time_ns=3600000000001 must be at most 3600000000000"),
        (
            ["0,0,18446744073709551616,w"],
            "trace.csv:2: gfn='18446744073709551616' must be a whole number",
        ),
        ([f"{-(1 << 63) - 1},0,0,w"], "must be a whole number of at most 64 bits"),
        (["0,0,0x100000,w", '1,0,"0x100000,w'], "trace.csv:3: '1,0,\"0x100000,w' is no line of CSV"),
        (['0,0,"0x100000', '",w', "1,0,page,w"], "trace.csv:2: '0,0,\"0x100000' is no line of CSV"),
        (["1_0,0,0x100000,w"], "trace.csv:2: time_ns='1_0' must be a whole number"),
        (["0,0,0x100000,w", "", "1,0,0x100000,w"], "trace.csv:3: is empty; each line has one access"),
        ([], "has no access"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(lines: list[str], said: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    head = [] if lines[:1] == ["time,vcpu,gfn,access"] else ["time_ns,vcpu,gfn,access"]
    path.write_text("\n".join([*head, *lines]) + "\n")
    with pytest.raises(InputError) as error:
        traced(path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"time_ns": [0], "vcpu": [0], "gfn": [BASE]}, "column access is missing"),
        ({"time_ns": [0], "vcpu": [0], "gfn": [BASE], "access": ["q"]}, "row 1: access='q' must be r or w"),
        ({"time_ns": [0, None], "vcpu": [0, 0], "gfn": [BASE] * 2, "access": ["r"] * 2}, "row 2: time_ns=None"),
        (
            {"time_ns": pa.array([1 << 63], pa.uint64()), "vcpu": [0], "gfn": [BASE], "access": ["r"]},
            "row 1: time_ns=92",
        ),
        ({"time_ns": [0, 1], "vcpu": [0, 5], "gfn": [BASE] * 2, "access": ["r"] * 2}, "row 2: vcpu=5 must be 0 to 1"),
    ],
)
def test_a_bad_row_of_parquet_too(columns: dict[str, Any], said: str, tmp_path: Path) -> None:
    pq.write_table(pa.table(columns), tmp_path / "trace.parquet")
    with pytest.raises(InputError) as error:
        traced(tmp_path / "trace.parquet")
    assert said in str(error.value)


def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        traced(tmp_path / "none.csv")
    (tmp_path / "other.parquet").write_text("no table")
    with pytest.raises(InputError, match="is no Parquet file"):
        traced(tmp_path / "other.parquet")


@settings(max_examples=60, deadline=None)
@given(damage=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_file_is_refused_in_one_line_or_read(
    damage: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [(at, at % 2, at % PAGES, "rw"[at % 2]) for at in range(40)]
    path = csv_file(tmp_path_factory.mktemp("damaged") / "trace.csv", rows)
    held = bytearray(path.read_bytes())
    for at, value in damage:
        held[at % len(held)] = value
    path.write_bytes(bytes(held))
    read, said = len(rows), ""
    try:
        read = sum(len(part) for part in trace_file.parts_of(path))
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    assert len(rows) - len(damage) <= read <= len(rows) + len(damage)


def test_damaged_pages_of_parquet_are_refused_in_one_line(tmp_path: Path) -> None:
    """The file can be opened; its first page cannot be read."""
    path = parquet_file(tmp_path / "trace.parquet", [(0, 0, 0, "w")] * 4)
    held = path.read_bytes()
    path.write_bytes(held[:4] + b"\xff" * 20 + held[24:])
    assert pq.ParquetFile(path).metadata.num_rows == 4
    with pytest.raises(InputError) as error:
        traced(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pa.table([[0], [0], [0], [BASE], ["r"]], names=["time_ns", "time_ns", "vcpu", "gfn", "access"]), "2 times"),
        (
            pa.table({"time_ns": pa.array([1 << 62], pa.timestamp("us")), "vcpu": [0], "gfn": [BASE], "access": ["r"]}),
            "column time_ns has the type",
        ),
        (pa.table({"time_ns": [0], "vcpu": [0], "gfn": [BASE], "access": [1]}), "column access has the type"),
    ],
)
def test_columns_of_other_types_or_twice_are_refused(table: Any, said: str, tmp_path: Path) -> None:  # noqa: ANN401  # PyArrow has no types
    pq.write_table(table, tmp_path / "trace.parquet")
    with pytest.raises(InputError) as error:
        traced(tmp_path / "trace.parquet")
    assert said in str(error.value)


def test_texts_of_a_dictionary_are_read(tmp_path: Path) -> None:
    how = pa.array(["r", "w", "r"]).dictionary_encode()
    pq.write_table(
        pa.table({"time_ns": [0, 1, 2], "vcpu": [0, 0, 1], "gfn": [BASE] * 3, "access": how}),
        tmp_path / "trace.parquet",
    )
    (part,) = trace_file.parts_of(tmp_path / "trace.parquet")
    assert part[:, trace_file.WRITE].tolist() == [0, 1, 0]


@settings(max_examples=150, deadline=None)
@given(damage=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_damaged_footer_of_parquet_is_refused_in_one_line_or_read(
    damage: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The footer has the names, types and places of the columns; its last eight bytes tell where it begins."""
    path = parquet_file(tmp_path_factory.mktemp("damaged") / "trace.parquet", [(0, 0, 0, "w")] * 4)
    held = bytearray(path.read_bytes())
    footer = len(held) - 8 - int.from_bytes(held[-8:-4], "little")
    names = [at for at in range(footer, len(held) - 8) if chr(held[at]).isalpha()]
    for at, value in damage:
        held[names[at % len(names)]] = value
    path.write_bytes(bytes(held))
    try:
        assert sum(map(len, trace_file.parts_of(path))) <= 4
    except InputError as error:
        said = str(error)
    else:
        said = ""
    assert "\n" not in said


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trace.csv")
    with pytest.raises(InputError, match="is a pipe; give a regular file"):
        traced(tmp_path / "trace.csv")


def test_values_may_have_spaces_and_the_last_line_may_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("time_ns,vcpu,gfn,access\n 0, 0, 0x100000, w\n\n")
    (part,) = trace_file.parts_of(path)
    assert part.tolist() == [[0, 0, BASE, 1]]


def test_quoted_values_are_read(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text('"time_ns","vcpu","gfn","access"\n0,0,"0x100000","w"\n')
    (part,) = trace_file.parts_of(path)
    assert part.tolist() == [[0, 0, BASE, 1]]


def test_the_scenario_holds_the_hash_of_the_file(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "trace.csv", [(0, 0, 0, "w")])
    scenario = traced(path)
    again = Scenario.model_validate(scenario.as_document())
    assert again == scenario
    csv_file(path, [(0, 0, 1, "w")])
    with pytest.raises(InputError, match=r"sha256=.* is not that of"):
        Scenario.model_validate(scenario.as_document())
    assert traced(path).digest() != scenario.digest()


def test_passes_have_no_trace(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "trace.csv", [(0, 0, 0, "w")])
    with pytest.raises(InputError, match=r"workload\.pattern=trace needs a guest that never stops"):
        traced(path, driver={"kind": "dirty_log_perf_test"})
