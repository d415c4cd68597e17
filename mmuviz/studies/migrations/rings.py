"""Consistency of dirty-ring events: vCPU exits, resets, and QEMU's tracepoints on them."""

from __future__ import annotations

import re
from typing import Final

from mmuviz.studies.migrations.compared import Found
from mmuviz.studies.migrations.plan import Event

REAPED: Final = re.compile(r"reaped (\d+) pages")


class Rings:
    """The state of the rings, from the events so far."""

    def __init__(self) -> None:
        self._reported: list[int] = []
        self._full: list[tuple[str, int]] = []
        self._awake = False

    def left_guest(self, event: Event) -> None:
        """Note the exit of a vCPU whose ring is full."""
        self._full.append((event["by"], event["vcpu"]))

    def reset(self, event: Event, *, deletes: bool) -> Found:
        """Check a reset: one by a vCPU follows its exit, one by the reaper its wakeup; an empty ring is not reset.

        Args:
            event: the reset.
            deletes: whether the thread deletes a slot next, before which rings are reaped too.
        """
        by = event["by"]
        self._reported.append(event["ret"])
        if event["ret"] <= 0:
            yield "entries reset", event["ret"], "more than 0, as an empty ring is not reset"
        if by.startswith("CPU ") and not deletes:
            mine = [each for each in self._full if each[0] == by]
            if not mine:
                yield "reset", by, "no ring of this vCPU is full"
            else:
                self._full.remove(mine[0])
        if by == "kvm-reaper" and not self._awake:
            yield "reset", by, "the reaper sleeps"

    def traced(self, event: Event) -> Found:
        """Check QEMU's tracepoints on rings."""
        name, text = event["ev"], event["a"]
        reaped = REAPED.match(text) if name == "kvm_dirty_ring_reap" else None
        if reaped is not None:
            pages = int(reaped.group(1))
            yield "entries reaped", pages, pages if pages in self._reported else self._reported[-1:]
            self._reported = [each for each in self._reported if each != pages]
        elif name == "kvm_dirty_ring_full" and text not in [f"vcpu {vcpu}" for _, vcpu in self._full]:
            yield "full ring", text, "another vCPU's, or none"
        elif name == "kvm_dirty_ring_reaper":
            self._awake = text == "wakeup"
