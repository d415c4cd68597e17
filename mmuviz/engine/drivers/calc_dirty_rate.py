"""QEMU's calc-dirty-rate in its mode dirty-bitmap, while the guest runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import numpy as np
from pydantic import Field

from mmuviz.core.pages import BITS_PER_LONG
from mmuviz.engine.choices.units import Time
from mmuviz.engine.drivers.base import PS_PER_NS, Drives, Span
from mmuviz.engine.drivers.migrates import NS_PER_MS, qemu_of
from mmuviz.engine.qemu.calls import ClearDirtyLog, GetDirtyLog, SetMemslot, Steps, WaitForMeasure
from mmuviz.engine.qemu.dirtyrate import calculate_dirtyrate_dirty_bitmap
from mmuviz.engine.qemu.page_set import Pages
from mmuviz.engine.qemu.state import FEATURES, LOG_DIRTY_PAGES, Thread

if TYPE_CHECKING:
    from mmuviz.engine.session import Session

VERSION: Final = "10.0"
CHUNK_SHIFT: Final = 18
"""Without effect: every block is cleared at once, not by chunks."""
MOST_NS: Final = 60 * 10**9
"""QEMU: MAX_CALC_TIME_MS"""


class CalcDirtyRate(Drives):
    """QEMU's calc-dirty-rate by bitmap: enable, GET, CLEAR all, wait, GET what was written meanwhile, disable."""

    kind: Literal["calc_dirty_rate"] = "calc_dirty_rate"
    lead: Annotated[Span, Field(description="how long the guest runs before logging is enabled")] = 0
    calc_time: Annotated[
        Time,
        Field(
            ge=50 * NS_PER_MS,
            le=MOST_NS,
            multiple_of=NS_PER_MS,
            description="how long the guest runs between the CLEAR and the second GET",
            json_schema_extra={"values": "50 ms to 60 s, whole ms"},
        ),
    ] = 10**9

    def least_ps(self) -> int:
        """Return the shortest time that a run can take, ps."""
        return (self.lead + self.calc_time) * PS_PER_NS

    def drive(self, session: Session) -> None:
        """Run the driver; the clock starts after the guest's memory is mapped."""
        guest, machine = session.guest, session.machine
        guest.populate()
        session.begin_clock()
        guest.start()
        guest.run_for("lead", 0, machine.time + self.lead * PS_PER_NS)
        session.recorder.enabling(machine)
        qemu = qemu_of(session, FEATURES[VERSION], CHUNK_SHIFT)
        self._play(session, calculate_dirtyrate_dirty_bitmap(qemu, Thread()))
        machine.halt()

    def _play(self, session: Session, steps: Steps) -> None:
        """Run the thread get_dirtyrate; the BQL stays held between two calls that both need it."""
        locked, answer = False, None
        while True:
            try:
                call = steps.send(answer)
            except StopIteration:
                break
            if call.big_lock != locked:
                locked = not locked
                session.ioctls.take_big_lock() if locked else session.ioctls.drop_big_lock()
            answer = self._answer(session, call)
        if locked:
            session.ioctls.drop_big_lock()

    def _answer(self, session: Session, call: object) -> Any:  # noqa: ANN401  # the answer's type depends on the call
        ioctls, guest, machine = session.ioctls, session.guest, session.machine
        if isinstance(call, SetMemslot):
            change = ioctls.enable if call.flags & LOG_DIRTY_PAGES else ioctls.disable
            change(call.slot.number)
        elif isinstance(call, GetDirtyLog):
            words = ioctls.get(call.slot.number)
            bits = np.unpackbits(words.view(np.uint8), count=call.slot.pages, bitorder="little")
            return Pages(bits.view(np.bool_))
        elif isinstance(call, ClearDirtyLog) and isinstance(call.bits, Pages):
            packed = np.packbits(call.bits.bits, bitorder="little")
            words = np.zeros(-(-call.num_pages // BITS_PER_LONG), np.int64)
            words.view(np.uint8)[: len(packed)] = packed
            ioctls.clear(call.slot.number, call.first_page, call.num_pages, words)
        elif isinstance(call, WaitForMeasure):
            ioctls.iteration = 1
            guest.run_for("interval", 1, machine.time + self.calc_time * PS_PER_NS)
        return None
