"""A run under way: the VM of a Scenario on its clock, its guest, its ioctl thread, and who records it."""

from __future__ import annotations

from mmuviz.engine.calls import CallLog
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.guest import Guest
from mmuviz.engine.recorder import Recorder
from mmuviz.engine.round_log import RoundLog
from mmuviz.engine.timed_ioctls import TimedIoctls
from mmuviz.engine.timed_machine import TimedMachine
from mmuviz.engine.timed_vm import ListedAccesses


class Session:
    """All parts of a run; a driver is given it, and tells the guest and the ioctl thread what to do.

    Attributes:
        scenario: what is run.
        machine: the VM under its clock.
        ioctls: the thread that calls ioctls.
        guest: the vCPUs.
        recorder: who looks at the tables over time.
        accesses: the access loop of the VM, for ops that list their accesses.
        rounds: of a migration.
        logged: ids of the memslots that are logged, in order.
    """

    def __init__(
        self, scenario: Scenario, ioctls: TimedIoctls, guest: Guest, recorder: Recorder, accesses: ListedAccesses
    ) -> None:
        """Put the parts together.

        Args:
            scenario: what is run.
            ioctls: the thread that calls ioctls.
            guest: the vCPUs.
            recorder: who looks at the tables over time.
            accesses: the access loop of the VM.
        """
        self.scenario = scenario
        self.machine: TimedMachine = ioctls.machine
        self.ioctls = ioctls
        self.guest = guest
        self.recorder = recorder
        self.accesses = accesses
        self.rounds = RoundLog()
        self.logged = [slot for slot, each in enumerate(scenario.memory) if each.logged]

    @property
    def log(self) -> CallLog:
        """The calls and phases so far."""
        return self.ioctls.log

    def begin_clock(self) -> None:
        """Time 0: what was done so far, to make the guest as it is, is no part of the run."""
        self.recorder.begin(self.machine, self.log)
