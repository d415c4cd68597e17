"""A document's ops under the clock: what each op costs on a host."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from mmuviz.costs.hosts import PROFILES, HostProfile
from mmuviz.engine import clock as layout
from mmuviz.engine.clock import note_tables
from mmuviz.engine.cost_table import PS_PER_NS, Prices, price_list
from mmuviz.engine.ioctl_cost import step_ps
from mmuviz.engine.ioctls import TimedIoctls
from mmuviz.engine.run import stall_quantile
from mmuviz.ground.pages import PAGE_BYTES, PAGE_HEADER_BYTES, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, pages_per_hpage
from mmuviz.mmu.config import Backing, Memslot
from mmuviz.mmu.recordings import Replayable, checked
from mmuviz.mmu.replay import CONTROL_PAGES, CONTROL_SLOT, TEST_SLOT, Replay
from mmuviz.mmu.state import I64
from mmuviz.recording.timing import F64, Ioctl, Timing
from mmuviz.workloads.stream import COLUMNS

PS_PER_MS: Final = 10**6 * PS_PER_NS
PS_PER_US: Final = 10**3 * PS_PER_NS
SHOWN_BINS: Final = 256
QUANTILES: Final = (0.5, 0.99, 0.999)
OTHER_CALLS: Final = ("slot", "delslot", "set_eager_page_split", "ring_collect", "ring_reset")
HOST_OPS: Final = ("dontneed", "hostwrite")
"""What the host does to its memory comes by host faults and the MMU notifier, as faults of the guest do."""


class TimedReplay(Replay):
    """A replay whose machine has a clock, from the first enabling on; it answers as without one."""

    def __init__(self, recording: Replayable, prices: Prices, tracepoints: frozenset[str] = frozenset()) -> None:
        """Create the VM.

        Args:
            recording: a checked document.
            prices: of its configuration on a host.
            tracepoints: kinds of events that are recorded.
        """
        super().__init__(recording, tracepoints)
        stream = np.zeros((recording.config.vcpus, COLUMNS), dtype=np.int64)
        self.timed = TimedIoctls(prices, None, stream, record=bool(tracepoints))
        self.timed.add_memslot(CONTROL_SLOT, Memslot(0, CONTROL_PAGES, Backing.PAGES_4K))
        self.machine = self.timed
        self.begun = False
        self.first = np.zeros((1, layout.SERIES_COLUMNS), dtype=np.int64)

    def ends_ps(self) -> list[int]:
        """Carry all ops out.

        Returns:
            When each ends; 0 for those before the clock begins.

        Raises:
            MmuvizError: the document or one of its ops is refused.
        """
        return [self.timed.time if self.begun else 0 for _ in self.steps()]

    def step(self, op: dict[str, Any]) -> dict[str, Any]:
        """Carry one op out; calls that nothing else times take the time of their work.

        Args:
            op: a checked op.

        Returns:
            The model's `after`.
        """
        self.timed.meter.take()
        after = super().step(op)
        if self.begun and op["op"] in (*OTHER_CALLS, *HOST_OPS):
            did = self.timed.meter.take(whole=op["op"] in HOST_OPS)
            self.timed.wait(step_ps(self.timed.prices, did, 0))
        return after

    def _begin_clock(self) -> None:
        if not self.begun:
            self.begun = True
            self.timed.start_anew()
            note_tables(self.first, 0, self.timed.guest_tables.stat)

    def _enable(self, _op: dict[str, Any]) -> None:
        self._begin_clock()
        self.timed.enable(TEST_SLOT)

    def _disable(self, _op: dict[str, Any]) -> None:
        self.timed.disable(TEST_SLOT)

    def _read_log(self) -> I64:
        return self.timed.get(TEST_SLOT)

    def _clear_log(self, first: int, num: int, bits: I64) -> None:
        del num
        self.timed.clear(first, bits, TEST_SLOT)


class PlainReplay(TimedReplay):
    """The same guest where dirty logging is never enabled."""

    def _enable(self, _op: dict[str, Any]) -> None:
        self._begin_clock()

    def _disable(self, _op: dict[str, Any]) -> None:
        pass

    def _get(self, _op: dict[str, Any]) -> list[list[int]]:
        return []

    def _clear(self, _op: dict[str, Any]) -> None:
        pass


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
    recording, profile = checked(document), PROFILES[host]
    prices = price_list(recording.config, profile)
    replay = TimedReplay(recording, prices)
    ends = replay.ends_ps()
    machine, clock = replay.timed, replay.timed.clock
    shift = int(clock.at[layout.BIN_SHIFT])
    used = (max(ends) >> shift) + 1
    size = -(-used // SHOWN_BINS)
    series = clock.series[: -(-used // size) * size]
    sums = series.reshape(-1, size, layout.SERIES_COLUMNS).sum(axis=1)
    stand = held(np.concatenate([replay.first, series]))[::size]
    return Timing(
        host=host,
        host_says=profile.says,
        causes=layout.CAUSE_NAMES,
        op_end_ms=np.array(ends) / PS_PER_MS,
        plain_ms=_plain_ms(recording, prices),
        ioctls=tuple(Ioctl(call.name, call.start_ps / PS_PER_MS, call.took_ps / PS_PER_MS) for call in machine.calls),
        bin_ms=(size << shift) / PS_PER_MS,
        stall_ms=sums[:, : layout.CAUSES] / PS_PER_MS,
        ioctl_ms=sums[:, layout.IOCTL] / PS_PER_MS,
        table_bytes=stand[:, layout.TABLES] * (PAGE_BYTES + PAGE_HEADER_BYTES),
        reach_bytes=reach_bytes(stand, profile),
        accesses=sums[:, layout.RETIRED],
        vcpu_stall_ms=clock.stall / PS_PER_MS,
        faults=int(clock.hist[layout.CAUSES].sum()),
        fault_us=_fault_us(clock),
    )


def _fault_us(clock: layout.Clock) -> tuple[float, float, float, float]:
    hist, longest = clock.hist[layout.CAUSES], int(clock.longest[layout.CAUSES])
    # A bucket's upper edge may lie above the longest of all.
    first, second, third = (min(stall_quantile(hist, share), longest) / PS_PER_US for share in QUANTILES)
    return first, second, third, longest / PS_PER_US


def _plain_ms(recording: Replayable, prices: Prices) -> F64:
    took: F64 = np.diff(PlainReplay(recording, prices).ends_ps(), prepend=0) / PS_PER_MS
    return took


def held(series: I64) -> I64:
    """Carry what stands at a bin's end on over bins in which nothing was noted.

    Args:
        series: int64[n, columns], what stood at the beginning and then a row a bin, see Clock.

    Returns:
        int64[n, columns].
    """
    noted = (series[:, layout.TABLES :] != 0).any(axis=1)
    at = np.maximum.accumulate(np.where(noted, np.arange(len(series)), 0))
    carried: I64 = series[at]
    return carried


def reach_bytes(columns: I64, host: HostProfile) -> I64:
    """What one core's second-level TLB can map at most, with leaves as they stand.

    2M entries first, since they map more; 4K take what is left.

    Args:
        columns: int64[bins, columns], see Clock.
        host: its TLB.

    Returns:
        int64[bins].
    """
    small, mid, large = (columns[:, layout.PAGES + level] for level in (PG_LEVEL_4K, PG_LEVEL_2M, PG_LEVEL_1G))
    mids = np.minimum(mid, host["stlb_entries"])
    smalls = np.minimum(small, host["stlb_entries"] - mids)
    larges = np.minimum(large, host["stlb_1g_entries"])
    pages = smalls + mids * pages_per_hpage(PG_LEVEL_2M) + larges * pages_per_hpage(PG_LEVEL_1G)
    reach: I64 = pages * PAGE_BYTES
    return reach
