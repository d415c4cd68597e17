"""The pre-split of 2020: a thread splits huge pages by dummy faults before logging is enabled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mmuviz.engine.choices.units import Whole
from mmuviz.engine.drivers.base import MOST_ITERATIONS, LogsDirtyPages, enable_logged

if TYPE_CHECKING:
    from mmuviz.engine.session import Session


class PreSplit(LogsDirtyPages):
    """Populate, fault every 4K page for a dummy vCPU, enable, passes of the workload."""

    kind: Literal["pre_split"] = "pre_split"
    iterations: Annotated[Whole, Field(ge=0, le=MOST_ITERATIONS, description="passes after enabling")] = 2

    def least_ps(self) -> int:
        """Return the shortest time that a run can take, ps."""
        return 0

    def drive(self, session: Session) -> None:
        """Run the driver; the clock starts before populating, which is part of the run."""
        guest, ioctls = session.guest, session.ioctls
        session.begin_clock()
        guest.populate()
        for slot in session.logged:
            if not session.scenario.memory[slot].read_only:  # no vCPU can write to a read-only slot
                ioctls.pre_split(slot)
        enable_logged(session)
        for iteration in range(1, self.iterations + 1):
            ioctls.iteration = iteration
            guest.run_pass("dirty", iteration)
