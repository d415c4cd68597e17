"""Pages that real KVM lost, as its recordings show (written while logging, but in no later report) or left unsplit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from mmuviz.core.pages import BITS_PER_LONG, SPTE_ENT_PER_PAGE
from mmuviz.engine.choices.recorded import packaged_recordings, recording_document
from mmuviz.mmu.features import features_of

LOST: Final = "lost"
"""Written while logging, and in no later report."""
WHOLE: Final = "whole"
"""In the mask of a CLEAR that splits, although its huge page was not split."""


class Mark(NamedTuple):
    """Pages that an op lost or left unsplit.

    Attributes:
        kind: LOST or WHOLE.
        cause: the cause, one sentence.
        commit: commit that introduced or fixed the defect; empty if no single commit is known.
        op: number of the op.
        until: number of the op that ends the state; None if none does.
        gfns: gfns of the pages, ascending.
    """

    kind: str
    cause: str
    commit: str
    op: int
    until: int | None
    gfns: tuple[int, ...]


_RING_CAUSE: Final = (
    "Initially-all-set protects nothing when logging is enabled, and a ring has no CLEAR that would: no write faults, "
    "and the ring stays empty."
)
_MASK_CAUSE: Final = (
    "A CLEAR whose mask ends on the first page of a 2M region cleared that page's bit, but did not write-protect its "
    "huge page: no later write to it faults."
)
_END_CAUSE: Final = (
    "CLEAR split up to the last page of its mask and not with it, so that a mask of one page splits nothing. Linux 6.8 "
    "mended it."
)
RING: Final = (_RING_CAUSE, "")
MASK: Final = (_MASK_CAUSE, "8921291980db")
END: Final = (_END_CAUSE, "7cd1bf039eeb")
"""A cause, and a commit that changed it: for MASK, the one since which only CLEAR protects huge pages."""


def marks_of(document: Mapping[str, Any]) -> list[Mark]:
    """Find the pages that real KVM lost or left unsplit in a recording of one memslot.

    Args:
        document: a checked KVM recording, with the kernel's answers.

    Returns:
        Marks in the order of their ops; empty for a recording of several memslots.
    """
    ops = document["ops"]
    slots = [op for op in ops if op["op"] in ("slot", "move_slot", "delete_slot")]
    if [op["op"] for op in slots] != ["slot"]:
        return []
    base = int(slots[0]["base_gfn"])
    return sorted([*_lost(document, base), *_whole(document, base)], key=lambda mark: mark.op)


def _lost(document: Mapping[str, Any], base: int) -> Iterator[Mark]:
    ops = document["ops"]
    cause = RING if document["config"]["dirty_log_mode"].startswith("ring") else MASK
    reports = [number for number, op in enumerate(ops) if "dirty_ranges" in op.get("after", {})]
    logs = False
    for number, op in enumerate(ops):
        logs = op["op"] == "enable" or (logs and op["op"] != "disable")
        later = [each for each in reports if each > number]
        if op["op"] != "write" or not logs or not later:
            continue
        ranges = [each for report in later for each in ops[report]["after"]["dirty_ranges"]]
        reported = {page for first, count in ranges for page in range(first, first + count)}
        gfns = tuple(base + page for page in sorted(set(_pages(op["pages"])) - reported))
        if gfns:
            yield Mark(LOST, *cause, number, None, gfns)


def _whole(document: Mapping[str, Any], base: int) -> Iterator[Mark]:
    config, ops = document["config"], document["ops"]
    splits = config["eager_page_split"] and config["dirty_log_mode"] == "manual_initially_set" and config["tdp_mmu"]
    if not splits or not features_of(document["kernel"]).clear_split_end_exclusive:
        return
    for number, op in enumerate(ops):
        if op["op"] != "clear" or op.get("bits") != "list":
            continue
        words: dict[int, int] = {}
        for page in op["list"]:
            words[page // BITS_PER_LONG] = max(page, words.get(page // BITS_PER_LONG, 0))
        left = [base + page for page in words.values() if (base + page) % SPTE_ENT_PER_PAGE == 0]
        for gfn in left:
            region = range(gfn - base, gfn - base + SPTE_ENT_PER_PAGE)
            later = (each for each in range(number + 1, len(ops)) if ops[each]["op"] == "write")
            until = next((each for each in later if any(page in region for page in _pages(ops[each]["pages"]))), None)
            yield Mark(WHOLE, *END, number, until, (gfn,))


def _pages(given: Mapping[str, int] | list[int]) -> list[int]:
    if isinstance(given, Mapping):
        return [given["start"] + given["stride"] * each for each in range(given["count"])]
    return given


def lost_document() -> dict[str, Any]:
    """Return the marks of all packaged KVM recordings that have some: name -> objects with the fields of Mark."""
    found = {name: marks_of(recording_document(name)) for name in packaged_recordings()}
    return {name: [mark._asdict() for mark in marks] for name, marks in found.items() if marks}
