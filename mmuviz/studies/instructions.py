"""`mmuviz instructions`: what each op of a recording costs in instructions, by the ledger.

A cost is a sum that can be argued with: an op takes so many of each entry of the ledger (its bill),
and the bill is a fold over the events of our own machine, never over what the recording says
happened. Instructions of kernel and guest, mitigations off.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mmuviz.costs.counted import Release
from mmuviz.costs.ledger import COSTS, SCALE, lookup
from mmuviz.engine.replayed import record_replay
from mmuviz.ground.errors import MmuvizError
from mmuviz.mmu.features import parse_release
from mmuviz.mmu.recordings import read_document
from mmuviz.recording.columns import I64, Recording
from mmuviz.recording.totals import ACCESS_OPS
from mmuviz.studies.bills.accesses import access_bill
from mmuviz.studies.bills.follow import Followed
from mmuviz.studies.bills.slots import (
    delete_bill,
    disable_bill,
    dontneed_bill,
    enable_bill,
    host_write_bill,
    slot_bill,
)
from mmuviz.studies.bills.words import clear_bill, collect_bill, get_bill, ring_reset_bill

Bill = Counter[str]


def bills(recording: Recording, listed: dict[int, I64] | None = None) -> Iterator[Bill]:
    """How many of each entry of the ledger each op takes.

    Args:
        recording: what our machine did.
        listed: pages of each CLEAR with bits=list, by index of the op.

    Yields:
        One bill an op.
    """
    followed = Followed(recording)
    for op in range(len(recording.ops)):
        yield _bill(followed, op, (listed or {}).get(op))


def _bill(followed: Followed, op: int, listed: I64 | None) -> Bill:
    """The bill of one op; the map is brought past the op on the side of it that the bill wants."""
    kind = followed.recording.ops[op].kind
    if kind in ("enable", "clear"):  # what they walk over is what they split
        followed.advance(op)
        return enable_bill(followed, op) if kind == "enable" else clear_bill(followed, op, listed)
    found = access_bill(followed, op) if kind in ACCESS_OPS else _other_bill(followed, op, kind)
    followed.advance(op)
    return found


def _other_bill(followed: Followed, op: int, kind: str) -> Bill:
    if kind == "set_eager_page_split":
        followed.eager = bool(followed.recording.ops[op].field("value"))
        return Bill({"eager_switch": 1})
    if kind in ("slot", "delslot", "ring_collect"):
        return {"slot": slot_bill, "delslot": delete_bill, "ring_collect": collect_bill}[kind](followed)
    return {
        "disable": disable_bill,
        "get": get_bill,
        "ring_reset": ring_reset_bill,
        "hostwrite": host_write_bill,
        "dontneed": dontneed_bill,
    }[kind](followed, op)


@cache
def prices(release: Release) -> dict[str, int]:
    """What a kernel release pays for one of each entry, in hundredths of an instruction."""
    return {name: lookup(name, release).hundredths for name in COSTS}


def total(bill: Bill, release: Release) -> int:
    """Instructions of a bill, to the nearest whole one."""
    each = prices(release)
    return (sum(count * each[name] for name, count in bill.items()) + SCALE // 2) // SCALE


def listed_pages(document: dict[str, Any]) -> dict[int, I64]:
    """Pages that each CLEAR with bits=list names, by index of the op."""
    ops = enumerate(document["ops"])
    return {index: np.array(op["list"], dtype=np.int64) for index, op in ops if op.get("bits") == "list"}


def instructions(document: dict[str, Any]) -> dict[str, Any]:
    """What each op of a recording costs.

    Args:
        document: schema kvm-recording/1; the `after` of its ops, if any, is not looked at.

    Returns:
        {"name", "ops": [{"op", "instructions"}]}.

    Raises:
        MmuvizError: the document or one of its ops is refused.
    """
    recording = record_replay(document)
    release = parse_release(recording.kernel)
    found = bills(recording, listed_pages(document))
    ops = [{"op": op.kind, "instructions": total(bill, release)} for op, bill in zip(recording.ops, found, strict=True)]
    return {"name": recording.name, "ops": ops}


def instructions_command(paths: list[Path], out: TextIO) -> int:
    """`mmuviz instructions FILE...`: one JSON document a line; a bad file has its error in its place.

    Args:
        paths: recordings.
        out: where the lines go.

    Returns:
        Exit status: 1 if any file was bad.
    """
    status = 0
    for path in paths:
        try:
            line = json.dumps(instructions(read_document(path)), separators=(",", ":"))
        except MmuvizError as error:
            line = json.dumps({"file": str(path), "error": str(error)})
            status = 1
        out.write(line + "\n")
    return status
