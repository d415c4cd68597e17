"""Recordings that lack bits: entries of dirty rings were not recorded, and rows with too many runs were cut."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from mmuviz.core.pages import PAGES_PER_2M
from mmuviz.engine.qemu.calls import Harvest
from mmuviz.engine.qemu.state import KvmSlot, Qemu
from mmuviz.studies.migrations.document import Runs
from mmuviz.studies.migrations.partly_known import Bits, PartlyKnown

RANGE_AT: Final = 8 * PAGES_PER_2M
"""First page that the recorded guests write, at 16 MiB."""
STACK_PAGE: Final = 0xE8
"""The one page below 1 MiB that they write."""
SMALL_RANGE: Final = 16384
LARGE_RANGE: Final = 131072
TENTH: Final = 1638
GUEST_PAGES: Final[dict[str, tuple[int, int]]] = {
    "g_seq64": (SMALL_RANGE, 1),
    "g_rnd": (SMALL_RANGE, 1),
    "g_seq512": (LARGE_RANGE, 1),
    "g_c10": (TENTH, 1),
    "g_s10": (SMALL_RANGE, 10),
    "g_idle": (0, 1),
}
"""Length of the written range and stride, in pages, by guest program."""


def lacks_bits(document: dict[str, Any]) -> bool:
    """Whether a recording lacks bits."""
    rings = "dirty-ring-size" in document["config"]["accel"]
    return rings or any(not _complete(event, row) for event in document["events"] for row in event.get("l", ()))


def _complete(event: dict[str, Any], row: list[Any]) -> bool:
    return event["op"] not in ("GET", "CLEAR") or Runs(row[3 if event["op"] == "GET" else 5], 0).complete


def guest_pages(document: dict[str, Any], pages: int) -> Bits:
    """Return the mask of main RAM pages that the guest may write: those of its program, or all if it is unknown."""
    found = np.zeros(pages, np.bool_)
    known = GUEST_PAGES.get(document["config"]["guest"])
    reset = any(event["op"] == "QMP" and event["cmd"] == "system_reset" for event in document["events"])
    if known is None or reset:
        found[:] = True
        return found
    length, stride = known
    found[RANGE_AT : RANGE_AT + length : stride] = True
    found[STACK_PAGE] = True
    return found


class Bitmaps:
    """Answers of GETs and ring harvests, made from the bits and counts in a recording.

    Args:
        document: the recording.
        qemu: the QEMU with the slots; its page sets are PartlyKnown.
    """

    def __init__(self, document: dict[str, Any], qemu: Qemu) -> None:
        self._guest = guest_pages(document, qemu.blocks[0].pages)
        self._main = qemu.blocks[0]

    def _writable(self, slot: KvmSlot) -> Bits:
        if slot.block is self._main:
            return self._guest[slot.offset : slot.offset + slot.pages].copy()
        return np.zeros(slot.pages, np.bool_)

    def got(self, slot: KvmSlot, runs: Runs) -> PartlyKnown:
        """Return the bits of a GET: the listed ones are certain, the missing number is among the pages after them."""
        sure = runs.known(slot.pages)
        maybe = np.zeros(slot.pages, np.bool_)
        owed = runs.bits - int(np.count_nonzero(sure))
        if not runs.complete:
            behind = sum(runs.rows[-1]) + 1 if runs.rows else 0
            maybe[behind:] = self._writable(slot)[behind:]
            if owed > np.count_nonzero(maybe):
                maybe[behind:] = True
        return PartlyKnown(sure, maybe, owed)

    def harvested(self, qemu: Qemu, entries: int) -> Harvest:
        """Return the entries of the rings: an unknown part of the pages that the guest writes, maybe with repeats."""
        if not entries:
            return Harvest(0, [])
        found = [(slot, self._writable(slot)) for slot in qemu.slots[0] if slot.logged]
        return Harvest(
            entries,
            [(slot, PartlyKnown(np.zeros(slot.pages, np.bool_), pages, None)) for slot, pages in found if pages.any()],
        )
