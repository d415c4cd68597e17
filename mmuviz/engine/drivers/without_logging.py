"""The baseline: the same guest without dirty logging."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mmuviz.engine.choices.errors import ContradictionError
from mmuviz.engine.choices.units import Whole, time_text
from mmuviz.engine.drivers.base import MOST_ITERATIONS, PS_PER_NS, Drives, Span

if TYPE_CHECKING:
    from mmuviz.engine.session import Session


def _default_iterations(given: dict[str, Any]) -> int:
    return 0 if given["duration"] else 2


class WithoutLogging(Drives):
    """Populate; then passes of the workload, or a time in which the guest never stops."""

    kind: Literal["without_logging"] = "without_logging"
    duration: Annotated[Span, Field(description="how long the guest runs; 0: passes instead")] = 0
    iterations: Annotated[
        Whole,
        Field(
            ge=0,
            le=MOST_ITERATIONS,
            description="passes of the workload",
            json_schema_extra={"default": "2; 0 with a duration", "depends": "0 with a duration, else 1 or more"},
        ),
    ] = Field(default_factory=_default_iterations)

    def _check(self) -> None:
        """Require either passes or a duration."""
        if self.duration and self.iterations:
            raise ContradictionError(
                f"iterations={self.iterations} and duration={time_text(self.duration)} are two ends of one run; leave "
                "one of them out"
            )
        if not self.duration and not self.iterations:
            raise ContradictionError(
                'iterations=0 needs a duration; give iterations of 1 or more, or a duration, e.g. "1 s"'
            )

    def least_ps(self) -> int:
        """Return the shortest time that a run can take, ps."""
        return self.duration * PS_PER_NS

    def drive(self, session: Session) -> None:
        """Run the driver in the same steps as enable_only or dirty_log_perf_test, without the ioctls."""
        guest, machine = session.guest, session.machine
        if self.duration:
            guest.populate()
            session.begin_clock()
            guest.start()
            guest.run_for("tail", 0, self.duration * PS_PER_NS)
            machine.halt()
            return
        session.begin_clock()
        guest.populate()
        for iteration in range(1, self.iterations + 1):
            guest.run_pass("dirty", iteration)
