"""A driver that executes a list of operations, as in a recording of real KVM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from mmuviz.core.errors import InputError, MmuvizError
from mmuviz.engine.choices.errors import ContradictionError
from mmuviz.engine.drivers.base import Drives
from mmuviz.engine.timed_vm import TimedVm
from mmuviz.mmu.kvm_recording import CheckedRecording
from mmuviz.mmu.replay import ZAPS_ALL, Replay

if TYPE_CHECKING:
    from mmuviz.engine.session import Session


class ListedOps(Drives):
    """Run a list of operations; they add the memslots and say every access."""

    kind: Literal["listed_ops"] = "listed_ops"
    ops: Annotated[
        tuple[dict[str, Any], ...],
        Field(
            description="operations as docs/recordings.md describes them",
            json_schema_extra={"values": "a list of tables", "default": "those of the recording"},
        ),
    ] = ()
    recording: Annotated[
        str,
        Field(
            strict=True,
            max_length=4096,
            description="a recording of real KVM: a file, or the name of a packaged one",
            json_schema_extra={"values": "a path or a name", "depends": "instead of ops"},
        ),
    ] = ""

    @field_validator("ops", mode="after")
    @classmethod
    def _bare(cls, ops: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        """Drop the kernel's answers, which are not part of the input."""
        return tuple({name: value for name, value in op.items() if name != "after"} for op in ops)

    def _check(self) -> None:
        """Require either operations or a recording."""
        if bool(self.ops) == bool(self.recording):
            number = "are both given" if self.ops else "are both missing"
            raise ContradictionError(f"ops and recording {number}; give one of them")

    def least_ps(self) -> int:
        """Return the shortest time that a run can take, ps."""
        return 0

    def drive(self, session: Session) -> None:
        """Run the operations; the clock starts after the first memslot is added."""
        ops, log = session.scenario.ops(), session.log
        recording = CheckedRecording({}, session.machine.vm.config, ops)
        replay = Replay(recording, TimedVm(session.ioctls, session.accesses), frozenset())
        begun = False
        for index, op in enumerate(ops):
            log.op = index
            if not begun and op["op"] == "slot":
                begun = True
                replay.step(op)
                log.count_from_now(session.machine)
                session.begin_clock()
                continue
            with session.guest.phase("op", 0):
                step(replay, index, op, session)
        if not begun:
            session.begin_clock()


def step(replay: Replay[TimedVm], index: int, op: dict[str, Any], session: Session) -> None:
    """Run one operation; the peak of the page tables is measured from the first enable on.

    Raises:
        InputError: the op is refused.
    """
    if op["op"] == "enable":
        session.recorder.enabling(session.machine)
    try:
        replay.step(op)
        if op["op"] in ZAPS_ALL:
            session.log.count_pages_from_zero()
    except MmuvizError as error:
        raise InputError(f"driver.ops[{index}] ({op['op']}): {error}") from error
