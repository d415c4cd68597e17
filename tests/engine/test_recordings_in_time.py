"""The engine adds time to the machine and nothing else: at no cost it answers as real KVM did."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest

from mmuviz.costs.hosts import PROFILES
from mmuviz.engine import clock as layout
from mmuviz.engine.calls import CallLog
from mmuviz.engine.cost_table import CostTable, cost_table
from mmuviz.engine.timed_ioctls import TimedIoctls
from mmuviz.engine.timed_machine import TimedMachine
from mmuviz.engine.timed_vm import ListedAccesses, TimedVm
from mmuviz.mmu.answers import TRACEPOINTS
from mmuviz.mmu.config import VmConfig
from mmuviz.mmu.kvm_recording import CheckedRecording, read_document
from mmuviz.mmu.replay import Replay
from mmuviz.mmu.vm import Vm
from mmuviz.studies import verify
from mmuviz.workloads.stream import COLUMNS, RAM_COLUMNS
from tests.mmu.recording_files import FILES

PARTS: Final = 8
"""All recordings, in parts that several processes share."""
MOST_BYTES: Final = 40_000
SMALL: Final = [path for path in FILES if path.stat().st_size <= MOST_BYTES]


def free(config: VmConfig) -> CostTable:
    """Nothing costs anything; one access takes a picosecond, so that vCPUs take turns."""
    costs = cost_table(config, PROFILES["split_on_fault"])
    costs.guest[:] = 0
    costs.slowdown_1024[:] = layout.FULL_SPEED
    nothing = dict.fromkeys(costs.host.values, 0) | {"cores": 1}
    return costs._replace(host=type(costs.host)("free", "", (), nothing))


def free_replay_of(recording: CheckedRecording, tracepoints: frozenset[str] = TRACEPOINTS) -> Replay[TimedVm]:
    """A replay that drives the timed machine."""
    config, accesses = recording.config, ListedAccesses()
    costs = free(config)
    vm = Vm(config, record=True, access_loop=accesses)
    stream, ram = np.zeros((config.vcpus, COLUMNS), dtype=np.int64), np.zeros((1, RAM_COLUMNS), dtype=np.int64)
    clock = layout.new_clock(stream, ram, costs.guest, costs.slowdown_1024, 1, 20)
    ioctls = TimedIoctls(TimedMachine(vm, costs, clock), CallLog())
    return Replay(recording, TimedVm(ioctls, accesses, answers=True), tracepoints)


@pytest.mark.parametrize("part", range(PARTS))
def test_recordings_are_exact_in_time(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "replay_of", free_replay_of)
    files = SMALL[part::PARTS]
    assert len(files) > 100
    differing = {path.name: found[0] for path in files if (found := verify.verify_document(read_document(path)))}
    assert differing == {}
