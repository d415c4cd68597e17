"""QEMU's pre-copy migration: its place among the drivers; a later version runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NoReturn

from mmuviz.core.errors import InputError
from mmuviz.engine.drivers.base import Drives

if TYPE_CHECKING:
    from mmuviz.engine.session import Session


class QemuPrecopy(Drives):
    """Pre-copy migration as QEMU does it."""

    kind: Literal["qemu_precopy"] = "qemu_precopy"

    def refuse(self) -> NoReturn:
        """Say that this version does not run it.

        Raises:
            InputError: always.
        """
        raise InputError("driver.kind=qemu_precopy comes with a later version; choose live_rounds, which is near to it")

    def least_ps(self) -> int:
        """How long a run takes at least."""
        return 0

    def drive(self, _session: Session) -> None:
        """Refused, see refuse()."""
        self.refuse()
