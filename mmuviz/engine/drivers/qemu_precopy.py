"""QEMU's pre-copy migration of a running guest, and QEMU's measures if it does not converge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from mmuviz.engine.choices.errors import ContradictionError
from mmuviz.engine.choices.units import Flag, Percent, Rate, RateOrNone, Whole, parts_of_percent, rate_text, time_text
from mmuviz.engine.drivers.base import MOST_ITERATIONS, PS_PER_NS, Iterations, Span
from mmuviz.engine.drivers.migrates import NS_PER_MS, Migrates, qemu_of
from mmuviz.engine.migration import PS_PER_MS, TimedMigration
from mmuviz.engine.migration_limits import Helps, Limits
from mmuviz.engine.qemu.cpu_throttle import CpuThrottle
from mmuviz.engine.qemu.migration import migration_thread
from mmuviz.engine.qemu.ram import ram_save_cleanup
from mmuviz.engine.qemu.rate_limit import RateLimit
from mmuviz.engine.qemu.state import FEATURES, Thread
from mmuviz.engine.round_log import CANCELLED
from mmuviz.engine.sending import PERMYRIAD, Stream

if TYPE_CHECKING:
    from mmuviz.engine.session import Session

MIB: Final = 1 << 20
MOST_CHANNELS: Final = 255
Step = Annotated[Whole, Field(ge=1, le=99, json_schema_extra={"depends": "auto_converge"})]


class QemuPrecopy(Migrates):
    """QEMU's pre-copy migration, call for call; it completes, is cancelled, or is given up."""

    kind: Literal["qemu_precopy"] = "qemu_precopy"
    version: Annotated[Literal["7.2", "10.0"], Field(description="QEMU release")] = "10.0"
    bandwidth: Annotated[
        Rate,
        Field(ge=64 << 10, le=1 << 40, description="max-bandwidth: limit of sending while the guest runs"),
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
    smm: Annotated[
        Flag,
        Field(
            description="system management mode, as in QEMU's x86 machines: every ioctl comes for both address spaces",
            json_schema_extra={"depends": "no arm64"},
        ),
    ] = False
    auto_converge: Annotated[
        Flag,
        Field(description="auto-converge: vCPUs are throttled when the guest dirties more than half of what is sent"),
    ] = False
    throttle_initial: Annotated[Step, Field(description="cpu-throttle-initial: the first step, percent")] = 20
    throttle_increment: Annotated[Step, Field(description="cpu-throttle-increment: each further step, percent")] = 10
    throttle_max: Annotated[Step, Field(description="max-cpu-throttle: the highest throttle, percent")] = 99
    dirty_limit: Annotated[
        RateOrNone,
        Field(
            le=1 << 40,
            multiple_of=MIB,
            description="vcpu-dirty-limit: limit of each vCPU's dirty rate, kept by sleeps at ring full; 0: none",
            json_schema_extra={"values": "0 or whole MiB/s", "depends": "ring, version 10.0, no auto_converge"},
        ),
    ] = 0
    postcopy_after: Annotated[
        Span, Field(description="time from the migration's start to migrate-start-postcopy; 0: never")
    ] = 0
    postcopy_after_rounds: Annotated[
        Whole, Field(ge=0, le=MOST_ITERATIONS, description="number of syncs before migrate-start-postcopy; 0: never")
    ] = 0
    multifd_channels: Annotated[
        Whole,
        Field(
            ge=0,
            le=MOST_CHANNELS,
            description="multifd-channels: threads that copy pages to the link; 0: the migration thread does",
            json_schema_extra={"depends": "no post-copy"},
        ),
    ] = 0
    zero_percent: Annotated[Percent, Field(description="share of the pages that hold only zeros when first sent")] = 0
    cancel_at: Annotated[Span, Field(description="time from the migration's start to migrate_cancel; 0: never")] = 0
    restart_after: Annotated[
        Span,
        Field(
            description="time from the cancel to a second migration; 0: none",
            json_schema_extra={"depends": "cancel_at"},
        ),
    ] = 0
    longest: Annotated[Span, Field(ge=1, description="a migration that takes longer is cancelled")] = 60 * 10**9
    most_rounds: Annotated[Iterations, Field(description="a migration with this many syncs is cancelled")] = 50

    def _check(self) -> None:
        """Refuse combinations that QEMU refuses, and fields without effect."""
        self._check_throttle()
        self._check_postcopy()
        if self.restart_after and not self.cancel_at:
            raise ContradictionError(
                f"restart_after={time_text(self.restart_after)} follows a cancel; give cancel_at, or leave it out"
            )

    def _check_throttle(self) -> None:
        names = ("throttle_initial", "throttle_increment", "throttle_max")
        given = [name for name in names if getattr(self, name) != type(self).model_fields[name].default]
        if given and not self.auto_converge:
            raise ContradictionError(
                f"{given[0]}={getattr(self, given[0])} belongs to auto-converge; choose auto_converge=true, or leave "
                "it out"
            )
        if self.throttle_max < self.throttle_initial:
            raise ContradictionError(
                f"throttle_max={self.throttle_max} must not be below throttle_initial={self.throttle_initial}"
            )
        if not self.dirty_limit:
            return
        if self.auto_converge:
            raise ContradictionError(
                f"dirty_limit={rate_text(self.dirty_limit)} conflicts with auto_converge=true, as in QEMU; leave one "
                "out"
            )
        if not FEATURES[self.version].dirty_limit:
            raise ContradictionError(
                f"dirty_limit={rate_text(self.dirty_limit)} with version={self.version}: the capability dirty-limit "
                "came with 8.1; choose 10.0"
            )

    def _check_postcopy(self) -> None:
        if self.postcopy_after and self.postcopy_after_rounds:
            raise ContradictionError(
                f"postcopy_after_rounds={self.postcopy_after_rounds} and postcopy_after="
                f"{time_text(self.postcopy_after)} both ask for the switch; leave one out"
            )
        if self.multifd_channels and (self.postcopy_after or self.postcopy_after_rounds):
            raise ContradictionError(
                f"multifd_channels={self.multifd_channels} with post-copy: QEMU {self.version} says that they are not "
                "compatible yet; leave one out"
            )

    def helps(self) -> Helps:
        """Return the measures that help the migration converge."""
        throttle = CpuThrottle(self.throttle_initial, self.throttle_increment, self.throttle_max)
        return Helps(
            throttle if self.auto_converge else None,
            self.dirty_limit // MIB,
            self.postcopy_after * PS_PER_NS,
            self.postcopy_after_rounds,
        )

    def stream(self) -> Stream:
        """Return the parameters of the migration stream."""
        return Stream(self.link, parts_of_percent(self.zero_percent, PERMYRIAD), self.multifd_channels)

    def drive(self, session: Session) -> None:
        """Run the driver."""
        self.begin(session)
        machine, again = session.machine, self.restart_after * PS_PER_NS
        why = self._migrate(session, self.cancel_at * PS_PER_NS)
        if again and why == CANCELLED:
            session.guest.run_for("interval", 0, machine.time + again)
            self._migrate(session, 0)
        machine.halt()

    def _migrate(self, session: Session, cancel_ps: int) -> str | None:
        """Run one migration; return why it was given up, or None if it completed."""
        machine, thread = session.machine, Thread()
        qemu = qemu_of(session, FEATURES[self.version], self.clear_bitmap_shift, smm=self.smm)
        rate = RateLimit(qemu.features, self.bandwidth, self.downtime_limit // NS_PER_MS, machine.time // PS_PER_MS)
        limits = Limits(cancel_ps, self.longest * PS_PER_NS, self.most_rounds)
        migration = TimedMigration(session, qemu, rate, limits, self.stream(), self.helps())
        why = migration.play(migration_thread(qemu, thread))
        migration.stop_helps()
        if why is not None:
            migration.play(ram_save_cleanup(qemu, thread))
        migration.finish(why)
        return why
