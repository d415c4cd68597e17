"""Interface of a VM that a replay can drive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mmuviz.mmu.config import Memslot, VmConfig
from mmuviz.mmu.counters import Counters
from mmuviz.mmu.kvm_run import RunExit
from mmuviz.mmu.state import I64
from mmuviz.mmu.stats import MemoryOverhead


class Drivable(Protocol):
    """Methods of a VM that a replay calls: those of `Vm`, or of a class that adds a clock to it."""

    @property
    def config(self) -> VmConfig:
        """The VM's configuration."""

    def add_memslot(self, slot_id: int, memslot: Memslot, *, logged: bool = False) -> None:
        """See Vm."""

    def move_memslot(self, slot_id: int, base_gfn: int) -> None:
        """See Vm."""

    def set_read_only(self, slot_id: int, *, value: bool) -> None:
        """See Vm."""

    def delete_memslot(self, slot_id: int) -> None:
        """See Vm."""

    def run(
        self, vcpus: int | I64, gfns: I64, *, write: bool, start: int = 0, ring_full: Callable[[], None] | None = None
    ) -> RunExit:
        """See Vm."""

    def enable_dirty_logging(self, slot_id: int) -> None:
        """See Vm."""

    def disable_dirty_logging(self, slot_id: int) -> None:
        """See Vm."""

    def get_dirty_log(self, slot_id: int) -> I64:
        """See Vm."""

    def clear_dirty_log(self, slot_id: int, first_page: int, num_pages: int, bits: I64) -> None:
        """See Vm."""

    def collect_dirty_rings(self) -> list[tuple[int, I64]]:
        """See Vm."""

    def reset_dirty_rings(self) -> int:
        """See Vm."""

    def set_eager_page_split(self, *, value: bool) -> None:
        """See Vm."""

    def madvise_dontneed(self, slot_id: int, start: int, count: int) -> None:
        """See Vm."""

    def host_write(self, slot_id: int, offsets: I64) -> None:
        """See Vm."""

    def counters(self) -> Counters:
        """See Vm."""

    def memory_overhead(self) -> MemoryOverhead:
        """See Vm."""

    def take_events(self) -> I64:
        """See Vm."""
