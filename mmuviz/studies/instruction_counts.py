"""Counts of each ledger entry per op of a KVM recording: the work that the machine counted during the op."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from mmuviz.mmu.kvm_recording import parse
from mmuviz.mmu.replay import Replay
from mmuviz.mmu.state import I64
from mmuviz.mmu.vm import Vm
from mmuviz.mmu.work import WORK_NAMES, WORK_SLOT_CREATE, WORK_SLOT_PAGE

OF_SLOT: Final = (WORK_SLOT_CREATE, WORK_SLOT_PAGE)
"""Entries that count as work of a slot op; the pages that the recording program maps during the op do not."""


def named(work: I64) -> Counter[str]:
    """Name the machine's work counters as in the ledger.

    Args:
        work: int64[WORK_ENTRIES].

    Returns:
        Count of each entry, without zeros and without entries that only the host profile prices.
    """
    found: Counter[str] = Counter()
    for entry in np.flatnonzero(work).tolist():
        if WORK_NAMES[entry]:
            found[WORK_NAMES[entry]] += int(work[entry])
    return found


def counts_of_ops(document: dict[str, Any]) -> Iterator[Counter[str]]:
    """Replay a KVM recording and count the work of each op.

    Args:
        document: schema kvm-recording/1; the `after` of its ops, if any, is ignored.

    Yields:
        Count of each ledger entry, op by op.

    Raises:
        MmuvizError: the document or one of its ops is refused.
    """
    recording = parse(document)
    replay = Replay(recording, Vm(recording.config), frozenset())
    before = replay.vm.state.work.copy()
    for op, _ in zip(recording.ops, replay.steps(), strict=True):
        now = replay.vm.state.work
        did = now - before
        if op["op"] == "slot":
            kept = did[list(OF_SLOT)]
            did[:] = 0
            did[list(OF_SLOT)] = kept
        yield named(did)
        before = now.copy()
