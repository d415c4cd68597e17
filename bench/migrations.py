"""Benchmarks of migrations: a very large one, and one of the size that the page shows while a control is moved."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from math import log
from multiprocessing import get_context
from typing import Any, Final, NamedTuple

from bench.engine import file_bytes, met
from bench.report import peak_kib, seconds, table
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run as run_scenario
from mmuviz.recording.recording import Recording

GIB: Final = 1 << 30
PAGE_BYTES: Final = 4096
HOT_PERCENT: Final = 10
ROUND_PERCENT: Final = 5
"""Share of all pages that a round finds dirty, about: those of the hot set that are written in it, each at random."""
LEAD_S: Final = 20
"""Before the migration each vCPU writes every page of its part, one after the other, in so many seconds."""
ROUNDS: Final = 5
"""Number of syncs: at setup, after each of three rounds, and the one at which it is given up."""
BY_GIB: Final[dict[int, tuple[float, float, int]]] = {4: (0.5, 1, 1), 1536: (30, 1.5, 5)}
"""Guest memory in GiB -> targets: seconds, GiB of memory, MB of the Recording."""
MOST_GIB: Final = 6 << 10
"""GiB of a memslot, which has at most 8 TiB less 4 KiB."""
VCPUS: Final = {4: 4, 1536: 416, 12_288: 416}
LINK: Final = "100 Gbit/s"
CHANNELS: Final[dict[int, int]] = {4: 0, 1536: 0, 12_288: 16}
"""Multifd channels. A single thread would take 2.4 hours for 12 TiB, and a migration may last one."""
PAGE_NS: Final = {0: 2650, 16: 335}
"""Time to send a page by channels: that of QEMU's migration thread, and that of the link."""


class Took(NamedTuple):
    """The measurements of a run.

    Attributes:
        seconds: wall time, s.
        cpu_seconds: CPU time, s, which other processes do not affect.
        peak_gib: peak memory, GiB.
        mb: size of the Recording's file, MB.
        rounds_percent: pages sent in each round, in percent of all pages.
    """

    seconds: float
    cpu_seconds: float
    peak_gib: float
    mb: float
    rounds_percent: list[float]


def migration_of(gib: int) -> Scenario:
    """Make a migration with chunks of 1 GiB, of a guest that wrote every page and dirties 5 % in each round."""
    vcpus = VCPUS[gib]
    large = gib > 64
    slots = -(-gib // MOST_GIB)
    pages = gib * GIB // PAGE_BYTES
    channels = CHANNELS[gib]
    first_pass_s = pages * PAGE_NS[channels] // 10**9 or 1
    hot = pages * HOT_PERCENT // 100 // vcpus
    # So many writes at random leave a page of the hot set clean with the probability that gives ROUND_PERCENT; about a
    # third of them comes before the CLEAR of its chunk and does not count for the next round.
    writes = 1.5 * hot * -log(1 - ROUND_PERCENT / HOT_PERCENT)
    pattern = {"pattern": "hot_set", "hot_percent": HOT_PERCENT, "hot_access_percent": 100}
    slow, fast = writes // first_pass_s, writes * 100 / ROUND_PERCENT // first_pass_s
    phases: list[dict[str, Any]] = [
        {"pattern": "sequential", "rate_hz": -(-pages // vcpus // LEAD_S), "duration": f"{LEAD_S + 1} s"},
        {**pattern, "rate_hz": max(int(slow), 1), "duration": f"{first_pass_s} s"},
        {**pattern, "rate_hz": max(int(fast), 1)},
    ]
    return Scenario.model_validate(
        {
            "vm": {"vcpus": vcpus},
            "memory": [{"size": gib * GIB // slots, "backing": "hugetlb_1g" if large else "thp"} for _ in range(slots)],
            "workload": {"pattern": "phases", "phases": phases},
            "host": {"profile": "tdp_eager_416" if large else "tdp_eager"},
            "driver": {
                "kind": "qemu_precopy",
                "lead": f"{LEAD_S + 1} s",
                "bandwidth": LINK,
                "link": LINK,
                "downtime_limit": "1 ms",
                "most_rounds": ROUNDS,
                "longest": "60 min",
                "multifd_channels": channels,
            },
        }
    )


def measured(gib: int) -> Took:
    """Measure one run, after the code is compiled."""
    run_scenario(migration_of(4))
    scenario, found = migration_of(gib), list[Recording]()
    begun = time.process_time()
    took = seconds(lambda: found.append(run_scenario(scenario)))
    cpu = time.process_time() - begun
    pages = gib * GIB // PAGE_BYTES
    shares = [round(100 * each / pages, 1) for each in found[0].rounds.pages_sent.tolist()]
    return Took(took, cpu, peak_kib() / 2**20, file_bytes(found[0]) / 1e6, shares)


def in_a_process(gib: int) -> Took:
    """Run measured() in a new process, so that its peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(partial(measured, gib)).result()


def rows_of(gib: int) -> list[list[str]]:
    """Make the table rows of one guest size: time, memory and file."""
    took = in_a_process(gib)
    title = f"{gib} GiB, {VCPUS[gib]} vCPUs, rounds of {took.rounds_percent} %"
    wanted = BY_GIB.get(gib)
    figures = (took.seconds, took.peak_gib, took.mb)
    texts = (f"{took.seconds:.2f} s ({took.cpu_seconds:.2f} s of CPU)", f"{took.peak_gib:.2f} GiB", f"{took.mb:.2f} MB")
    names = ("time", "peak memory", "Recording")
    return [
        [f"{title}, {name}", text, str(wanted[at]) if wanted else "-", met(figures[at] < wanted[at]) if wanted else "-"]
        for at, (name, text) in enumerate(zip(names, texts, strict=True))
    ]


def run() -> str:
    """Run these benchmarks; return their table as text."""
    rows = [row for gib in VCPUS for row in rows_of(gib)]
    return table(["Migrations", "took", "wanted", ""], rows)


if __name__ == "__main__":
    print(run())
