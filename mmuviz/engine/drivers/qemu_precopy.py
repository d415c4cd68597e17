"""QEMU's pre-copy migration of a guest that runs on meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from mmuviz.engine.choices.units import Rate, Whole
from mmuviz.engine.drivers.base import PS_PER_NS, Iterations, Span
from mmuviz.engine.drivers.migrates import NS_PER_MS, Migrates, qemu_of
from mmuviz.engine.migration import PS_PER_MS, Limits, TimedMigration
from mmuviz.engine.qemu.migration import migration_thread
from mmuviz.engine.qemu.ram import ram_save_cleanup
from mmuviz.engine.qemu.rate_limit import RateLimit
from mmuviz.engine.qemu.state import FEATURES, Thread

if TYPE_CHECKING:
    from mmuviz.engine.session import Session

MIB: Final = 1 << 20


class QemuPrecopy(Migrates):
    """QEMU's pre-copy migration, call for call; it completes, is cancelled, or is given up."""

    kind: Literal["qemu_precopy"] = "qemu_precopy"
    version: Annotated[Literal["7.2", "10.0"], Field(description="of QEMU")] = "10.0"
    bandwidth: Annotated[
        Rate,
        Field(ge=64 << 10, le=1 << 40, description="max-bandwidth: what QEMU lets itself send while the guest runs"),
    ] = 128 * MIB
    clear_bitmap_shift: Annotated[
        Whole,
        Field(
            ge=6,
            le=31,
            description="x-clear-bitmap-shift: log2 of the pages of a CLEAR; 18 is 1 GiB",
            json_schema_extra={"depends": "manual modes"},
        ),
    ] = 18
    cancel_at: Annotated[Span, Field(description="migrate_cancel so long after its begin; 0: never")] = 0
    longest: Annotated[Span, Field(ge=1, description="a migration that lasts longer is given up: cancelled")] = (
        60 * 10**9
    )
    most_rounds: Annotated[Iterations, Field(description="one with so many syncs is given up: cancelled")] = 50

    def drive(self, session: Session) -> None:
        """Carry it out."""
        self.begin(session)
        machine, thread = session.machine, Thread()
        qemu = qemu_of(session, FEATURES[self.version], self.clear_bitmap_shift)
        rate = RateLimit(qemu.features, self.bandwidth, self.downtime_limit // NS_PER_MS, machine.time // PS_PER_MS)
        limits = Limits(self.cancel_at * PS_PER_NS, self.longest * PS_PER_NS, self.most_rounds)
        migration = TimedMigration(session, qemu, rate, limits, self.link)
        why = migration.play(migration_thread(qemu, thread))
        if why is not None:
            migration.play(ram_save_cleanup(qemu, thread))
        migration.finish(why)
        machine.halt()
