"""Benchmarks of whole-slot operations at 1.5 TiB: time, memory, and independence of small steps from guest size."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from statistics import median

import numpy as np

from bench.report import peak_kib, seconds, table
from bench.touches import BASE_GFN, new_machine, touch
from mmuviz.core.pages import PAGES_PER_1G
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, VmConfig
from mmuviz.mmu.features import features_of
from mmuviz.mmu.vm import Vm

GIB = 1536
PAGES = GIB * PAGES_PER_1G
RUNS = 5
LOCAL_TOUCHES = 1_000_000


def populated(mode: DirtyLogMode) -> Vm:
    """Make a VM with 1.5 TiB of mapped 1G pages."""
    machine = Vm(VmConfig(features_of("6.12"), mode))
    machine.add_memslot(0, Memslot(BASE_GFN, PAGES, Backing.HUGETLB_1G))
    machine.run(0, np.arange(BASE_GFN, BASE_GFN + PAGES, PAGES_PER_1G), write=True)
    return machine


def whole_slot() -> dict[str, float]:
    """Measure the seconds of each whole-slot step, once."""
    everything = np.full(PAGES // 64, -1, dtype=np.int64)
    machine = populated(DirtyLogMode.MANUAL)
    times = {"eager split and write-protect at enable": seconds(lambda: machine.enable_dirty_logging(0))}
    for first in range(0, PAGES, PAGES_PER_1G * 64):
        machine.run(0, np.arange(BASE_GFN + first, BASE_GFN + first + PAGES_PER_1G * 64), write=True)
    times["CLEAR pass, every page dirty"] = seconds(lambda: machine.clear_dirty_log(0, 0, PAGES, everything))
    machine = populated(DirtyLogMode.MANUAL_INITIALLY_SET)
    machine.enable_dirty_logging(0)
    times["first CLEAR under initially-all-set, splitting"] = seconds(
        lambda: machine.clear_dirty_log(0, 0, PAGES, everything)
    )
    return times


def peak_mib() -> float:
    """Measure the peak memory of a process that creates, fills, enables, GETs and CLEARs a 1.5 TiB VM, MiB."""
    code = "from bench.slots import peak_of_this; peak_of_this()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603  # our own code
    return float(done.stdout)


def peak_of_this() -> None:
    """Execute these steps in this process and print its peak memory, MiB."""
    machine = populated(DirtyLogMode.MANUAL)
    machine.enable_dirty_logging(0)
    for first in range(0, PAGES, PAGES_PER_1G):
        machine.run(0, np.arange(BASE_GFN + first, BASE_GFN + first + PAGES_PER_1G), write=True)
    machine.clear_dirty_log(0, 0, PAGES, machine.get_dirty_log(0))
    print(peak_kib() / 1024)


def local(gib: int) -> tuple[float, float]:
    """Measure the seconds of 10^6 touches, and of one CLEAR of 64 pages, in a guest of a given size."""
    machine = new_machine(gib, record=False)
    machine.run(0, np.arange(BASE_GFN, BASE_GFN + gib * PAGES_PER_1G, PAGES_PER_1G), write=True)
    machine.enable_dirty_logging(0)
    pages = np.random.default_rng(1).permutation(4 * PAGES_PER_1G)[:LOCAL_TOUCHES] + BASE_GFN
    touches = seconds(lambda: touch(machine, pages))
    bits = np.full(1, -1, dtype=np.int64)
    clears = [seconds(partial(machine.clear_dirty_log, 0, at * 64, 64, bits)) for at in range(101)]
    return touches, median(clears)


def run() -> str:
    """Run these benchmarks; return their tables as text."""
    runs = [whole_slot() for _ in range(RUNS)]
    rows = [[name, f"{median([each[name] for each in runs]):.2f} s", "2 s"] for name in runs[0]]
    rows.append(["peak memory of the process, 1.5 TiB", f"{peak_mib():.0f} MiB", "1024 MiB"])
    small, large = ([local(gib) for _ in range(RUNS)] for gib in (4, GIB))
    for at, name, unit, scale in (
        (0, "10^6 touches of the first 4 GiB", "ms", 1e3),
        (1, "one CLEAR of 64 pages", "us", 1e6),
    ):
        one, other = (median([each[at] for each in side]) * scale for side in (small, large))
        rows.append([f"{name}: in 4 GiB, in 1.5 TiB", f"{one:.1f} and {other:.1f} {unit}", "alike"])
    return table(["whole slot, 1.5 TiB of 1G pages", "median", "wanted"], rows)
