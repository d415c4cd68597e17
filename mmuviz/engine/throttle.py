"""vCPUs forced to sleep so that they dirty fewer pages: softmmu/cpu-throttle.c and softmmu/dirtylimit.c."""

from __future__ import annotations

from typing import Final

from mmuviz.core.jit import jit
from mmuviz.engine import clock as layout
from mmuviz.engine.account import spread
from mmuviz.engine.clock import FOREVER, Clock, sift_from
from mmuviz.engine.exits import empty_pml
from mmuviz.mmu.state import MmuState

TIMESLICE_PS: Final = 10**10
"""Time a throttled vCPU runs between two sleeps. QEMU: CPU_THROTTLE_TIMESLICE_NS"""
RETRY_PS: Final = 20 * 10**6
"""Retry interval, 20 us, for a vCPU that cannot sleep yet because it handles a fault or waits in userspace."""


def throttle(clock: Clock, percent: int, time: int) -> None:
    """Throttle all vCPUs from now on: each sleeps at once, and again whenever it may have run for 10 ms.

    Args:
        clock: changed in place.
        percent: share of its time that a vCPU sleeps, 1 to 99; 0 ends throttling.
        time: now, ps.

    QEMU: cpu_throttle_set(), cpu_throttle_timer_tick(), cpu_throttle_thread()
    """
    regs = clock.regs
    if percent == 0:
        regs[[layout.THROTTLE_AT, layout.THROTTLE_RETRY]] = FOREVER
        clock.sleep_owed[:] = 0
        return
    if regs[layout.THROTTLE_AT] == FOREVER:
        regs[layout.THROTTLE_AT] = time
    regs[layout.THROTTLE_SLEEP] = percent * TIMESLICE_PS // (100 - percent)
    regs[layout.THROTTLE_PERIOD] = 100 * TIMESLICE_PS // (100 - percent)


@jit
def sleep(state: MmuState, clock: Clock, vcpu: int, time: int, took: int) -> None:
    """Let a vCPU exit, which empties its PML buffer, and sleep; the caller must restore the heap's order."""
    begin = empty_pml(state, clock, vcpu, max(clock.now[vcpu], time))
    where = (layout.THROTTLED, vcpu, layout.LANE_BLOCKED)
    spread(clock.series, clock.lanes, clock.regs, where, begin, took)
    clock.throttled_ps[vcpu] += took
    clock.sleep_from[vcpu] = begin
    clock.now[vcpu] = clock.in_kernel_until[vcpu] = clock.sleep_until[vcpu] = begin + took


@jit
def order_again(clock: Clock) -> None:
    """Restore the heap's order after the times of several of its vCPUs grew."""
    size = clock.regs[layout.HEAP_SIZE]
    for place in range(size // 2 - 1, -1, -1):
        sift_from(clock.heap, clock.now, size, place)


@jit
def next_throttle(clock: Clock) -> int:
    """Return the time of the next throttle tick or retry, ps."""
    return int(min(clock.regs[layout.THROTTLE_AT], clock.regs[layout.THROTTLE_RETRY]))


@jit
def throttle_vcpus(state: MmuState, clock: Clock, time: int) -> None:
    """Put all vCPUs to sleep at a throttle tick; at a retry, only those that could not sleep before.

    Args:
        state: the page tables that the vCPUs run on.
        clock: changed in place.
        time: next_throttle(), ps.
    """
    regs = clock.regs
    at_tick = time == regs[layout.THROTTLE_AT]
    if at_tick:
        regs[layout.THROTTLE_AT] += regs[layout.THROTTLE_PERIOD]
    regs[layout.THROTTLE_RETRY] = FOREVER
    for vcpu in range(clock.now.shape[0]):
        if clock.phase[vcpu] == layout.FINISHED:
            clock.sleep_owed[vcpu] = 0
        elif (at_tick and clock.sleep_until[vcpu] <= time) or clock.sleep_owed[vcpu] != 0:
            ready = clock.phase[vcpu] == layout.RUNNING
            clock.sleep_owed[vcpu] = 0 if ready else 1
            if ready:
                sleep(state, clock, vcpu, time, regs[layout.THROTTLE_SLEEP])
            else:
                regs[layout.THROTTLE_RETRY] = time + RETRY_PS
    order_again(clock)
    clock.period[:] = FOREVER  # a sleep breaks any periodic repetition


@jit
def skip_throttling(clock: Clock, time: int) -> None:
    """Skip the throttle ticks up to a time, during which no vCPU ran."""
    regs = clock.regs
    regs[layout.THROTTLE_RETRY] = FOREVER
    if regs[layout.THROTTLE_AT] <= time:
        missed = (time - regs[layout.THROTTLE_AT]) // regs[layout.THROTTLE_PERIOD] + 1
        regs[layout.THROTTLE_AT] += missed * regs[layout.THROTTLE_PERIOD]


@jit
def wake(clock: Clock, vcpu: int, time: int) -> None:
    """Wake a vCPU that is stopped for good, and subtract the rest of its sleep from the totals."""
    begin = max(time, clock.sleep_from[vcpu])
    left = clock.sleep_until[vcpu] - begin
    if left <= 0:
        return
    shift = clock.regs[layout.BIN_SHIFT]
    clock.throttled_ps[vcpu] -= left
    clock.sleep_until[vcpu] = begin
    while left > 0:
        index = begin >> shift
        here = min(left, ((index + 1) << shift) - begin)
        clock.series[index, layout.THROTTLED] -= here
        clock.lanes[index, vcpu, layout.LANE_BLOCKED] -= here
        begin += here
        left -= here
