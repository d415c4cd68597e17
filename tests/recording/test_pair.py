"""A pair of recordings: what may be compared, and its bytes."""

import json
import struct
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.engine.replayed import record_file
from mmuviz.ground.errors import InputError
from mmuviz.recording.codec import HEAD, decode
from mmuviz.recording.columns import Op, Recording, Slot
from mmuviz.recording.explain import explained
from mmuviz.recording.pair import MAGIC, VERSION, Pair, differences, encode_pair, split_pair
from mmuviz.recording.pending import pending_of
from tests.recording.samples import CONFIG, recording

FOLDER = Path(__file__).parent.parent / "recordings"
SLOT = Slot(512, 1024, "hugetlb_2m", 0, host_populated=True)
# Another value of every choice.
OTHERS: dict[str, Any] = {
    "dirty_log_mode": "ring",
    "eager_page_split": True,
    "tdp_mmu": False,
    "vcpus": 2,
    "ring_entries": 4096,
    "vendor": "intel",
    "pml": True,
}


@cache
def pair() -> Pair:
    sides = (record_file(FOLDER / f"G_lostdirty_base32_{policy}__6.12.json.gz") for policy in ("lazy", "eager"))
    return Pair("lost", *sides)


@cache
def encoded() -> bytes:
    return encode_pair(pair())


def sample(**changes: Any) -> Recording:  # noqa: ANN401 - any field
    """A recording of one op that says nothing."""
    made = recording(SLOT, [], [])
    return recording(SLOT, [], [], **{"config": CONFIG, "op_columns": made.op_columns, **changes})


@given(st.sets(st.sampled_from(["kernel", *OTHERS])))
def test_sides_must_differ_in_exactly_one_choice(names: set[str]) -> None:
    config = CONFIG._replace(**{name: OTHERS[name] for name in names - {"kernel"}})
    left, right = sample(), sample(config=config, kernel="6.18" if "kernel" in names else "6.12.95-amd64")
    assert set(differences(left, right)) == names
    if len(names) == 1:
        assert Pair("one", left, right).differs == names.pop()
        return
    with pytest.raises(InputError, match="must vary exactly one field") as refused:
        Pair("several", left, right)
    said = str(refused.value)
    assert said.startswith("several: ")
    assert "nothing" in said if not names else all(name in said for name in names)


@pytest.mark.parametrize(
    "changes",
    [{"slot": SLOT._replace(pages=2048)}, {"slot": SLOT._replace(backing="thp")}, {"ops": (Op("read", ()),)}],
)
def test_sides_must_have_the_same_slot_and_ops(changes: dict[str, Any]) -> None:
    eager = CONFIG._replace(eager_page_split=True)
    with pytest.raises(InputError, match="same slot and ops"):
        Pair("apart", sample(), replace(sample(config=eager), **changes))


def test_the_same_pair_gives_the_same_bytes() -> None:
    again = Pair("lost", *(decode(part) for part in blobs(encoded())))
    assert encode_pair(again) == encoded()
    assert encode_pair(pair()) == encoded()
    renamed = Pair("found", pair().left, pair().right)
    assert encode_pair(renamed) != encoded()


def blobs(data: bytes) -> tuple[bytes, bytes]:
    header, rest = split_pair(data)
    first, second = (pane["bytes"] for pane in header["panes"])
    return rest[:first], rest[first : first + second]


def test_both_recordings_are_in_it() -> None:
    left, right = (decode(part) for part in blobs(encoded()))
    assert left == pair().left
    assert right == pair().right


def columns_of(data: bytes) -> dict[tuple[int, str], np.ndarray[Any, Any]]:
    """The columns behind the recordings, read with nothing but the layout in the contract of the file."""
    size = struct.unpack_from("<7sBI", data)[2]
    header = json.loads(data[12 : 12 + size])
    at = (12 + size + 7) // 8 * 8 + sum(pane["bytes"] for pane in header["panes"])
    found = {}
    for side, name, form, rows in header["columns"]:
        width = {"u16": 2, "delta32": 4}[form]
        raw = np.frombuffer(data, dtype="<u2" if form == "u16" else "<i4", count=rows, offset=at)
        found[side, name] = raw.astype(np.int64) if form == "u16" else np.cumsum(raw, dtype=np.int64)
        at += (rows * width + 7) // 8 * 8
    assert at == len(data)
    return found


def test_columns_follow_the_recordings() -> None:
    columns = columns_of(encoded())
    assert len(encoded()) % 8 == 0
    for side, made in enumerate(pair().sides):
        pending = pending_of(made)
        assert np.array_equal(columns[side, "fresh"], pending.fresh)
        assert np.array_equal(columns[side, "fresh_first"], pending.first_fresh)
        assert np.array_equal(columns[side, "say"], explained(made)[1])
        assert len(columns[side, "say"]) == len(made.runs.kind)


def test_the_header_says_what_the_page_shows() -> None:
    header, _ = split_pair(encoded())
    made = pair().left
    assert set(header) == {"name", "title", "point", "differs", "open_at", "ops", "panes", "columns"}
    assert (header["name"], header["differs"]) == ("lost", "eager_page_split")
    assert "16 MiB" in header["title"]
    assert not {"lazy", "eager"} & set(header["title"].split(", "))
    assert [op["kind"] for op in header["ops"]] == ["slot", "write", "enable", "get", "clear", "write", "get"]
    assert all(op["label"] and op["seconds"] > 0 for op in header["ops"])
    for pane, side in zip(header["panes"], pair().sides, strict=True):
        assert set(pane) == {"title", "origin", "bytes", "says", "quiet", "base", "pending", "told"}
        assert pane["bytes"] % 8 == 0
        assert pane["origin"] == side.note
        assert set(pane["base"]) == {
            "pages_1g", "pages_2m", "pages_4k", "table_pages", "table_bytes", "header_bytes",
        }  # fmt: skip
        assert not any(pane["base"].values())  # nothing is mapped before the slot is there
        assert all(set(say) == {"one", "many", "function"} for say in pane["says"])
        assert len(pane["quiet"]) == len(made.ops)
        assert len(pane["pending"]) == len(pane["told"]) == len(made.ops) + 1
    # KVM's own answers in the recordings: 4,096 pages at first, then page 992 is missing on the left.
    assert [pane["told"][-1] for pane in header["panes"]] == [4095, 4096]
    assert [pane["pending"][-1] for pane in header["panes"]] == [1, 0]


def test_the_page_opens_where_logging_is_enabled_for_the_first_time() -> None:
    header, _ = split_pair(encoded())
    timeline, kinds = pair().timeline, [op["kind"] for op in header["ops"]]
    assert header["open_at"] == timeline.op_ends[kinds.index("enable") - 1]
    assert timeline.place(header["open_at"] + 1).op == kinds.index("enable")
    never = Pair("never", sample(), sample(kernel="6.18"))
    assert split_pair(encode_pair(never))[0]["open_at"] == 0


def test_bytes_that_are_no_pair_are_refused() -> None:
    data = encoded()
    size = HEAD.unpack_from(data)[2]
    for cut in [*range(HEAD.size + 40), HEAD.size + size - 1]:
        with pytest.raises(InputError):
            split_pair(data[:cut])
    for wrong in (b"x" + data[1:], b"MMUVIZR" + data[7:], bytes(100)):
        with pytest.raises(InputError, match="not a pair of recordings of mmuviz: it must begin with MMUVIZP"):
            split_pair(wrong)
    with pytest.raises(InputError, match="pair of recordings version 2 must be 1; record it again"):
        split_pair(MAGIC + bytes([VERSION + 1]) + data[8:])
    with pytest.raises(InputError, match="ends inside its header"):
        split_pair(data[: HEAD.size + size - 1])


@pytest.mark.parametrize("text", [b"{", b"", b"[]", b"1", b'"a"', b"\xff\xfe", b"[" * 100_000, b"nul"])
def test_a_header_that_is_no_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(InputError, match="header"):
        split_pair(HEAD.pack(MAGIC, VERSION, len(text)) + text + bytes(-(HEAD.size + len(text)) % 8))


@given(st.binary(max_size=200))
def test_garbage_is_refused_in_one_line(data: bytes) -> None:
    for wrong in (data, MAGIC + data, MAGIC + bytes([VERSION]) + data):
        with pytest.raises(InputError) as refused:
            split_pair(wrong)
        assert "\n" not in str(refused.value)


def test_a_recording_that_cannot_be_written_is_refused() -> None:
    made = sample()
    far = replace(made, touches=made.touches._replace(**dict.fromkeys(made.touches._fields, np.array([1 << 31]))))
    with pytest.raises(InputError, match=r"touches\.page"):
        encode_pair(Pair("far", far, replace(far, kernel="6.18")))
