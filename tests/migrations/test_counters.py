"""KVM's counters around each call of a recorded migration are the MMU model's, driven by the same calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.studies.migrations.partly_recorded import lacks_bits
from mmuviz.studies.migrations.replay import replayed_migration
from mmuviz.studies.migrations.verify import verify_migration
from tests.migrations.files import FILES, read, short_name

EAGER = [each for each in FILES if read(each)["config"]["eager"] == "Y" and not lacks_bits(read(each))]
LAZY = [each for each in FILES if read(each)["config"]["eager"] == "N" and not lacks_bits(read(each))]
FIRST_DELTA = {"SET_MEM": 5, "CLEAR": 6}
Site = tuple[int, int, int]


def without_sums(path: Path) -> dict[str, Any]:
    """A recording without the sums of its rounds, against which its rows are held too."""
    return {**read(path), "rounds": []}


def sites(document: dict[str, Any]) -> list[Site]:
    """Event, row and column of each delta; a disable may count huge pages that the guest has back already."""
    found = []
    for at, event in enumerate(document["events"]):
        if event["op"] == "QMP" and event["cmd"] == "system_reset":
            break  # from here on the guest is another
        for row, values in enumerate(event["l"] if event["op"] in FIRST_DELTA else ()):
            column = FIRST_DELTA[event["op"]]
            counted = len(values) > column + 1
            disables = event["op"] == "SET_MEM" and not values[2] & 1
            found += [(at, row, each) for each in (column, column + 1) if counted and not (disables and each > column)]
    return found


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_counter_is_found_though_no_sum_tells(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(EAGER))
    document = without_sums(path)
    at, row, column = data.draw(st.sampled_from(sites(document)))
    by = data.draw(st.sampled_from([1, -1, 2, 512, -512]))
    document["events"][at]["l"][row][column] += by
    found = verify_migration(document)
    assert any("[d4k, d2m]" in each.field for each in found), (short_name(path), at, row, column, by)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_changed_counter_is_answered_as_the_model_has_it(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(EAGER))
    document, right = read(path), read(path)
    at, row, column = data.draw(st.sampled_from(sites(document)))
    document["events"][at]["l"][row][column] += data.draw(st.sampled_from([1, -1, 2, 512, -512]))
    answer = replayed_migration(document)
    assert answer["events"] == right["events"]
    assert answer["rounds"] == right["rounds"]


@pytest.mark.parametrize("path", EAGER + LAZY, ids=short_name)
def test_without_sums_every_counter_still_holds(path: Path) -> None:
    assert verify_migration(without_sums(path)) == []


@pytest.mark.parametrize("column", [0, 1])
def test_deltas_of_one_call_in_another_call_are_found(column: int) -> None:
    """The sum of a batch is right, and yet its rows are wrong."""
    document = without_sums(next(each for each in EAGER if "seq64__" in short_name(each)))
    clears = [event["l"] for event in document["events"] if event["op"] == "CLEAR"]
    rows = next(each for each in clears if any(row[6] for row in each))
    main = next(row for row in rows if row[6])
    other = rows[0] if rows[0] is not main else rows[1]
    main[6 + column], other[6 + column] = other[6 + column], main[6 + column]
    assert verify_migration(document)


@pytest.mark.parametrize("name", ["pages_4k", "pages_2m"])
@pytest.mark.parametrize("path", EAGER + LAZY, ids=short_name)
def test_what_is_mapped_at_the_end_is_compared(path: Path, name: str) -> None:
    document = without_sums(path)
    final = [each for each in document["kvm_stats"] if each.get("note") in ("completed", "after_completed")]
    if not final or "system_reset" in str(document["events"]) or "seq512" in short_name(path):
        return  # no migration, another guest, or one that did not come to all its pages
    for each in final:
        each[name] = each.get(name, 0) + 1
    assert any(difference.field == f"{name} at the end" for difference in verify_migration(document))


@pytest.mark.parametrize("path", LAZY, ids=short_name)
def test_a_host_that_splits_eagerly_does_not_fit_one_that_does_not(path: Path) -> None:
    """The same calls and the same bits: the counters alone tell."""
    document = without_sums(path)
    document["config"]["eager"] = "Y"
    assert verify_migration(document)
