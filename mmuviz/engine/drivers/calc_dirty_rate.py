"""QEMU's calc-dirty-rate in its mode dirty-bitmap, while the guest runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field

from mmuviz.engine.choices.units import Time
from mmuviz.engine.drivers.base import PS_PER_NS, Drives, Span, start_guest
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
    """QEMU's calc-dirty-rate by bitmap: enable, GET, CLEAR all, wait, GET again, disable."""

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
        start_guest(session, self.lead)
        session.recorder.enabling(session.machine)
        qemu = qemu_of(session, FEATURES[VERSION], CHUNK_SHIFT)
        self._play(session, calculate_dirtyrate_dirty_bitmap(qemu, Thread()))
        session.machine.halt()

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
            return Pages.of_words(ioctls.get(call.slot.number), call.slot.pages)
        elif isinstance(call, ClearDirtyLog) and isinstance(call.bits, Pages):
            ioctls.clear(call.slot.number, call.first_page, call.num_pages, call.bits.words)
        elif isinstance(call, WaitForMeasure):
            ioctls.iteration = 1
            guest.run_for("interval", 1, machine.time + self.calc_time * PS_PER_NS)
        return None
