"""When a migration is given up, and what is done so that it is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mmuviz.engine.qemu.cpu_throttle import CpuThrottle


@dataclass(frozen=True)
class Limits:
    """When a migration is given up, and cancelled as a person would do it.

    Attributes:
        cancel_ps: that long after its begin in any case; 0 for never.
        longest_ps: it lasts no longer.
        rounds: it has no more.
    """

    cancel_ps: int
    longest_ps: int
    rounds: int


@dataclass(frozen=True)
class Helps:
    """What QEMU does about a migration that does not converge.

    Attributes:
        throttle: auto-converge; None where it is off.
        dirty_limit_mib: vcpu-dirty-limit in MiB a second, 0 where it is off.
        postcopy_ps: migrate-start-postcopy comes so long after the begin; 0 for never.
        postcopy_rounds: or after so many syncs; 0 for never.
    """

    throttle: CpuThrottle | None = None
    dirty_limit_mib: int = 0
    postcopy_ps: int = 0
    postcopy_rounds: int = 0


NO_HELPS: Final = Helps()
