"""KVM_RUN: checks and executes the accesses of a guest."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mmuviz.core.errors import InputError, KvmEinval, short_repr
from mmuviz.mmu import state as mmu
from mmuviz.mmu import work
from mmuviz.mmu.arrays import VmArrays
from mmuviz.mmu.counting import count_run
from mmuviz.mmu.fault import CACHE_MINIMUM, CACHE_OBJECTS
from mmuviz.mmu.guest_access import guest_access
from mmuviz.mmu.pml import flush_pml_buffer
from mmuviz.mmu.state import I64, STOP_INVALIDATED, STOP_LOG_FULL, STOP_RING_FULL, MmuState

AccessLoop = Callable[[MmuState, I64, I64, int, int], tuple[int, int]]
"""(tables, vcpus, gfns, write, start) to the reason of the stop (DONE, STOP_RING_FULL) and the access not retired."""


class RunExit(NamedTuple):
    """Reason for which KVM_RUN returned.

    Attributes:
        ring_full: KVM_EXIT_DIRTY_RING_FULL; otherwise all accesses retired.
        retired: accesses that retired.
    """

    ring_full: bool
    retired: int


def access_loop(vm: VmArrays) -> AccessLoop:
    """guest_access() up to the end or to a full ring, emptying the event log when it is full."""

    def loop(tables: MmuState, vcpus: I64, gfns: I64, write: int, start: int) -> tuple[int, int]:
        stop, index = guest_access(tables, vcpus, gfns, write, start)
        while stop in (STOP_LOG_FULL, STOP_INVALIDATED):
            if stop == STOP_LOG_FULL:
                vm.drain_log()
            else:
                vm.zap_other_tables(tables)
            stop, index = guest_access(tables, vcpus, gfns, write, index)
        return stop, index

    return loop


class GuestRuns:
    """Runs the guest of one VM."""

    def __init__(self, vm: VmArrays, loop: AccessLoop | None) -> None:
        """Create it.

        Args:
            vm: the arrays.
            loop: executes the accesses in place of guest_access(), as an engine with a clock does.
        """
        self._vm = vm
        self._loop = access_loop(vm) if loop is None else loop

    def run(
        self, vcpus: int | I64, gfns: I64, write: int, start: int, ring_full: Callable[[], None] | None, *, l2: bool
    ) -> RunExit:
        """See Vm.run()."""
        vm = self._vm
        if l2 and vm.l2 is None:
            raise InputError(f"mmu={vm.config.mmu} has no nested guest; choose mmu=nested")
        pages = np.ascontiguousarray(gfns, dtype=np.int64)
        each_vcpu = check_vcpus(vm, vcpus, len(pages))
        check_gfns(vm, pages)
        if not 0 <= start <= len(pages):
            raise KvmEinval(f"start={start} must be 0 to {len(pages)}, the number of accesses")
        if len(pages) == 0:
            return RunExit(ring_full=False, retired=0)
        running = np.unique(each_vcpu)
        load_vcpus(vm, running, l2=l2)
        stop, index = self._loop(self._tables(l2=l2), each_vcpu, pages, write, start)
        while stop == STOP_RING_FULL and ring_full is not None:
            slots, stopped_at = vm.state.slots, index
            ring_full()
            if vm.state.slots is not slots:  # userspace changed the memslots meanwhile
                check_gfns(vm, pages)
            stop, index = self._loop(self._tables(l2=l2), each_vcpu, pages, write, index)
            vm.state.work[work.WORK_RUN] += 1
            if index == stopped_at:
                break
        count_run(vm.state.work, len(running), len(each_vcpu), index - start, write=write != 0)
        if stop != STOP_RING_FULL:
            for vcpu in running:  # the vCPUs exit to userspace
                flush_pml_buffer(vm.state, int(vcpu))
        return RunExit(ring_full=stop == STOP_RING_FULL, retired=index)

    def _tables(self, *, l2: bool) -> MmuState:
        """The tables that the guest runs on; adding or deleting a memslot replaces them."""
        return self._vm.tables[0] if l2 else self._vm.state


def check_vcpus(vm: VmArrays, vcpus: int | I64, accesses: int) -> I64:
    """The vCPU of all accesses, or of each one.

    Raises:
        KvmEinval: a vCPU does not exist, or the number of vCPUs is neither 1 nor that of the accesses.
    """
    last = vm.config.vcpus - 1
    if isinstance(vcpus, int):  # may be too large for an int64 array
        if not 0 <= vcpus <= last:
            raise KvmEinval(f"vcpu={short_repr(vcpus)} must be 0 to {last}")
        return np.array([vcpus], dtype=np.int64)
    each = np.atleast_1d(np.asarray(vcpus, dtype=np.int64))
    if len(each) not in (1, accesses):
        raise KvmEinval(f"vcpus has {len(each)} entries; it must have one, or one for each of {accesses} accesses")
    if len(each) and (each.min() < 0 or each.max() > last):
        raise KvmEinval(f"vcpu={int(each[(each < 0) | (each > last)][0])} must be 0 to {last}")
    return each


def check_gfns(vm: VmArrays, gfns: I64) -> None:
    """Refuse accesses outside all memslots.

    Raises:
        KvmEinval: a gfn is outside; the message names the first.
    """
    if not len(gfns):
        return
    low, high = int(gfns.min()), int(gfns.max())
    if any(slot.base_gfn <= low and high < slot.base_gfn + slot.pages for slot in vm.memslots.values()):
        return
    inside = np.zeros(len(gfns), dtype=np.bool_)
    for slot in vm.memslots.values():
        inside |= (gfns >= slot.base_gfn) & (gfns < slot.base_gfn + slot.pages)
    if not inside.all():
        raise KvmEinval(f"gfn={int(gfns[~inside][0])} must lie inside a memslot")


def load_vcpus(vm: VmArrays, vcpus: I64, *, l2: bool) -> None:
    """Fill each vCPU's caches at its first run; the first vCPU allocates the root. Kernel: kvm_mmu_load()."""
    cache, stat = vm.state.cache, vm.state.stat
    first_run = not cache.any()
    for vcpu in vcpus:
        if cache[vcpu] == 0:
            cache[vcpu] = CACHE_OBJECTS - (1 if first_run else 0)
            vm.state.work[work.WORK_CACHE_REFILL] += CACHE_OBJECTS
            first_run = False
    if l2 and stat[mmu.STAT_SHADOW_PAGES] == 0:  # the root of the L2's tables
        if cache[vcpus[0]] < CACHE_MINIMUM:
            cache[vcpus[0]] = CACHE_OBJECTS
        cache[vcpus[0]] -= 1
        stat[[mmu.STAT_TABLES_ABOVE, mmu.STAT_SHADOW_PAGES]] += 1
