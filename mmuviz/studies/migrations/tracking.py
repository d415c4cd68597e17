"""QEMU's bitmask of dirty-log users. A change is traced; it makes ioctls only for the first and the last user."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from mmuviz.engine.qemu.calls import Steps
from mmuviz.engine.qemu.dirtyrate import vcpu_dirty_rate_stat_finish, vcpu_dirty_rate_stat_start
from mmuviz.engine.qemu.ram import ram_save_cleanup
from mmuviz.engine.qemu.state import GLOBAL_DIRTY_LIMIT, GLOBAL_DIRTY_MIGRATION, Qemu, Thread
from mmuviz.studies.migrations.compared import Found

BITMASK: Final = re.compile(r"bitmask 0x([0-9a-f]+)$")


class Tracking:
    """The last traced change of the bitmask, compared after the model has made it too.

    Args:
        qemu: the QEMU that is played back.
    """

    def __init__(self, qemu: Qemu) -> None:
        self._qemu = qemu
        self._reported: int | None = None

    def changed(self, text: str) -> Found:
        """Note a traced change; a change that makes no calls is made in the model at once."""
        mask = BITMASK.match(text)
        if mask is None:
            yield "dirty tracking", text, f"bitmask {self._qemu.dirty_tracking:#x}"
            return
        self._reported = int(mask.group(1), 16)
        if self._reported == self._qemu.dirty_tracking:
            yield "dirty tracking", text, "no change"
        if self._reported and self._qemu.dirty_tracking:
            self._without_calls(self._reported ^ self._qemu.dirty_tracking, self._reported)
            yield from self.compared()

    def compared(self) -> Found:
        """Compare the bitmask at the first call after a change."""
        if self._reported is not None:
            yield "dirty tracking", f"{self._reported:#x}", f"{self._qemu.dirty_tracking:#x}"
            self._reported = None

    def _without_calls(self, bits: int, reported: int) -> None:
        change: Callable[[Qemu, Thread], Steps] | None = None
        if bits == GLOBAL_DIRTY_LIMIT:
            change = vcpu_dirty_rate_stat_start if reported & bits else vcpu_dirty_rate_stat_finish
        elif bits == GLOBAL_DIRTY_MIGRATION and not reported & bits:
            change = ram_save_cleanup
        for _ in change(self._qemu, Thread()) if change is not None else ():
            return
