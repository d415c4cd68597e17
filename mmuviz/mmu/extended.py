"""Converts kvm-recording/1x documents to plain documents of several slots.

Schema 1x is the recording program's own output, before it was converted to the plain schema:
statistics of the whole VM, events keyed by the text of the tracepoint. The SPTE labels `removed`
and `nonpresent` mean entries that map nothing; a change from one to the other is no change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from mmuviz.core.errors import InputError, short_repr
from mmuviz.mmu.answers import COUNTER_NAMES
from mmuviz.mmu.kvm_recording import OF_NO_SLOT, SCHEMA, TEST_SLOT, field_of

EXTENDED_SCHEMA: Final = "kvm-recording/1x"
Document = dict[str, Any]

MODES: Final = {
    "legacy": "legacy",
    "manual": "manual",
    "manual_initset": "manual_initially_set",
    "ring": "ring",
    "ring_initset": "ring_initially_set",
}
BACKINGS: Final = {
    "anonymous": "4k",
    "anonymous_thp": "thp",
    "anonymous_hugetlb_2mb": "hugetlb_2m",
    "anonymous_hugetlb_1gb": "hugetlb_1g",
}
FLAGS: Final[dict[str, dict[str, bool]]] = {"none": {}, "log": {"logged": True}, "ro": {"read_only": True}}
NESTED: Final = {1: "runs a nested guest", 2: "was made with shadow paging (npt=0)"}
KINDS: Final = {
    "slot": "slot",
    "read": "read",
    "write": "write",
    "enable": "enable",
    "disable": "disable",
    "getlog": "get",
    "clear": "clear",
    "delslot": "delslot",
    "move": "move_slot",
    "setro": "set_read_only",
    "ringcollect": "ring_collect",
    "ringreset": "ring_reset",
    "eager": "set_eager_page_split",
    "hostwrite": "hostwrite",
    "dontneed": "dontneed",
}
NUMBERS: Final[dict[str, dict[str, str]]] = {
    "clear": {"first_page": "first", "num_pages": "n"},
    "move_slot": {"base_gfn": "base"},
    "hostwrite": {"start": "start", "stride": "stride", "count": "count"},
    "dontneed": {"start": "start", "count": "count"},
}
"""Numeric fields of an op in the plain schema, and their names in schema 1x."""
FLUSHES_VARY: Final = ("disable", "dontneed")
"""Ops whose TLB flushes differ from run to run: a yield of the CPU adds one."""
NOT_PRESENT: Final = ("removed", "nonpresent")
WRITE_BIT: Final = 2
PRESENT_BIT: Final = 1
SPTE_EVENT: Final = re.compile(r"spte L(\d) (\S+)>(\S+)")
SPLIT_EVENT: Final = re.compile(r"split L(\d) errno 0 old=(\S+)")
FAULT_EVENT: Final = re.compile(r"fault vcpu(\d+) err=0x([0-9a-f]+)")
FAST_EVENT: Final = re.compile(r"fast vcpu(\d+) \S+ fixed=([01]) spurious=([01])")


def plain_document(document: Document) -> Document:
    """Turn a kvm-recording/1x document into a plain one of several slots.

    Args:
        document: as read; a document of another schema is returned unchanged.

    Returns:
        A document of schema kvm-recording/1.

    Raises:
        InputError: it uses a feature that the model lacks, or breaks the schema.
    """
    if document.get("schema") != EXTENDED_SCHEMA:
        return document
    config, ops = field_of(document, "config", dict, "recording"), field_of(document, "ops", list, "recording")
    _refuse_what_is_not_modelled(ops)
    return {
        "schema": SCHEMA,
        "name": document.get("name"),
        "kernel": document.get("kernel"),
        "note": document.get("note", ""),
        "config": _config(config),
        "ops": list(_plain_ops(ops)),
    }


def _refuse_what_is_not_modelled(ops: list[Any]) -> None:
    for index, op in enumerate(ops):
        kind = op.get("op") if isinstance(op, dict) else None
        if kind == "vm" and op.get("nested"):
            why = NESTED.get(op["nested"], f"has nested={short_repr(op['nested'])}")
            raise InputError(f"it {why}; only recordings of guests on the TDP MMU can be read in schema 1x")
        if kind == "slot" and op.get("backing") not in BACKINGS:
            raise InputError(
                f"op {index}: backing={short_repr(op.get('backing'))} must be one of {', '.join(BACKINGS)}"
            )
        if kind != "vm" and kind not in KINDS:
            raise InputError(f"op {index}: {short_repr(kind)} is not modelled; ops are {', '.join(KINDS)}")


def _config(config: Document) -> Document:
    mode = config.get("mode")
    if mode not in MODES:
        raise InputError(f"config: mode={short_repr(mode)} must be one of {', '.join(MODES)}")
    return {
        "dirty_log_mode": MODES[mode],
        "eager_page_split": bool(config.get("eager")),
        "tdp_mmu": config.get("tdp_mmu", "Y") == "Y",
        "vcpus": 1,
        "ring_entries": config.get("ring") if mode.startswith("ring") else None,
        "vendor": "amd",
        "pml": False,
    }


def _plain_ops(ops: list[Any]) -> Iterator[Document]:
    """The ops after `vm`, each with its answer."""
    flushes, read_only = 0, set[int]()
    for index, op in enumerate(ops):
        where = f"op {index} ({op['op']})"
        after = field_of(op, "after", dict, where)
        before, flushes = flushes, field_of(after, "remote_tlb_flush_requests", int, where)
        if op["op"] == "vm":
            continue
        plain = _plain_op(op, read_only, where)
        plain["after"] = _after(op, after, where)
        if op["op"] not in FLUSHES_VARY:
            plain["after"]["tlb_flushes"] = flushes - before
        yield plain


def _plain_op(op: Document, read_only: set[int], where: str) -> Document:
    """An op without its answer.

    Args:
        op: in schema 1x.
        read_only: ids of read-only slots, kept up to date.
        where: the op's place, for messages.
    """
    kind, slot = KINDS[op["op"]], _slot_id(op, where)
    plain: Document = {"op": kind}
    if kind not in OF_NO_SLOT:
        plain["slot"] = slot
    if kind == "slot":
        flags = op.get("flags", "none")
        if flags not in FLAGS:
            raise InputError(f"{where}: flags={short_repr(flags)} must be one of {', '.join(FLAGS)}")
        plain |= _slot(op, where) | FLAGS[flags]
        read_only |= {slot} if flags == "ro" else set()
    elif kind in ("read", "write"):
        plain |= {"vcpu": 0, "pages": op["list"] if "list" in op else _strided(op, where)}
    elif kind == "clear":
        plain |= {name: op[name] for name in ("bits", "list") if name in op}
    elif kind == "set_read_only":  # the recording program toggles it
        plain["value"] = slot not in read_only
    elif kind == "set_eager_page_split":
        plain["value"] = bool(field_of(op, "v", int, where))
    renamed = NUMBERS.get(kind, {})
    return plain | {name: field_of(op, its, int, where) for name, its in renamed.items()}


def _slot_id(op: Document, where: str) -> int:
    """Slot id of an op: `id`, else `slot`, else the recording program's own slot."""
    name = next((name for name in ("id", "slot") if name in op), None)
    return TEST_SLOT if name is None else int(field_of(op, name, int, where))


def _slot(op: Document, where: str) -> Document:
    return {
        "backing": BACKINGS[op["backing"]],
        "base_gfn": field_of(op, "base", int, where),
        "pages": field_of(op, "pages", int, where),
        "hva_offset_pages": op.get("hva_off", 0),
        "host_populated": bool(op.get("populate", 1)),
    }


def _strided(op: Document, where: str) -> Document:
    return {name: field_of(op, name, int, where) for name in ("start", "stride", "count")}


# Answers


def _after(op: Document, after: Document, where: str) -> Document:
    counters = field_of(op, "counters", dict, where)
    plain: Document = {
        "counters": {name: field_of(counters, name, int, where) for name in COUNTER_NAMES},
        "mmio_exits": after.get("mmio_exits", 0) if op["op"] in ("read", "write") else 0,
        **_events(field_of(op, "events", dict, where), field_of(op, "first_events", list, where), where),
    }
    if after.get("ret", 0) < 0:
        plain["errno"] = -after["ret"]
    if "dirty" in op:
        dirty = field_of(op, "dirty", dict, where)
        if op["op"] == "getlog":
            plain["dirty_ranges"] = dirty.get(str(_slot_id(op, where)))
        else:
            slots = sorted(int(slot) for slot in dirty)
            plain["dirty_ranges"] = [[slot, *each] for slot in slots for each in dirty[str(slot)]]
    return plain


def _events(events: Document, first: list[str], where: str) -> Document:
    """Return events in the plain schema, in which the initial fetch of the program's code counts as a read."""
    rows: dict[tuple[str | int, ...], list[Any]] = {}
    for text, found in events.items():
        event_class = _class_of(text)
        if event_class is None:
            continue
        count, runs = field_of(found, "count", int, where), found.get("runs")
        row = rows.setdefault(event_class, [list(event_class), 0, []])
        row[1] += count
        row[2] = None if runs is None or row[2] is None else row[2] + runs
    order: list[list[str | int]] = []
    for text in first:
        class_text, _, gfn = text.rpartition(" @")
        event_class = _class_of(class_text)
        if event_class is not None:
            order.append([*event_class, int(gfn, 16)])
    return {"events": list(rows.values()), "first_events_in_order": order}


def _class_of(text: str) -> tuple[str | int, ...] | None:
    """Return an event's class in the plain schema; None if the schema leaves it out."""
    if found := SPTE_EVENT.fullmatch(text):
        old, new = (_spte_label(each) for each in found.group(2, 3))
        return None if old == new else ("spte", int(found[1]), old, new)
    if found := SPLIT_EVENT.fullmatch(text):
        return "split", int(found[1]), _spte_label(found[2])
    if found := FAULT_EVENT.fullmatch(text):
        code = int(found[2], 16)
        access = "write" if code & WRITE_BIT else "read"
        return "fault", int(found[1]), access + ("_protected" if code & PRESENT_BIT else "_not_present")
    if found := FAST_EVENT.fullmatch(text):
        result = "fixed" if found[2] == "1" else "spurious" if found[3] == "1" else "declined"
        return "fast", int(found[1]), result
    return None


def _spte_label(text: str) -> str:
    """An SPTE's label in the plain schema."""
    return "none" if text in NOT_PRESENT else text.removeprefix("leaf")
