"""A document's ops under the clock: what each op costs on a host."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from mmuviz.costs.hosts import PROFILES, HostProfile
from mmuviz.engine import clock as layout
from mmuviz.engine.account import bucket_end
from mmuviz.engine.calls import IOCTLS
from mmuviz.engine.choices.recorded import bare_ops, vm_of_recording
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.cost_table import PS_PER_NS
from mmuviz.engine.frame_buffer import STATES
from mmuviz.engine.recording_of import bins_table
from mmuviz.engine.run import session_of
from mmuviz.engine.timed_vm import TimedVm
from mmuviz.ground.pages import PAGE_BYTES, PAGE_HEADER_BYTES, PG_LEVEL_1G, PG_LEVEL_2M, pages_per_hpage
from mmuviz.mmu.config import MAX_GFN
from mmuviz.mmu.recordings import checked
from mmuviz.mmu.replay import Replay
from mmuviz.mmu.state import I64, LOG_TRACED
from mmuviz.recording.timing import Ioctl, Timing

PS_PER_MS: Final = 10**6 * PS_PER_NS
PS_PER_US: Final = 10**3 * PS_PER_NS
SHOWN_BINS: Final = 256
QUANTILES: Final = (0.5, 0.99, 0.999)
SHOWN_STATES: Final = STATES[:4]
"""Table pages, and leaves by level."""


class TimedReplay(Replay[TimedVm]):
    """A replay whose machine has a clock, from the first enabling on; it answers as without one."""

    def __init__(self, document: dict[str, Any], host: str, tracepoints: frozenset[str] = frozenset()) -> None:
        """Create the VM.

        Args:
            document: schema kvm-recording/1.
            host: name of a profile of costs/hosts.py.
            tracepoints: kinds of events that are recorded.

        Raises:
            MmuvizError: the document is refused.
        """
        recording = checked(document)
        driver = {"kind": "listed_ops", "ops": bare_ops(document)}
        vm = vm_of_recording(document)
        self.session = session_of(Scenario.model_validate({"vm": vm, "driver": driver, "host": {"profile": host}}))
        if tracepoints:
            self.session.machine.vm.log_all(LOG_TRACED, 0, MAX_GFN)
        timed = TimedVm(self.session.ioctls, self.session.accesses, answers=bool(tracepoints))
        super().__init__(recording, timed, tracepoints)
        self.begun = False

    def ends_ps(self) -> list[int]:
        """Carry all ops out.

        Returns:
            When each ends; 0 for those before the clock begins.

        Raises:
            MmuvizError: one of the ops is refused.
        """
        ends = [self.session.machine.time if self.begun else 0 for _ in self.steps()]
        if not self.begun:
            self.begin_clock()
        return ends

    def begin_clock(self) -> None:
        """Time 0: the recorder looks at the tables from now on."""
        self.begun = True
        self.session.begin_clock()

    def enable(self, op: dict[str, Any]) -> None:
        """Set the flag; from the first time on, time is counted."""
        if not self.begun:
            self.begin_clock()
        super().enable(op)


class ReplayWithoutLogging(TimedReplay):
    """The same guest where dirty logging is never enabled, and nobody looks at the tables."""

    def begin_clock(self) -> None:
        """Time 0."""
        self.begun = True
        self.session.machine.reset_clock()

    def enable(self, op: dict[str, Any]) -> None:
        """Nothing but that time is counted from the first one on."""
        del op
        if not self.begun:
            self.begin_clock()

    def disable(self, op: dict[str, Any]) -> None:
        """Nothing."""

    def get(self, op: dict[str, Any]) -> list[list[int]]:
        """Nothing."""
        del op
        return []

    def clear(self, op: dict[str, Any]) -> None:
        """Nothing."""


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
    profile, replay = PROFILES[host], TimedReplay(document, host)
    ends, session = replay.ends_ps(), replay.session
    clock = session.machine.clock
    columns, stand, bin_ps = by_bin(replay)
    calls = [row for row in session.log.rows if row["kind"] in IOCTLS]
    return Timing(
        host=host,
        host_says=profile.says,
        causes=layout.CAUSE_NAMES,
        op_end_ms=np.array(ends) / PS_PER_MS,
        plain_ms=np.diff(ReplayWithoutLogging(document, host).ends_ps(), prepend=0) / PS_PER_MS,
        ioctls=tuple(
            Ioctl(
                str(row["kind"]),
                int(row["start_ps"]) / PS_PER_MS,
                (int(row["end_ps"]) - int(row["start_ps"])) / PS_PER_MS,
            )
            for row in calls
        ),
        bin_ms=bin_ps / PS_PER_MS,
        stall_ms=np.stack([columns[f"stall_{cause}_ps"] for cause in layout.CAUSE_NAMES], axis=1) / PS_PER_MS,
        ioctl_ms=columns["ioctl_ps"] / PS_PER_MS,
        table_bytes=stand[:, 0] * (PAGE_BYTES + PAGE_HEADER_BYTES),
        reach_bytes=reach_bytes(stand[:, 1:], profile),
        accesses=columns["accesses"],
        vcpu_stall_ms=clock.stall / PS_PER_MS,
        faults=int(clock.hist[layout.CAUSES].sum()),
        fault_us=_fault_us(clock),
    )


def by_bin(replay: TimedReplay) -> tuple[dict[str, I64], I64, int]:
    """What was recorded over time, in at most SHOWN_BINS bins.

    Args:
        replay: over.

    Returns:
        Sums of each bin by name; int64[bins + 1, 4], SHOWN_STATES at time 0 and at each bin's end; a bin's width, ps.
    """
    session = replay.session
    machine, recorder = session.machine, session.recorder
    recorder.finish(machine)
    if recorder.frames is None:
        raise ValueError("the clock has not begun")
    width = 1 << int(machine.clock.regs[layout.BIN_SHIFT])
    bins = max(-(-machine.time // width), 1)
    seen = recorder.frames.seen()
    fine = {name: np.asarray(each) for name, each in bins_table(machine.clock, seen, bins, width).items()}
    size = -(-bins // SHOWN_BINS)
    starts = np.arange(0, bins, size)
    sums: dict[str, I64] = {name: np.add.reduceat(each, starts) for name, each in fine.items() if name not in STATES}
    first = seen.states[:1, : len(SHOWN_STATES)]
    stand = np.concatenate([first, np.stack([fine[name] for name in SHOWN_STATES], axis=1)])
    return sums, stand[np.append(starts, bins)], size * width


def _fault_us(clock: layout.Clock) -> tuple[float, float, float, float]:
    hist, longest = clock.hist[layout.CAUSES], int(clock.longest[layout.CAUSES])
    # A bucket's upper edge may lie above the longest of all.
    first, second, third = (min(stall_quantile(hist, share), longest) / PS_PER_US for share in QUANTILES)
    return first, second, third, longest / PS_PER_US


def stall_quantile(hist: I64, share: float) -> int:
    """The upper edge of the bucket that a share of all stalls does not exceed, ps."""
    total = int(hist.sum())
    if total == 0:
        return 0
    return bucket_end(int(np.searchsorted(np.cumsum(hist), share * total)))


def reach_bytes(leaves: I64, host: HostProfile) -> I64:
    """What one core's second-level TLB can map at most, with leaves as they are.

    2M entries first, since they map more; 4K take what is left.

    Args:
        leaves: int64[n, 3], of 4K, 2M and 1G.
        host: its TLB.

    Returns:
        int64[n].
    """
    small, mid, large = leaves.T
    mids = np.minimum(mid, host["stlb_entries"])
    smalls = np.minimum(small, host["stlb_entries"] - mids)
    larges = np.minimum(large, host["stlb_1g_entries"])
    pages = smalls + mids * pages_per_hpage(PG_LEVEL_2M) + larges * pages_per_hpage(PG_LEVEL_1G)
    reach: I64 = pages * PAGE_BYTES
    return reach
