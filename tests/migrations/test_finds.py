"""`verify` finds a change of any kind of value in a recording."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.core.errors import MmuvizError
from mmuviz.studies.migrations.verify import verify_migration
from tests.migrations.files import FILES, read, short_name

Document = dict[str, Any]
Site = tuple[str | int, ...]
COLUMNS = {"SET_MEM": 5, "GET": 3, "CLEAR": 5}
TRACES = (
    "migration_bitmap_sync_end",
    "migrate_pending_exact",
    "migration_thread_low_pending",
    "kvm_dirty_ring_reap",
    "kvm_dirty_ring_full",
    "global_dirty_changed",
    "cpu_throttle_set",
)
SUMMED = ("sent_normal", "sent_zero", "chunks", "clears", "bits")
NUMBER = re.compile(r"\d+(?!x)")
KINDS = (
    *(f"{op} column {column}" for op, columns in COLUMNS.items() for column in range(columns)),
    *(f"{op} {name}" for op in COLUMNS for name in ("bql", "locks", "n")),
    *("CLEAR run start", "CLEAR run length", "CHUNK column 1", "CHUNK column 2", "CHUNK column 3"),
    *("SEND first", "SEND last", "SEND normal", "SEND zero", "SEND threshold"),
    *("RESET_RINGS bql", "RESET_RINGS locks", "RESET_RINGS ret"),
    *(f"ELIDED {name}" for name in SUMMED),
    *(f"TRACE {name}" for name in TRACES),
    *("QUERY_MIGRATE dirty-sync-count", "QUERY_MIGRATE normal", "QUERY_MIGRATE duplicate"),
    *("round", "round get_by", "round clear_by", "memslot column 0", "memslot column 1", "memslot column 2"),
    *("memslot column 3", "memslot column 4"),
)


def sites_in_event(at: int, event: Document) -> Iterator[tuple[str, Site]]:
    op, here = event["op"], ("events", at)
    for row, values in enumerate(event.get("l", [])):
        yield from ((f"{op} column {column}", (*here, "l", row, column)) for column in range(COLUMNS[op]))
        for run, pair in enumerate(values[5] if op == "CLEAR" and isinstance(values[5], list) else []):
            if isinstance(pair, list):
                yield "CLEAR run start", (*here, "l", row, 5, run, 0)
                yield "CLEAR run length", (*here, "l", row, 5, run, 1)
    names = ("bql", "locks", "n") if op in COLUMNS else ("bql", "locks", "ret") if op == "RESET_RINGS" else ()
    yield from ((f"{op} {name}", (*here, name)) for name in names)
    if op == "CHUNK":
        yield from ((f"CHUNK column {column}", (*here, "v", column)) for column in (1, 2, 3))
    if op == "SEND":
        yield from ((f"SEND {name}", (*here, name, 1)) for name in ("first", "last") if name in event)
        yield from ((f"SEND {name}", (*here, name)) for name in ("normal", "zero"))
        yield from (("SEND threshold", (*here, "bw_last", 3)) for _ in [0] if "bw_last" in event)
    if op == "ELIDED":
        yield from ((f"ELIDED {name}", (*here, name)) for name in SUMMED)
    if op == "TRACE" and event["ev"] in TRACES and NUMBER.search(event["a"]):
        yield f"TRACE {event['ev']}", (*here, "a")
    if op == "QUERY_MIGRATE" and event["status"] == "completed":
        yield from (
            (f"QUERY_MIGRATE {name}", (*here, "ram", name)) for name in ("dirty-sync-count", "normal", "duplicate")
        )


@cache
def changeable(path: Path) -> dict[str, list[Site]]:
    """Values of each kind, as ways to them."""
    document, found = read(path), dict[str, list[Site]]()
    sites = [each for at, event in enumerate(document["events"]) for each in sites_in_event(at, event)]
    for at, row in enumerate(document["rounds"]):
        sites += [("round", ("rounds", at, name)) for name, value in row.items() if isinstance(value, int)]
        sites += [(f"round {name}", ("rounds", at, name, 2)) for name in ("get_by", "clear_by") if name in row]
    for at in range(len(document["memslots_before_migration"])):
        sites += [(f"memslot column {each}", ("memslots_before_migration", at, each)) for each in range(5)]
    for kind, site in sites:
        found.setdefault(kind, []).append(site)
    return found


def changed(value: object, by: int) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + by if value + by >= 0 else value - by
    assert isinstance(value, str)
    return NUMBER.sub(lambda match: str(int(match.group()) + abs(by)), value, count=1)


def is_found(path: Path, site: Site, by: int) -> bool:
    document: Any = copy.deepcopy(read(path))
    holder = document
    for name in site[:-1]:
        holder = holder[name]
    holder[site[-1]] = 1 - holder[site[-1]] if site[-1] == "bql" else changed(holder[site[-1]], by)
    try:
        return bool(verify_migration(document))
    except MmuvizError:
        return True


def is_compared(site: Site) -> bool:
    """Whether other values of the recording determine this one; not if it is a sum with parts that are not listed."""
    return site[0] != "rounds" or site[2] not in ("last_threshold_size", "bytes", "clear_4k_delta", "clear_2m_delta")


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(data=st.data())
def test_a_changed_value_is_found(kind: str, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([each for each in FILES if kind in changeable(each)]))
    site = data.draw(st.sampled_from([each for each in changeable(path)[kind] if is_compared(each)] or [()]))
    by = data.draw(st.sampled_from([1, -1, 2, 64, 4096]))
    assert not site or is_found(path, site, by), (short_name(path), site, by)


@settings(max_examples=40)
@given(data=st.data())
def test_a_call_left_out_is_found(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(FILES))
    document = read(path)
    calls = [at for at, event in enumerate(document["events"]) if event["op"] in (*COLUMNS, "RESET_RINGS")]
    at = data.draw(st.sampled_from(calls))
    del document["events"][at]
    assert verify_migration(document), (short_name(path), at)


@settings(max_examples=40)
@given(data=st.data())
def test_two_rows_in_the_other_order_are_found(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(FILES))
    document = read(path)
    batches = [
        (at, row)
        for at, event in enumerate(document["events"])
        for row in range(len(event.get("l", [])) - 1)
        if event["l"][row][:5] != event["l"][row + 1][:5]
    ]
    at, row = data.draw(st.sampled_from(batches))
    rows = document["events"][at]["l"]
    rows[row : row + 2] = rows[row + 1], rows[row]
    assert verify_migration(document), (short_name(path), at, row)
