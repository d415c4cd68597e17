"""Rules of QEMU that few recordings show, on recordings changed by hand: syncs by the main thread, and post-copy."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from mmuviz.studies.migrations.verify import verify_migration
from tests.migrations.files import FILES, FOLDER, read, short_name

Document = dict[str, Any]
Event = dict[str, Any]

SLOTS = 12
OF_RAM = 10
"""Slots that map pc.ram, in both address spaces; the BIOS has the other two."""
STACK, RANGE = 232, range(4096, 20480)
GUEST = [STACK, *RANGE]
PARTLY_RECORDED = [each for each in FILES if "ring" in each.name or "spaced" in each.name]
BASE = {3: 232, 2: 232, 5: 256}


def trace(name: str, text: str = "") -> Event:
    return {"op": "TRACE", "ev": name, "a": text}


def lines(document: Document) -> list[str]:
    return [difference.line("f") for difference in verify_migration(document)]


def without_sums(name: str) -> Document:
    document = copy.deepcopy(read(FOLDER / name))
    document["rounds"] = []
    return document


def second_pass(document: Document) -> int:
    """Index of the write that follows the second sync, in which the guest's pages are sent in order."""
    sends = [at for at, event in enumerate(document["events"]) if event.get("first") == ["pc.ram", STACK]]
    return sends[0]


def split(event: Event, pages: int) -> tuple[Event, Event]:
    """A write as two, the first with so many pages."""
    start = GUEST.index(event["first"][1])
    one = {**event, "normal": pages, "last": ["pc.ram", GUEST[start + pages - 1]]}
    two = {**event, "normal": event["normal"] - pages, "first": ["pc.ram", GUEST[start + pages]]}
    return {name: value for name, value in one.items() if not name.startswith("bw")}, two


def with_sync_by_timer(late: str) -> Document:
    """A sync of the main thread, amid a pass, that finds nothing; what is sent then has its chunk cleared again."""
    document = without_sums("thp_eager_seq64__k6.12_q10.0.json.gz")
    document["config"]["caps"] = ["auto-converge"]
    events = document["events"]
    at = second_pass(document)
    one, two = split(events[at], 5000)
    most, rest = split(one, 4980)
    found = next(event["a"] for event in reversed(events[:at]) if event.get("ev") == "migration_bitmap_sync_end")
    get = {"op": "GET", "by": "main", "bql": 1, "locks": 2, "l": [], "n": SLOTS}
    sync = [trace("migration_bitmap_sync_start"), get, trace("migration_bitmap_sync_end", found)]
    clear = {"op": "CLEAR", "by": "mig/src/main", "bql": 0, "locks": 2, "l": [], "n": OF_RAM}
    chunk = [{"op": "CHUNK", "v": ["pc.ram", 0, 262144, two["first"][1]]}, clear]
    order = {
        "before": [one, *sync, *chunk, two],
        "while it reads": [sync[0], one, *sync[1:], *chunk, two],
        "before its report": [one, *sync[:2], *chunk, sync[2], two],
        "after its report": [most, *sync, rest, *chunk, two],
    }
    events[at : at + 1] = order[late]
    query = next(event for event in events if event["op"] == "QUERY_MIGRATE")
    query["ram"]["dirty-sync-count"] += 1
    return document


@pytest.mark.parametrize("late", ["before", "while it reads", "before its report", "after its report"])
def test_the_main_thread_syncs_amid_a_pass(late: str) -> None:
    assert lines(with_sync_by_timer(late)) == []


def test_only_with_auto_converge() -> None:
    document = with_sync_by_timer("before")
    document["config"]["caps"] = []
    assert lines(document)


def test_the_chunk_is_cleared_again() -> None:
    document = with_sync_by_timer("before")
    at = second_pass(document)
    assert [event["op"] for event in document["events"][at + 4 : at + 6]] == ["CHUNK", "CLEAR"]
    del document["events"][at + 4 : at + 6]
    assert lines(document)


def row(slot: int, pages: list[int]) -> list[Any]:
    """Runs of one block's pages in a slot, as a GET has them."""
    runs: list[list[int]] = []
    for page in pages:
        if runs and sum(runs[-1]) == page - BASE[slot]:
            runs[-1][1] += 1
        else:
            runs.append([page - BASE[slot], 1])
    return [0, slot, len(pages), runs]


def with_postcopy(name: str, thread: str, *, asked: int | None, tail: int) -> Document:
    """A migration whose last two syncs are replaced by a switch to post-copy.

    Args:
        name: of the recording.
        thread: the migration thread's.
        asked: the page that the destination asks for first, if any.
        tail: pages sent under the big lock.
    """
    document = without_sums(name)
    events = document["events"]
    stop = next(at for at, event in enumerate(events) if event.get("a", "").startswith("running 0 reason 7"))
    sync = max(at for at in range(stop) if events[at].get("ev") == "migration_bitmap_sync_start")
    before = events[:sync]
    sent = sum(event["normal"] + event["zero"] for event in before if event["op"] == "SEND")
    last = next(event["last"][1] for event in reversed(before) if event.get("last"))
    stack, first = next(slot for slot in (2, 3) if [0, slot, 232, 8, 0] in memslots(document)), GUEST.index(last) + 1
    left = sorted({*GUEST} - {*carried_over(before, first)})
    found = [STACK, *range(4096, 4196)]
    dirty = sorted({*left, *found})
    rows = [row(stack, found[:1]), row(5, found[1:])]
    clears = [[each[0], each[1], 0, pages, *each[2:], 0, 0, 1] for each, pages in zip(rows, (8, 32512), strict=True)]
    by = {"by": thread, "bql": 0}
    fresh = len(dirty) - len(left)
    earlier = int(
        next(each["a"] for each in reversed(before) if each.get("ev") == "migration_bitmap_sync_end").split()[1]
    )
    events[sync:] = [
        {"op": "QMP", "cmd": "migrate-start-postcopy", "args": None},
        trace("vm_state_notify", "running 0 reason 7 (finish-migrate)"),
        trace("migration_bitmap_sync_start"),
        {"op": "GET", **by, "bql": 1, "locks": 2, "l": rows, "n": SLOTS},
        trace("migration_bitmap_sync_end", f"dirty_pages {earlier + fresh}"),
        {"op": "EVENT", "event": "MIGRATION", "data": {"status": "postcopy-active"}},
        {"op": "CHUNK", "v": ["pc.ram", 0, 262144, dirty[0] if asked is None else asked]},
        {"op": "CLEAR", **by, "locks": 2, "l": clears, "n": OF_RAM},
        send(by | {"locks": 1}, dirty[0], dirty[-tail - 1], len(dirty) - tail),
        send(by | {"bql": 1, "locks": 1 + (thread != "live_migration")}, dirty[-tail], dirty[-1], tail),
        {"op": "EVENT", "event": "MIGRATION", "data": {"status": "completed"}},
        {"op": "QUERY_MIGRATE", "status": "completed", "ram": totals(before, sent + len(dirty))},
    ]
    return document


def memslots(document: Document) -> list[Any]:
    return list(document["memslots_before_migration"])


def carried_over(before: list[Event], pointer: int) -> list[int]:
    """Pages of the guest that are clean when the last pass has ended: those that it sent."""
    synced = max(at for at, event in enumerate(before) if event.get("ev") == "migration_bitmap_sync_end")
    pages = sum(event["normal"] for event in before[synced:] if event["op"] == "SEND")
    return [GUEST[(pointer - 1 - each) % len(GUEST)] for each in range(pages)]


def send(by: Event, first: int, last: int, pages: int) -> Event:
    places = {"first": ["pc.ram", first], "last": ["pc.ram", last]}
    return {"op": "SEND", **by, "writes": 1, "bytes": 0, "normal": pages, "zero": 0, **places}


def totals(before: list[Event], pages: int) -> Event:
    syncs = sum(event.get("ev") == "migration_bitmap_sync_start" for event in before) + 1
    return {"normal": pages, "duplicate": 0, "dirty-sync-count": syncs, "remaining": 0}


@pytest.mark.parametrize(
    ("name", "thread"),
    [("thp_eager_seq64__k6.12_q10.0", "mig/src/main"), ("thp_eager_seq64__k6.1_q7.2", "live_migration")],
)
@pytest.mark.parametrize("asked", [None, 9000])
def test_post_copy(name: str, thread: str, asked: int | None) -> None:
    document = with_postcopy(f"{name}.json.gz", thread, asked=asked, tail=50)
    assert lines(document) == []


@pytest.mark.parametrize(("field", "value"), [("bql", 1), ("locks", 3)])
def test_post_copy_clears_without_the_big_lock(field: str, value: int) -> None:
    document = with_postcopy("thp_eager_seq64__k6.12_q10.0.json.gz", "mig/src/main", asked=None, tail=50)
    clear = max(at for at, event in enumerate(document["events"]) if event["op"] == "CLEAR")
    document["events"][clear][field] = value
    assert any(f"event {clear} (CLEAR)" in line for line in lines(document))


def test_post_copy_begins_again_at_the_first_page() -> None:
    document = with_postcopy("thp_eager_seq64__k6.12_q10.0.json.gz", "mig/src/main", asked=None, tail=50)
    chunk = max(at for at, event in enumerate(document["events"]) if event["op"] == "CHUNK")
    document["events"][chunk]["v"][3] = 100  # a clean page, which nobody can ask for
    assert any(f"event {chunk} (CHUNK)" in line for line in lines(document))


@pytest.mark.parametrize("guest", ["g_rnd", "another"])
@pytest.mark.parametrize(
    "path", [each for each in FILES if "ring" in each.name or "spaced" in each.name], ids=short_name
)
def test_bits_that_nobody_knows_are_no_difference(path: Path, guest: str) -> None:
    document = read(path)
    document["config"]["guest"] = guest
    assert lines(document) == []
