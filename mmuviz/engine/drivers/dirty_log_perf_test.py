"""The loop of the kernel's selftest dirty_log_perf_test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mmuviz.engine.choices.units import Flag
from mmuviz.engine.drivers.base import Iterations, LogsDirtyPages, disable_logged, enable_logged, read_log

if TYPE_CHECKING:
    from mmuviz.engine.session import Session


class DirtyLogPerfTest(LogsDirtyPages):
    """Populate, enable, run passes of the workload with a GET and a CLEAR after each, disable."""

    kind: Literal["dirty_log_perf_test"] = "dirty_log_perf_test"
    iterations: Annotated[Iterations, Field(description="passes after enabling, each with its GET and CLEAR")] = 2
    runs_while_disabling: Annotated[Flag, Field(description="vCPUs keep running while logging is disabled")] = False

    def least_ps(self) -> int:
        """Return the shortest time that a run can take, ps."""
        return 0

    def drive(self, session: Session) -> None:
        """Run the driver; the clock starts before populating, which is part of the test."""
        guest, ioctls = session.guest, session.ioctls
        session.begin_clock()
        guest.populate()
        enable_logged(session)
        for iteration in range(1, self.iterations + 1):
            ioctls.iteration = iteration
            guest.run_pass("dirty", iteration)
            read_log(session, 0)
        if self.runs_while_disabling:
            guest.start()
        disable_logged(session)
        session.machine.halt()
