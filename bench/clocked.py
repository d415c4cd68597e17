"""The clock on: touches a second beside the plain loop, the default story, memory, and a peer written for SimPy."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from bench.peer import PeerGuest
from bench.plain import I64, plain_loop, random_pages
from bench.report import middle, seconds, table
from bench.touches import MOST_TOUCHES, RUNS, SIZES_GIB
from mmuviz.costs.hosts import PROFILES
from mmuviz.engine import clock as layout
from mmuviz.engine.cost_table import price_list
from mmuviz.engine.ioctls import TimedIoctls
from mmuviz.engine.run import Run, simulate
from mmuviz.engine.scenario import Scenario
from mmuviz.engine.timed import LAST, start_all
from mmuviz.ground.pages import PAGES_PER_1G, PAGES_PER_2M
from mmuviz.mmu import work
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, VmConfig
from mmuviz.mmu.features import features_of
from mmuviz.mmu.state import STAT_PF_TAKEN
from mmuviz.workloads import stream as program
from mmuviz.workloads.sequential import Sequential

HOST = PROFILES["split_on_fault"]
PASSES = (("every touch faults", 0.1), ("no touch faults", 1 / 3))
"""Name, and the least share of the plain loop's speed that is wanted."""
STORY_RUNS = 9
STORY_MS = 100
SLOWER = 6
"""At most so many times slower may a touch be at 1.5 TiB than at 4 GiB."""
PEER_PAGES = 32 * PAGES_PER_2M


def new_machine(gib: int) -> TimedIoctls:
    """A VM of 1G pages on kernel 6.12 with one vCPU, eagerly split, logging by write protection, and a clock."""
    config = VmConfig(features_of("6.12"), DirtyLogMode.MANUAL)
    slot = Memslot(0, gib * PAGES_PER_1G, Backing.HUGETLB_1G)
    machine = TimedIoctls(price_list(config, HOST), slot, np.zeros((1, program.COLUMNS), dtype=np.int64))
    go(machine, np.arange(0, slot.pages, PAGES_PER_1G))
    machine.enable()
    return machine


def go(machine: TimedIoctls, gfns: I64) -> int:
    """The one vCPU writes to pages, in a sweep or as they are listed; returns the faults that it took."""
    sweeps = bool(gfns[-1] - gfns[0] == len(gfns) - 1 and (np.diff(gfns[:2]) == 1).all())
    machine.clock = machine.clock._replace(listed=gfns)
    row = machine.clock.stream[0]
    row[:] = 0
    row[program.KIND] = program.STEPS if sweeps else program.LISTED
    row[program.PAGES] = row[program.ACCESSES] = len(gfns)
    row[program.STRIDE], row[program.WRITE_PERMILLE] = 1, program.ALWAYS
    before = int(machine.state.stat[STAT_PF_TAKEN])
    start_all(machine.clock, machine.time)
    machine.run_until(LAST)
    machine.time = int(machine.clock.now.max())
    return int(machine.state.stat[STAT_PF_TAKEN]) - before


def one_run(gib: int, indices: I64) -> list[tuple[float, float]]:
    """Seconds of the machine with its clock, and of the plain loop, in each pass."""
    machine, times = new_machine(gib), []
    plane = np.ones(gib * PAGES_PER_1G, dtype=np.uint8)
    bitmap = np.zeros(gib * PAGES_PER_1G // 64, dtype=np.int64)
    for number in range(len(PASSES)):
        faults: list[int] = []
        mine = seconds(lambda: faults.append(go(machine, indices)))  # noqa: B023  # called at once
        assert faults == [len(indices) if number == 0 else 0], "all touches of the first pass fault, none of the second"
        times.append((mine, seconds(partial(plain_loop, plane, bitmap, indices, 2, 2))))
    return times


def touches() -> str:
    """The table of touches a second."""
    rows, per_touch = [], {}
    for gib in SIZES_GIB:
        count = min(gib * PAGES_PER_1G, MOST_TOUCHES)
        for order in ("sequential", "random"):
            indices = np.arange(count) if order == "sequential" else random_pages(gib * PAGES_PER_1G, count)
            runs = [one_run(gib, indices) for _ in range(RUNS)]
            for number, (name, least) in enumerate(PASSES):
                mine, plain = (middle([each[number][side] for each in runs]) for side in (0, 1))
                ratio = middle([each[number][1] / each[number][0] for each in runs])
                per_touch[gib, order, name] = mine / count
                speeds = [f"{count / each / 1e6:.1f}" for each in (mine, plain)]
                met = "yes" if ratio >= least else "NO"
                rows.append([f"{gib} GiB {order}, {name}", *speeds, f"{ratio:.2f}", f"{least:.2f}", met])
    for order in ("sequential", "random"):
        for name, _ in PASSES:
            slower = per_touch[SIZES_GIB[-1], order, name] / per_touch[SIZES_GIB[0], order, name]
            met = "yes" if slower <= SLOWER else "NO"
            rows.append(
                [f"a touch at 1.5 TiB against 4 GiB, {order}, {name}", "", "", f"{slower:.2f}", f"{SLOWER}", met]
            )
    header = ["with the clock on, million touches/s", "machine", "plain loop", "ratio", "wanted", "met"]
    return table(header, rows)


def story(*, eager: bool) -> Run:
    """The default story: 4 GiB of 1G pages, 4 vCPUs that write every page, kernel 6.1."""
    vm = VmConfig(features_of("6.1"), DirtyLogMode.LEGACY, vcpus=4, eager_page_split=eager)
    return simulate(Scenario(vm, Memslot(0, 4 * PAGES_PER_1G, Backing.HUGETLB_1G), Sequential(), iterations=1))


def both_stories() -> None:
    """Lazy, and eager at enable."""
    story(eager=False)
    story(eager=True)


def bytes_per_page(gib: int) -> float:
    """Bytes of every array of a machine that grows with the guest, over its pages."""
    config = VmConfig(features_of("6.12"), DirtyLogMode.MANUAL)
    stream = np.zeros((1, program.COLUMNS), dtype=np.int64)
    sizes = []
    for slot in (None, Memslot(0, gib * PAGES_PER_1G, Backing.HUGETLB_1G)):
        machine = TimedIoctls(price_list(config, HOST), slot, stream.copy())
        sizes.append(sum(part.nbytes for part in (*machine.state, *machine.clock)))
    return (sizes[1] - sizes[0]) / (gib * PAGES_PER_1G)


def beside_the_peer() -> tuple[float, float, int, int]:
    """Seconds of the model and of the peer for 64 MiB of 2M pages and 4 vCPUs on 6.1, and their faults."""
    vm = VmConfig(features_of("6.1"), DirtyLogMode.LEGACY, vcpus=4, eager_page_split=False)
    scenario = Scenario(vm, Memslot(0, PEER_PAGES, Backing.HUGETLB_2M), Sequential(), iterations=1)
    runs: list[Run] = []
    simulate(replace(scenario, iterations=0))
    mine = seconds(lambda: runs.append(simulate(scenario)))
    price = runs[0].machine.prices.guest
    cost = price[layout.PRICES :]
    peer = PeerGuest(
        PEER_PAGES,
        vcpus=4,
        populate_ns=int(cost[work.WORK_FAULT_MAP_2M]) / 1000,
        fault_ns=int(cost[work.WORK_FAULT_MAP_4K_OF_HUGE]) / 1000,
        zap_ns=int(cost[work.WORK_FAULT_ZAP_2M] + cost[work.WORK_FAULT_TABLE]) / 1000,
        line_ns=int(price[layout.LINE]) / 1000,
        touch_ns=int(price[layout.WRITE_4K]) / 1000,
    )
    other = seconds(peer.run)
    return mine, other, int(runs[0].machine.state.stat[STAT_PF_TAKEN]), peer.faults


def run() -> str:
    """Measure; the tables as text."""
    plain_loop(np.zeros(64, dtype=np.uint8), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), 1, 2)
    both_stories()
    took_ms = 1e3 * middle([seconds(both_stories) for _ in range(STORY_RUNS)])
    sizes = [bytes_per_page(gib) for gib in SIZES_GIB]
    peers = [beside_the_peer() for _ in range(RUNS)]
    mine, other = (middle([each[at] for each in peers]) for at in (0, 1))
    rows = [
        ["default story, lazy and eager", f"{took_ms:.0f} ms", f"{STORY_MS} ms", "yes" if took_ms < STORY_MS else "NO"],
        [
            "memory per guest page at 4, 96 and 1536 GiB",
            " ".join(f"{each:.4f}" for each in sizes) + " bytes",
            "alike",
            "yes" if max(sizes) < 1.01 * min(sizes) else "NO",
        ],
        [
            f"64 MiB, 4 vCPUs: model, and peer in SimPy ({peers[0][2]:,} and {peers[0][3]:,} faults)",
            f"{1e3 * mine:.1f} and {1e3 * other:.0f} ms, {other / mine:.0f} times",
            "",
            "",
        ],
    ]
    return touches() + "\n\n" + table(["with the clock on", "median", "wanted", "met"], rows)
