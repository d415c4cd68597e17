"""Benchmarks of the engine: touches per second next to the plain loop, a SimPy model, and costs of Recordings."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from bench.plain import I64, plain_loop, random_pages
from bench.report import peak_kib, seconds, table
from bench.simpy_peer import PeerGuest
from bench.touches import MOST_TOUCHES, RUNS, SIZES_GIB
from mmuviz.core.pages import PAGE_BYTES, PAGES_PER_1G, PAGES_PER_2M
from mmuviz.engine import clock as layout
from mmuviz.engine.calls import CallLog
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.recorder import Recorder
from mmuviz.engine.run import run as run_scenario
from mmuviz.engine.run import session_of
from mmuviz.engine.session import Session
from mmuviz.engine.timed_machine import TimedMachine
from mmuviz.mmu import work
from mmuviz.mmu.state import STAT_PF_TAKEN
from mmuviz.recording import gzip_file
from mmuviz.recording.recording import Recording
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.scenario_files import read_scenario
from mmuviz.workloads import stream as columns

SCENARIOS: Final = Path(__file__).parent.parent / "mmuviz" / "data" / "scenarios"
DEFAULT: Final = SCENARIOS / "running-guest.toml"
HOST: Final = {"profile": "split_on_fault"}
PASSES: Final = (("every touch faults", 0.1), ("no touch faults", 1 / 3))
"""Name of a pass, and its target: the least share of the plain loop's speed."""
DEFAULT_RUNS: Final = 9
DEFAULT_MS: Final = 200
DEFAULT_KB: Final = 200
RECORDING_PERCENT: Final = 15
SLOWER: Final = 6
"""Target: most times by which a touch may be slower at 1.5 TiB than at 4 GiB."""
PEER_PAGES: Final = 32 * PAGES_PER_2M
LARGE_GIB: Final = 1536
LARGE_S: Final = 25
LARGE_GIB_OF_MEMORY: Final = 1.5
LARGE_MB: Final = 5


class NoRecorder(Recorder):
    """A recorder that records nothing, to measure a run without recording."""

    def __init__(self) -> None:
        super().__init__(None, [])

    def begin(self, machine: TimedMachine, log: CallLog) -> None:
        """Set the time to 0."""
        machine.reset_clock()
        log.rows.clear()


def scenario_of(gib: int, vm: dict[str, Any], driver: dict[str, Any], backing: str = "hugetlb_1g") -> Scenario:
    """Make the Scenario of a guest with one memslot at address 0 that writes every page in order."""
    memory = [{"base": 0, "size": gib * PAGES_PER_1G * PAGE_BYTES, "backing": backing}]
    return Scenario.model_validate({"vm": vm, "memory": memory, "driver": driver, "host": HOST})


# Touches


def new_session(gib: int) -> Session:
    """Make a session of 1G pages on kernel 6.12 with one vCPU, eager splitting, and logging by write protection."""
    vm = {"kernel": "6.12", "dirty_log_mode": "manual", "eager_page_split": True, "pml": False}
    session = session_of(scenario_of(gib, vm, {"kind": "dirty_log_perf_test"}))
    go(session.machine, np.arange(0, gib * PAGES_PER_1G, PAGES_PER_1G))
    session.ioctls.enable(0)
    return session


def go(machine: TimedMachine, gfns: I64) -> int:
    """Write to pages with the vCPU, in a sweep or in the order of a list; return the number of its faults."""
    sweeps = bool(gfns[-1] - gfns[0] == len(gfns) - 1 and (np.diff(gfns[:2]) == 1).all())
    machine.clock = machine.clock._replace(listed=gfns)
    row = machine.clock.stream[0]
    row[:] = 0
    row[columns.KIND] = columns.STEPS if sweeps else columns.LISTED
    row[columns.PAGES] = row[columns.ACCESSES] = len(gfns)
    row[columns.STRIDE], row[columns.WRITE_PERMILLE] = 1, columns.ALWAYS
    stat = machine.vm.state.stat
    before = int(stat[STAT_PF_TAKEN])
    machine.start_pass()
    machine.let_finish()
    return int(stat[STAT_PF_TAKEN]) - before


def one_run(gib: int, indices: I64) -> list[tuple[float, float]]:
    """Measure the seconds of the engine, and of the plain loop, in each pass."""
    machine, times = new_session(gib).machine, []
    plane = np.ones(gib * PAGES_PER_1G, dtype=np.uint8)
    bitmap = np.zeros(gib * PAGES_PER_1G // 64, dtype=np.int64)
    for number in range(len(PASSES)):
        faults: list[int] = []
        mine = seconds(lambda: faults.append(go(machine, indices)))  # noqa: B023  # called at once
        assert faults == [len(indices) if number == 0 else 0], "all touches of the first pass fault, none of the second"
        times.append((mine, seconds(partial(plain_loop, plane, bitmap, indices, 2, 2))))
    return times


def touches(sizes_gib: tuple[int, ...] = SIZES_GIB, most: int = MOST_TOUCHES) -> str:
    """Make the table of touches per second."""
    rows, per_touch = [], {}
    for gib in sizes_gib:
        count = min(gib * PAGES_PER_1G, most)
        for order in ("sequential", "random"):
            indices = np.arange(count) if order == "sequential" else random_pages(gib * PAGES_PER_1G, count)
            runs = [one_run(gib, indices) for _ in range(RUNS)]
            for number, (name, least) in enumerate(PASSES):
                mine, plain = (median([each[number][side] for each in runs]) for side in (0, 1))
                ratio = median([each[number][1] / each[number][0] for each in runs])
                per_touch[gib, order, name] = mine / count
                speeds = [f"{count / each / 1e6:.1f}" for each in (mine, plain)]
                rows.append(
                    [f"{gib} GiB {order}, {name}", *speeds, f"{ratio:.2f}", f"{least:.2f}", met(ratio >= least)]
                )
    for order in ("sequential", "random"):
        for name, _ in PASSES:
            slower = per_touch[sizes_gib[-1], order, name] / per_touch[sizes_gib[0], order, name]
            title = f"a touch at {sizes_gib[-1]} GiB against {sizes_gib[0]} GiB, {order}, {name}"
            rows.append([title, "", "", f"{slower:.2f}", f"{SLOWER}", met(slower <= SLOWER)])
    header = ["with the clock on, million touches/s", "machine", "plain loop", "ratio", "wanted", "met"]
    return table(header, rows)


def met(holds: bool) -> str:  # noqa: FBT001  # a cell of a table
    """Return the table cell of a target that is met or not."""
    return "yes" if holds else "NO"


def bytes_per_page(gib: int) -> float:
    """Return the bytes per guest page of all arrays of a session that grow with the guest."""
    vm = {"kernel": "6.12", "dirty_log_mode": "manual", "pml": False}
    sizes = []
    for size_gib in (1, gib):
        machine = session_of(scenario_of(size_gib, vm, {"kind": "dirty_log_perf_test"})).machine
        sizes.append(sum(part.nbytes for part in (*machine.vm.state, *machine.clock)))
    return (sizes[1] - sizes[0]) / ((gib - 1) * PAGES_PER_1G)


# The SimPy model


def beside_the_peer() -> tuple[float, float, int, int]:
    """Measure engine and SimPy model with 64 MiB of 2M pages and 4 vCPUs on 6.1: seconds of both, faults of both."""
    vm = {"kernel": "6.1", "dirty_log_mode": "legacy", "vcpus": 4, "eager_page_split": False, "pml": False}
    memory = [{"base": 0, "size": PEER_PAGES * PAGE_BYTES, "backing": "hugetlb_2m"}]
    driver = {"kind": "dirty_log_perf_test", "iterations": 1}
    session = session_of(Scenario.model_validate({"vm": vm, "memory": memory, "driver": driver, "host": HOST}))
    session.recorder = NoRecorder()
    mine = seconds(lambda: session.scenario.driver.drive(session))
    price = session.machine.costs.guest

    def fault_ns(*entries: int) -> float:
        """Return the modelled time of a fault, ns."""
        return sum(int(price[layout.PRICES + entry]) for entry in entries) / 1000

    peer = PeerGuest(
        PEER_PAGES,
        vcpus=4,
        populate_ns=fault_ns(work.WORK_FAULT_MAP_2M),
        fault_ns=fault_ns(work.WORK_FAULT_MAP_4K_OF_HUGE),
        zap_ns=fault_ns(work.WORK_FAULT_ZAP_2M, work.WORK_FAULT_TABLE),
        line_ns=int(price[layout.LINE]) / 1000,
        touch_ns=int(price[layout.WRITE_4K]) / 1000,
    )
    other = seconds(peer.run)
    return mine, other, int(session.machine.vm.state.stat[STAT_PF_TAKEN]), peer.faults


# Recordings


def file_bytes(recording: Recording) -> int:
    """Return the size of the file that save() writes."""
    return len(gzip_file.compress(recording.content()))


def both_of(path: Path) -> list[Recording]:
    """Run the variants of a scenario file concurrently; compiled code releases the GIL."""
    found = read_scenario(path)
    scenarios = found.scenarios if isinstance(found, Comparison) else (found,)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run_scenario, scenarios))


def recording_percent(scenario: Scenario, runs: int = DEFAULT_RUNS) -> float:
    """Measure the cost of recording in percent of the same run without it, each the least of several runs."""
    with_it: list[float] = []
    without: list[float] = []
    for _ in range(runs):
        for times, records in ((without, False), (with_it, True)):
            session = session_of(scenario)
            if not records:
                session.recorder = NoRecorder()
            times.append(seconds(partial(driven, session, records=records)))
    return 100 * (min(with_it) / min(without) - 1)


def driven(session: Session, *, records: bool) -> None:
    """Execute a run to its end."""
    session.scenario.driver.drive(session)
    if records:
        session.recorder.finish(session.machine)


def large_scenario(gib: int = LARGE_GIB, vcpus: int = 96) -> Scenario:
    """Make a Scenario with initially-all-set: no fault in the first pass, then CLEAR, then a fault at every page."""
    vm = {"kernel": "6.12", "eager_page_split": False, "vcpus": vcpus}
    driver = {"kind": "dirty_log_perf_test", "iterations": 2}
    document = scenario_of(gib, vm, driver).as_document()
    return Scenario.model_validate(document | {"host": {"profile": "tdp_eager"}})


def large_run(gib: int, vcpus: int) -> tuple[float, float, int, int]:
    """Run large_scenario() after the code is compiled: seconds, peak memory in GiB, faults, bytes of the file."""
    run_scenario(large_scenario(1, 2))
    found: list[Recording] = []
    took = seconds(lambda: found.append(run_scenario(large_scenario(gib, vcpus))))
    peak_gib = peak_kib() / 2**20
    return took, peak_gib, sum(found[0].totals["faults"].values()), file_bytes(found[0])


def in_a_process(gib: int = LARGE_GIB, vcpus: int = 96) -> tuple[float, float, int, int]:
    """Run large_run() in a new process, so that its peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(large_run, gib, vcpus).result()


def recordings_rows(gib: int = LARGE_GIB, vcpus: int = 96) -> list[list[str]]:
    """Make the table rows on runs and their Recordings."""
    both_of(DEFAULT)
    took_ms = 1e3 * median([seconds(partial(both_of, DEFAULT)) for _ in range(DEFAULT_RUNS)])
    large_s, peak_gib, faults, size = in_a_process(gib, vcpus)
    rows = [
        [
            "default comparison, file to Recordings",
            f"{took_ms:.0f} ms",
            f"{DEFAULT_MS} ms",
            met(took_ms < DEFAULT_MS),
        ]
    ]
    comparison = read_scenario(DEFAULT)
    assert isinstance(comparison, Comparison)
    for label, scenario in zip(comparison.labels, comparison.scenarios, strict=True):
        percent = recording_percent(scenario)
        rows.append(
            [f"recording, {label}", f"{percent:.1f} %", f"{RECORDING_PERCENT} %", met(percent <= RECORDING_PERCENT)]
        )
    title = f"{gib} GiB, {vcpus} vCPUs, lazy at 6.12"
    rows += [
        [f"{title}, {faults:,} faults", f"{large_s:.1f} s", f"{LARGE_S} s", met(large_s < LARGE_S)],
        [
            f"{title}, peak memory",
            f"{peak_gib:.2f} GiB",
            f"{LARGE_GIB_OF_MEMORY} GiB",
            met(peak_gib < LARGE_GIB_OF_MEMORY),
        ],
        [f"{title}, Recording", f"{size / 1e6:.2f} MB", f"{LARGE_MB} MB", met(size <= LARGE_MB * 10**6)],
    ]
    return rows


def sizes_rows() -> list[list[str]]:
    """Make the table rows on the size of the Recordings of every packaged scenario."""
    rows = []
    for path in sorted(SCENARIOS.glob("*.toml")):
        found = read_scenario(path)
        labels = found.labels if isinstance(found, Comparison) else ("",)
        for label, recording in zip(labels, both_of(path), strict=True):
            size_kb = file_bytes(recording) / 1e3
            wanted = (f"{DEFAULT_KB} kB", met(size_kb <= DEFAULT_KB)) if path == DEFAULT else ("", "")
            rows.append([f"Recording of {path.stem}, {label}".rstrip(", "), f"{size_kb:.0f} kB", *wanted])
    return rows


def run() -> str:
    """Run these benchmarks; return their tables as text."""
    plain_loop(np.zeros(64, dtype=np.uint8), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), 1, 2)
    sizes = [bytes_per_page(gib) for gib in SIZES_GIB]
    beside_the_peer()
    peers = [beside_the_peer() for _ in range(RUNS)]
    mine, other = (median([each[at] for each in peers]) for at in (0, 1))
    rows = [
        [
            "memory per guest page at 4, 96 and 1536 GiB",
            " ".join(f"{each:.4f}" for each in sizes) + " bytes",
            "alike",
            met(max(sizes) < 1.01 * min(sizes)),
        ],
        [
            f"64 MiB, 4 vCPUs: model, and peer in SimPy ({peers[0][2]:,} and {peers[0][3]:,} faults)",
            f"{1e3 * mine:.1f} and {1e3 * other:.0f} ms, {other / mine:.0f} times",
            "",
            "",
        ],
        *recordings_rows(),
        *sizes_rows(),
    ]
    return touches() + "\n\n" + table(["with the clock on", "median", "wanted", "met"], rows)
