"""A document's ops under the clock: what each op costs on a host."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from mmuviz.costs.hosts import PROFILES
from mmuviz.engine import clock as layout
from mmuviz.engine.ioctls import TimedIoctls
from mmuviz.engine.prices import PS_PER_NS, price_list
from mmuviz.engine.run import stall_quantile
from mmuviz.ground.pages import PAGE_BYTES, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, pages_per_hpage
from mmuviz.mmu.config import Backing, Memslot
from mmuviz.mmu.recordings import Replayable, checked
from mmuviz.mmu.replay import CONTROL_PAGES, CONTROL_SLOT, TEST_SLOT, Replay
from mmuviz.mmu.state import I64
from mmuviz.recording.timing import Timing
from mmuviz.workloads.stream import COLUMNS

PS_PER_MS: Final = 10**6 * PS_PER_NS
PS_PER_US: Final = 10**3 * PS_PER_NS
SHOWN_BINS: Final = 256
QUANTILES: Final = (0.5, 0.99, 0.999, 1.0)


class TimedReplay(Replay):
    """A replay whose machine has a clock; ioctls and accesses answer as without one."""

    def __init__(self, recording: Replayable, host: str) -> None:
        """Create the VM.

        Args:
            recording: a checked document.
            host: name of a profile of costs/hosts.py.
        """
        super().__init__(recording, frozenset())
        config = recording.config
        stream = np.zeros((config.vcpus, COLUMNS), dtype=np.int64)
        self.timed = TimedIoctls(price_list(config, PROFILES[host]), None, stream)
        self.timed.add_memslot(CONTROL_SLOT, Memslot(0, CONTROL_PAGES, Backing.PAGES_4K))
        self.machine = self.timed

    def _slot(self, op: dict[str, Any]) -> None:
        """The clock begins with the slot."""
        super()._slot(op)
        self.timed.start_anew()

    def _enable(self, _op: dict[str, Any]) -> None:
        self.timed.enable(TEST_SLOT)

    def _disable(self, _op: dict[str, Any]) -> None:
        self.timed.disable(TEST_SLOT)

    def _read_log(self) -> I64:
        return self.timed.get(TEST_SLOT)

    def _clear_log(self, first: int, num: int, bits: I64) -> None:
        del num
        self.timed.clear(first, bits, TEST_SLOT)


def timing_of(document: dict[str, Any], host: str) -> Timing:
    """Run a document under the clock.

    Args:
        document: schema kvm-recording/1, without dirty rings.
        host: name of a profile of costs/hosts.py.

    Returns:
        What it cost; the same arguments give the same.

    Raises:
        MmuvizError: the document or one of its ops is refused.
    """
    replay = TimedReplay(checked(document), host)
    ends = [replay.timed.time for _ in replay.steps()]
    machine, clock = replay.timed, replay.timed.clock
    shift = int(clock.at[layout.BIN_SHIFT])
    used = (max(ends) >> shift) + 1
    size = -(-used // SHOWN_BINS)
    series = clock.series[: -(-used // size) * size]
    sums = series.reshape(-1, size, layout.SERIES_COLUMNS).sum(axis=1)
    last = held(series, used)[size - 1 :: size]
    fault = clock.hist[layout.CAUSES]
    return Timing(
        host=host,
        causes=layout.CAUSE_NAMES,
        op_end_ms=np.array(ends) / PS_PER_MS,
        ioctls=tuple((call.name, call.took_ps / PS_PER_MS) for call in machine.calls),
        bin_ms=(size << shift) / PS_PER_MS,
        stall_ms=sums[:, : layout.CAUSES] / PS_PER_MS,
        ioctl_ms=sums[:, layout.IOCTL] / PS_PER_MS,
        table_bytes=last[:, layout.TABLES] * PAGE_BYTES,
        reach_bytes=reach_bytes(last),
        accesses=sums[:, layout.RETIRED],
        vcpu_stall_ms=clock.stall / PS_PER_MS,
        longest_us=_microseconds([stall_quantile(fault, share) for share in QUANTILES]),
    )


def _microseconds(times_ps: list[int]) -> tuple[float, float, float, float]:
    first, second, third, last = (time / PS_PER_US for time in times_ps)
    return first, second, third, last


def held(series: I64, used: int) -> I64:
    """The series with what stands at a bin's end carried on over bins in which nothing was noted.

    Args:
        series: int64[bins, columns], see Clock.
        used: bins up to the end of the run.

    Returns:
        int64[bins, columns].
    """
    noted = (series[:, layout.TABLES :] != 0).any(axis=1) & (np.arange(len(series)) < used)
    at = np.maximum.accumulate(np.where(noted, np.arange(len(series)), 0))
    carried: I64 = series[at]
    return carried


STLB_ENTRIES: Final = 1536
STLB_1G_ENTRIES: Final = 16
"""Second-level TLB of Skylake and Cascade Lake servers: 1,536 entries shared by 4K and 2M, 16 for 1G.

Source: Intel 64 and IA-32 Architectures Optimization Reference Manual, table of Skylake's TLBs.
"""


def reach_bytes(columns: I64) -> I64:
    """What one core's second-level TLB can map at most, with leaves as they stand.

    2M entries first, since they map more; 4K take what is left.

    Args:
        columns: int64[bins, columns], see Clock.

    Returns:
        int64[bins].
    """
    small, mid, large = (columns[:, layout.PAGES + level] for level in (PG_LEVEL_4K, PG_LEVEL_2M, PG_LEVEL_1G))
    mids = np.minimum(mid, STLB_ENTRIES)
    smalls = np.minimum(small, STLB_ENTRIES - mids)
    pages = smalls + mids * pages_per_hpage(PG_LEVEL_2M)
    reach: I64 = (pages + np.minimum(large, STLB_1G_ENTRIES) * pages_per_hpage(PG_LEVEL_1G)) * PAGE_BYTES
    return reach
