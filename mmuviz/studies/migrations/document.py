"""Validation of qemu-migration/1 documents."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmuviz.core.errors import InputError, short_repr
from mmuviz.engine.qemu.state import FEATURES

SCHEMA: Final = "qemu-migration/1"
MAX_PAGES: Final = 1 << 28
"""Most pages of a guest, 1 TiB: a bound on memory; the largest recording has 5 GiB."""

FIELDS: Final[dict[str, type | tuple[type, ...]]] = {
    "schema": str,
    "name": str,
    "kernel": str,
    "qemu": str,
    "config": dict,
    "kvm_caps": list,
    "boot_memslot_changes": dict,
    "memslots_before_migration": list,
    "ram_blocks_in_stream": (list, type(None)),
    "rounds": list,
    "checks": dict,
    "events": list,
    "kvm_stats": list,
    "userspace_exits": dict,
}
BY_THREAD: Final[dict[str, type]] = {"by": str, "bql": int, "locks": int}
EVENT_FIELDS: Final[dict[str, dict[str, type]]] = {
    "QMP": {"cmd": str},
    "EVENT": {"event": str},
    "QUERY_MIGRATE": {"status": str, "ram": dict},
    "QMP_RETURN": {},
    "STDERR": {"text": str},
    "WAITMIG": {"text": str},
    "TRACE": {"ev": str, "a": str},
    "SET_MEM": {**BY_THREAD, "l": list, "n": int},
    "GET": {**BY_THREAD, "l": list, "n": int},
    "CLEAR": {**BY_THREAD, "l": list, "n": int},
    "CHUNK": {"v": list},
    "SEND": {**BY_THREAD, "writes": int, "bytes": int, "normal": int, "zero": int},
    "BW_UPDATE": {"v": list},
    "RESET_RINGS": {**BY_THREAD, "ret": int},
    "EXIT": {"by": str, "vcpu": int, "exit_reason": str},
    "ELIDED": {
        "chunks": int,
        "clears": int,
        "bits": int,
        "d4k": int,
        "d2m": int,
        "sent_normal": int,
        "sent_zero": int,
        "clear_args_as0": list,
    },
}
THROTTLE_PARAMETERS: Final = ("cpu-throttle-initial", "cpu-throttle-increment", "max-cpu-throttle")
RAM_COUNTS: Final = ("dirty-sync-count", "normal", "duplicate", "remaining")
MOST_NUMBER: Final = 1 << 62
"""Above any number of a recording, and far enough below the range of 64 bits for sums."""
COUNTERS: Final = ("pages_4k", "pages_2m")
ROW_NUMBERS: Final = {"SET_MEM": 8, "GET": 3, "CLEAR": 5}
"""Number of integers at the start of a row, by kind of call."""


def is_migration(document: dict[str, Any]) -> bool:
    """Whether a document has the schema qemu-migration/1."""
    return isinstance(document.get("schema"), str) and document["schema"].startswith("qemu-migration/")


def checked(document: dict[str, Any]) -> dict[str, Any]:
    """Validate a document.

    Returns:
        The document.

    Raises:
        InputError: it is invalid; the message is about the first error.
    """
    if document.get("schema") != SCHEMA:
        raise InputError(f"schema={short_repr(document.get('schema'))} must be {SCHEMA}")
    for name, kind in FIELDS.items():
        _typed(document, name, kind, "recording")
    unknown = sorted(set(document) - set(FIELDS))
    if unknown:
        raise InputError(f"recording has no field {short_repr(unknown[0])}; fields are {', '.join(FIELDS)}")
    if document["qemu"] not in FEATURES:
        raise InputError(f"qemu={short_repr(document['qemu'])} must be one of {', '.join(FEATURES)}")
    _check_config(document)
    for index, counters in enumerate(document["kvm_stats"]):
        _check_counters(counters, f"kvm_stats {index}")
    for index, event in enumerate(document["events"]):
        _check_event(event, f"event {index}")
    for index, found in enumerate(document["rounds"]):
        if not isinstance(found, dict):
            raise InputError(f"round {index} must be an object, not {type(found).__name__}")
    return document


def _typed(holder: dict[str, Any], name: str, kind: type | tuple[type, ...], where: str) -> None:
    value = holder.get(name, ...)
    if value is ... or not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        found = "missing" if value is ... else short_repr(value)
        raise InputError(f"{where}: {name} is {found}; it must be {' or '.join(each.__name__ for each in kinds)}")
    _bounded(value, f"{where}: {name}")


def _bounded(value: object, where: str) -> None:
    """Refuse a number that does not fit the arithmetic of a playback."""
    if isinstance(value, int) and abs(value) >= MOST_NUMBER:
        raise InputError(f"{where}={short_repr(value)} must be less than {MOST_NUMBER}")


def _check_config(document: dict[str, Any]) -> None:
    config = document["config"]
    for name, kind in {"mem": int, "guest": str, "accel": str, "machine": str, "back": str}.items():
        _typed(config, name, kind, "config")
    _check_options(config)
    rows = [*document["memslots_before_migration"], *([0, 0, 0, block, 0] for block in [config["mem"] << 8])]
    for row in rows:
        if not _numbers(row, 5) or not 0 < row[3] <= MAX_PAGES or row[0] not in (0, 1):
            raise InputError(f"memslot {short_repr(row)} must be [0 or 1, slot, base_gfn, pages, flags]")
    for block in document["ram_blocks_in_stream"] or []:
        if not (isinstance(block, list) and len(block) == 2 and isinstance(block[0], str) and _numbers(block[1:], 1)):
            raise InputError(f"RAM block {short_repr(block)} must be [idstr, pages]")
        if not 0 < block[1] <= MAX_PAGES:
            raise InputError(f"RAM block {short_repr(block)} must have 1 to {MAX_PAGES} pages")
    for cap in document["kvm_caps"]:
        if not isinstance(cap, list) or len(cap) != 5:
            raise InputError(f"kvm_caps row {short_repr(cap)} must be [who, call, cap, args, ret]")


def _check_options(config: dict[str, Any]) -> None:
    """Check the fields of a configuration that only some recordings have."""
    _bounded(config.get("dl"), "config: dl")
    if not isinstance(config.get("caps", []), list):
        raise InputError(f"config: caps={short_repr(config['caps'])} must be a list of names")
    given = config.get("params")
    params: dict[str, Any] = given if isinstance(given, dict) else {}
    for name in THROTTLE_PARAMETERS:
        if name in params and not _numbers([params[name]], 1):
            raise InputError(f"config: params {name}={short_repr(params[name])} must be a whole number")


def _check_counters(counters: object, where: str) -> None:
    """Check KVM's counters at one time, of which those in COUNTERS are compared."""
    if not isinstance(counters, dict):
        raise InputError(f"{where} must be an object, not {type(counters).__name__}")
    if "note" in counters:
        _typed(counters, "note", str, where)
    for name in COUNTERS:
        value = counters.get(name, 0)
        if type(value) is not int or not 0 <= value <= MAX_PAGES:
            raise InputError(f"{where}: {name}={short_repr(value)} must be a whole number from 0 to {MAX_PAGES}")


def _check_event(event: object, where: str) -> None:
    op = event.get("op") if isinstance(event, dict) else None
    if not isinstance(event, dict) or not isinstance(op, str) or op not in EVENT_FIELDS:
        raise InputError(f"{where} must be an object whose op is one of {', '.join(EVENT_FIELDS)}")
    for name, kind in EVENT_FIELDS[op].items():
        _typed(event, name, kind, f"{where} ({op})")
    if not isinstance(event.get("args"), dict | None):
        raise InputError(f"{where} ({op}): args={short_repr(event['args'])} must be an object or null")
    _bounded((event.get("args") or {}).get("downtime-limit"), f"{where} ({op}): downtime-limit")
    for row in event["l"] if op in ROW_NUMBERS else ():
        _check_row(row, op, f"{where} ({op})")
    _check_counts(event, where)
    _check_places(event, where)


def _check_row(row: object, op: str, where: str) -> None:
    """Check a row: numbers, of GET and CLEAR the runs of their bits, and the counters around the call."""
    many = ROW_NUMBERS[op]
    if not isinstance(row, list) or not _numbers(row[:many], many):
        raise InputError(f"{where}: row {short_repr(row)} must begin with {many} whole numbers")
    rest = row[many + 1 :]
    if not _numbers(rest, len(rest)):
        raise InputError(f"{where}: row {short_repr(row)} must end with whole numbers")
    if op == "SET_MEM":
        if not 0 <= row[3] < MOST_NUMBER or not 0 <= row[4] <= MAX_PAGES:
            raise InputError(f"{where}: row {short_repr(row)} must have a base_gfn and 0 to {MAX_PAGES} pages")
    else:
        Runs(row[many] if len(row) > many else None, row[many - 1], where)


def _check_counts(event: dict[str, Any], where: str) -> None:
    """Check the values of an answer to query-migrate and of a stretch of CLEARs, and the status of an event."""
    for row in event["clear_args_as0"] if event["op"] == "ELIDED" else ():
        if not _numbers(row, 4):
            raise InputError(f"{where} (ELIDED): row {short_repr(row)} must be [slot, first_page, num_pages, bits]")
    if event["op"] == "QUERY_MIGRATE":
        for name in RAM_COUNTS:
            value = event["ram"].get(name, 0)
            if not _numbers([value], 1):
                raise InputError(f"{where} (QUERY_MIGRATE): {name}={short_repr(value)} must be a whole number")
    data = event.get("data")
    if event["op"] == "EVENT" and isinstance(data, dict) and "status" in data:
        _typed(data, "status", str, f"{where} (EVENT)")


def _check_places(event: dict[str, Any], where: str) -> None:
    op = event["op"]
    if op == "CHUNK" and not (len(event["v"]) == 4 and isinstance(event["v"][0], str) and _numbers(event["v"][1:], 3)):
        raise InputError(f"{where} (CHUNK): v={short_repr(event['v'])} must be [RAM block, first, pages, page]")
    window = event["v"] if op == "BW_UPDATE" else event.get("bw_last", [0] * 4)
    if not _numbers(window, 4):
        raise InputError(f"{where} ({op}): {short_repr(window)} must be [bytes, ms, bytes a ms, threshold]")
    for name in ("first", "last"):
        place = event.get(name, ["", 0])
        if not (isinstance(place, list) and len(place) == 2 and isinstance(place[0], str) and _numbers(place[1:], 1)):
            raise InputError(f"{where} ({op}): {name}={short_repr(place)} must be [RAM block, page]")


def _numbers(row: object, count: int) -> bool:
    return (
        isinstance(row, list)
        and len(row) == count
        and all(type(each) is int and abs(each) < MOST_NUMBER for each in row)
    )


class Runs:
    """The bits of a row: runs of pages, "all", None, or the first few runs and the number of further ones.

    Args:
        runs: the runs in the row.
        bits: number of bits that are set.
        where: name of the row, for a message.

    Raises:
        InputError: the runs are malformed.
    """

    def __init__(self, runs: object, bits: int, where: str = "") -> None:
        self.bits = bits
        self.all = runs == "all"
        self.complete = True
        rows = runs if isinstance(runs, list) else []
        if rows and isinstance(rows[-1], str):
            self.complete, rows = False, rows[:-1]
        pairs = all(_numbers(each, 2) and 0 <= each[0] < MAX_PAGES and 0 < each[1] <= MAX_PAGES for each in rows)
        if not (runs is None or self.all or isinstance(runs, list)) or not pairs:
            raise InputError(f'{where}: runs {short_repr(runs)} must be null, "all" or a list of [start, length]')
        self.rows: list[list[int]] = rows

    def known(self, pages: int) -> NDArray[np.bool_]:
        """Return the listed bits as a mask, bool[pages]."""
        found = np.full(pages, fill_value=self.all, dtype=np.bool_)
        for start, length in self.rows:
            found[start : start + length] = True
        return found
