"""A run in progress: the VM of a Scenario with its clock, its guest, its ioctl thread, and its recorder."""

from __future__ import annotations

from mmuviz.engine.calls import CallLog
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.frames import cell_map
from mmuviz.engine.guest import Guest
from mmuviz.engine.recorder import Recorder
from mmuviz.engine.round_log import RoundLog
from mmuviz.engine.sent_cells import SentCells
from mmuviz.engine.timed_ioctls import TimedIoctls
from mmuviz.engine.timed_machine import TimedMachine
from mmuviz.engine.timed_vm import ListedAccesses


class Session:
    """All parts of a run; a driver uses it to control the guest and the ioctl thread.

    Attributes:
        scenario: the input of the run.
        machine: the VM under its clock.
        ioctls: the thread that calls ioctls.
        guest: the vCPUs.
        recorder: records the tables over time.
        accesses: the access loop of the VM, for ops that list their accesses.
        rounds: the log of a migration's rounds.
        sent_cells: cells of the pages that a migration has sent.
        logged: ids of the memslots that are logged, in order.
    """

    def __init__(
        self, scenario: Scenario, ioctls: TimedIoctls, guest: Guest, recorder: Recorder, accesses: ListedAccesses
    ) -> None:
        """Combine the parts.

        Args:
            scenario: the input of the run.
            ioctls: the thread that calls ioctls.
            guest: the vCPUs.
            recorder: records the tables over time.
            accesses: the access loop of the VM.
        """
        self.scenario = scenario
        self.machine: TimedMachine = ioctls.machine
        self.ioctls = ioctls
        self.guest = guest
        self.recorder = recorder
        self.accesses = accesses
        self.rounds = RoundLog()
        self.sent_cells = SentCells(cell_map(recorder.spans), recorder.spans)
        self.logged = [slot for slot, each in enumerate(scenario.memory) if each.logged]

    @property
    def log(self) -> CallLog:
        """The calls and phases so far."""
        return self.ioctls.log

    def begin_clock(self) -> None:
        """Begin at time 0: earlier work, which prepares the guest, is not part of the run."""
        self.recorder.begin(self.machine, self.log)
