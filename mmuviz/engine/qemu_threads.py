"""QEMU's other threads on the simulated clock: they act while the migration thread sends or sleeps.

They are serialized with it: their work is done between two stretches of sending, and their ioctls delay it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from mmuviz.engine import clock as layout
from mmuviz.engine.clock import FOREVER
from mmuviz.engine.qemu.calls import Steps
from mmuviz.engine.qemu.cpu_throttle import (
    SYNC_PERIOD_MS,
    CpuThrottle,
    DirtySyncTimer,
    ThrottleTrigger,
    mig_throttle_guest_down,
)
from mmuviz.engine.qemu.dirtylimit import CALC_MS, DirtyLimit, dirty_rate_mib
from mmuviz.engine.qemu.dirtyrate import (
    vcpu_dirty_rate_stat_collect,
    vcpu_dirty_rate_stat_finish,
    vcpu_dirty_rate_stat_start,
)
from mmuviz.engine.qemu.kvm_all import kvm_dirty_ring_full, kvm_dirty_ring_reaper_thread
from mmuviz.engine.qemu.migration import migration_bitmap_sync_by_timer
from mmuviz.engine.qemu.state import Qemu, Thread
from mmuviz.engine.throttle import order_again, sleep
from mmuviz.engine.timed_ioctls import TimedIoctls
from mmuviz.mmu.state import I64, RING_HARVEST_INDEX

PS_PER_MS: Final = 10**9
PS_PER_US: Final = 10**6
REAPER_MS: Final = 1000
"""Sleep of kvm_dirty_ring_reaper_thread() in QEMU: one second."""
Play = Callable[[Steps], None]


class QemuThreads:
    """The ring reaper, vCPU threads with a full ring, auto-converge and the dirty limit.

    Attributes:
        percent: share of time that auto-converge makes vCPUs sleep now, percent.
        wants_sync: the main thread's timer wants a sync, which waits for the end of an iteration.
        serves_full_ring: a vCPU's thread is reaping because its ring is full.
    """

    def __init__(
        self, ioctls: TimedIoctls, qemu: Qemu, play: Play, throttle: CpuThrottle | None, limit_mib: int
    ) -> None:
        """Start the threads of a migration.

        Args:
            ioctls: the machine's timed ioctls.
            qemu: QEMU's state.
            play: runs a thread's steps at once.
            throttle: parameters of auto-converge; None if it is off.
            limit_mib: vcpu-dirty-limit, MiB/s; 0 if it is off.
        """
        self.percent = 0
        self.wants_sync = self.serves_full_ring = False
        self._ioctls = ioctls
        self._machine = ioctls.machine
        self._qemu = qemu
        self._play = play
        self._throttle = throttle
        self._limit_mib = limit_mib
        self._trigger = ThrottleTrigger()
        self._sync_timer = DirtySyncTimer()
        self._limit: DirtyLimit | None = None
        self._harvested: I64 = np.zeros(0, np.int64)
        self._at: dict[Callable[[], None], int] = {}
        now = self._machine.time
        if qemu.ring:
            self._at[self._reap] = now + REAPER_MS * PS_PER_MS
        if throttle is not None and qemu.features.syncs_while_throttling:
            self._at[self._sync_tick] = now + SYNC_PERIOD_MS * PS_PER_MS

    # Timers

    def next_ps(self) -> int:
        """Return the time at which the next of them acts, ps."""
        return min(self._at.values(), default=FOREVER)

    def act(self) -> None:
        """Run all threads that are due."""
        for each in [each for each, at in self._at.items() if at <= self._machine.time]:
            each()

    def _reap(self) -> None:
        """Run the reaper, which pauses while a dirty limit is in service."""
        if self._limit is None:
            self._play(kvm_dirty_ring_reaper_thread(Thread()))
        self._at[self._reap] = self._machine.time + REAPER_MS * PS_PER_MS

    def _sync_tick(self) -> None:
        self.wants_sync = self.wants_sync or self._sync_timer.tick(self._qemu.ram.sync_count)
        self._at[self._sync_tick] = self._machine.time + SYNC_PERIOD_MS * PS_PER_MS

    def sync_if_wanted(self) -> None:
        """Let the main thread sync if its timer wants it; bitmap_mutex must be free."""
        if self.wants_sync:
            self.wants_sync = False
            self._play(migration_bitmap_sync_by_timer(self._qemu, Thread()))

    # Throttling

    def period_ended(self, dirty_bytes: int, sent_bytes: int) -> None:
        """Throttle further if the trigger asks for it after a dirty-rate period: see ThrottleTrigger.period_ended()."""
        if self._throttle is None and not self._limit_mib:
            return
        if not self._trigger.period_ended(dirty_bytes, sent_bytes):
            return
        if self._throttle is not None:
            self.percent = mig_throttle_guest_down(self._throttle, self.percent)
            self._machine.throttle(self.percent)
        elif self._limit is None:
            self._begin_limit()

    def _begin_limit(self) -> None:
        """Start the dirty limit. QEMU: migration_dirty_limit_guest() > qmp_set_vcpu_dirty_limit()."""
        config = self._machine.vm.config
        self._limit = DirtyLimit(config.vcpus, self._limit_mib, config.ring_entries or 0)
        for _ in vcpu_dirty_rate_stat_start(self._qemu, Thread()):
            raise AssertionError("logging is enabled already")
        self._begin_measure()

    def _begin_measure(self) -> None:
        self._harvested = self._machine.vm.state.ring_at[:, RING_HARVEST_INDEX].copy()
        self._at[self._measure] = self._machine.time + CALC_MS * PS_PER_MS

    def _measure(self) -> None:
        """Measure each vCPU's dirty rate and adjust its sleep.

        QEMU: vcpu_dirty_rate_stat_thread(), vcpu_calculate_dirtyrate(), dirtylimit_process()
        """
        if self._limit is None:
            return
        self._play(vcpu_dirty_rate_stat_collect(self._qemu, Thread()))
        pages = self._machine.vm.state.ring_at[:, RING_HARVEST_INDEX] - self._harvested
        for vcpu, each in enumerate(pages.tolist()):
            self._limit.adjust(vcpu, dirty_rate_mib(each, CALC_MS))
        self._begin_measure()

    def stop(self) -> None:
        """Stop throttling, because the migration is over or cancelled."""
        self._machine.throttle(0)
        self._ioctls.ring_is_full = self._ioctls.reset_full_rings
        self._at.clear()
        if self._limit is not None:
            self._limit = None
            self._play(vcpu_dirty_rate_stat_finish(self._qemu, Thread()))

    # Full rings

    def ring_is_full(self) -> None:
        """Reap all rings because some are full; under a dirty limit reap each full ring, whose vCPU then sleeps."""
        clock = self._machine.clock
        full = [int(vcpu) for vcpu in np.flatnonzero(clock.phase == layout.RING_FULL)]
        self.serves_full_ring = True
        for vcpu in [None] if self._limit is None else full:
            self._play(kvm_dirty_ring_full(Thread(), vcpu))
        self.serves_full_ring = False

    def resume_full(self) -> None:
        """Resume vCPUs whose full rings were reset; under a dirty limit each sleeps first."""
        machine = self._machine
        for vcpu in self._ioctls.resume_full():
            if self._limit is not None and self._limit.sleep_us[vcpu]:
                took = self._limit.sleep_us[vcpu] * PS_PER_US
                sleep(machine.guest_tables, machine.clock, vcpu, machine.time, took)
        order_again(machine.clock)
