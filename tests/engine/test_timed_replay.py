"""The engine adds time to the machine and nothing else: at no cost it answers as real KVM did."""

from __future__ import annotations

import numpy as np
import pytest

from mmuviz.costs.hosts import PROFILES
from mmuviz.engine.cost_table import Prices, price_list
from mmuviz.engine.ioctls import TimedIoctls
from mmuviz.mmu.config import VmConfig
from mmuviz.mmu.recordings import Replayable, read_document
from mmuviz.mmu.replay import TRACEPOINTS, Replay
from mmuviz.studies import verify
from mmuviz.workloads.stream import COLUMNS
from tests.mmu.recording_files import FOLDER

FILES = sorted(FOLDER.glob("*.json.gz"))
PARTS = 8
"""All recordings, in parts that several processes share."""


def free(config: VmConfig) -> Prices:
    prices = price_list(config, PROFILES["split_on_fault"])
    prices.guest[:] = 0
    prices.steps[:] = 0
    prices.slow[:] = 1024
    nothing = dict.fromkeys(prices.host.values, 0) | {"cores": 1}
    return prices._replace(host=type(prices.host)("free", "", (), nothing))


class FreeMachine(TimedIoctls):
    """The timed machine at no cost; one access takes a picosecond, so that vCPUs take turns."""

    def __init__(self, config: VmConfig, *, record: bool = False) -> None:
        stream = np.zeros((config.vcpus, COLUMNS), dtype=np.int64)
        super().__init__(free(config), None, stream, record=record)


class FreeReplay(Replay):
    """A replay that drives the timed machine."""

    def __init__(self, recording: Replayable, tracepoints: frozenset[str] = TRACEPOINTS) -> None:
        super().__init__(recording, tracepoints)
        plain = self.machine
        self.machine = FreeMachine(plain.config, record=True)
        for slot_id, memslot in plain._slots.items():
            self.machine.add_memslot(slot_id, memslot)


@pytest.mark.parametrize("part", range(PARTS))
def test_recordings_are_exact_in_time(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "Replay", FreeReplay)
    files = FILES[part::PARTS]
    assert len(files) > 100
    differing = {path.name: found[0] for path in files if (found := verify.verify_document(read_document(path)))}
    assert differing == {}
