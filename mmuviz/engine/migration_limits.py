"""Limits at which a migration is given up, and QEMU's measures to make it converge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mmuviz.engine.qemu.cpu_throttle import CpuThrottle


@dataclass(frozen=True)
class Limits:
    """Limits at which a migration is given up by migrate_cancel.

    Attributes:
        cancel_ps: it is cancelled this long after its start; 0 for never.
        longest_ps: the longest duration.
        rounds: the largest number of rounds.
    """

    cancel_ps: int
    longest_ps: int
    rounds: int


@dataclass(frozen=True)
class Helps:
    """QEMU's measures against a migration that does not converge.

    Attributes:
        throttle: parameters of auto-converge; None if it is off.
        dirty_limit_mib: vcpu-dirty-limit, MiB/s; 0 if it is off.
        postcopy_ps: time from the start to migrate-start-postcopy; 0 for never.
        postcopy_rounds: syncs before migrate-start-postcopy; 0 for never.
    """

    throttle: CpuThrottle | None = None
    dirty_limit_mib: int = 0
    postcopy_ps: int = 0
    postcopy_rounds: int = 0


NO_HELPS: Final = Helps()
