import hashlib
import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from mmuviz.ground.errors import InputError
from mmuviz.recording.codec import HEAD, MAGIC, VERSION, content_hash, decode, encode
from mmuviz.recording.columns import SPTE, TABLE, Recording, Slot
from tests.recording.samples import LEAF, drawn_recordings, recording

GOLDEN = Path(__file__).parent / "golden-1.bin"
SLOT = Slot(262_144, 8192, "hugetlb_2m", 0, host_populated=True)


def sample() -> Recording:
    runs = [(SPTE, 2, LEAF, TABLE, 0, 0, 0, 262_144, 512, 16), (4, 0, 0, 0, 1, 3, 7, 262_145, 0, 1)]
    return recording(SLOT, runs, [(3, LEAF, 262_144, 0, 1)], note="héllo")


@given(drawn_recordings())
def test_what_was_written_is_read(drawn: Recording) -> None:
    data = encode(drawn)
    assert len(data) % 8 == 0
    assert decode(data) == drawn
    assert encode(decode(data)) == data


def test_the_golden_file_is_what_this_version_writes() -> None:
    # Recordings that people keep must stay readable: a change here wants a new VERSION and a new golden file.
    assert encode(sample()) == GOLDEN.read_bytes()
    assert decode(GOLDEN.read_bytes()) == sample()


def test_the_hash_names_the_bytes() -> None:
    data = encode(sample())
    assert content_hash(data) == hashlib.sha256(data).hexdigest()
    assert content_hash(data) != content_hash(data[:-1])


def test_columns_cannot_be_changed() -> None:
    for made in (sample(), decode(encode(sample()))):
        with pytest.raises(ValueError, match="read-only"):
            made.runs.gfn[0] = 1


def test_bytes_that_are_no_recording_are_refused() -> None:
    data = encode(sample())
    for cut in range(len(data)):
        with pytest.raises(InputError):
            decode(data[:cut])
    with pytest.raises(InputError, match="should have"):
        decode(data + bytes(8))
    with pytest.raises(InputError, match="begin with"):
        decode(b"x" + data[1:])
    with pytest.raises(InputError, match="version 2 must be 1"):
        decode(MAGIC + b"\2" + data[8:])


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"columns": 1}', '{"columns": [["runs", "kind", "u8", -1]]}'])
def test_a_bad_header_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"header|columns"):
        decode(HEAD.pack(MAGIC, VERSION, len(text)) + text.encode())


def test_a_header_that_lacks_a_field_is_refused() -> None:
    data = encode(sample())
    size = struct.unpack_from("<I", data, 8)[0]
    header = json.loads(data[HEAD.size : HEAD.size + size])
    text = json.dumps({name: value for name, value in header.items() if name != "slot"}).encode()
    body = data[-(-(HEAD.size + size) // 8) * 8 :]
    head = HEAD.pack(MAGIC, VERSION, len(text)) + text
    with pytest.raises(InputError, match="slot"):
        decode(head + bytes(-len(head) % 8) + body)


def test_neighbours_too_far_apart_are_refused() -> None:
    far = np.array([0, 1 << 31], dtype=np.int64)
    made = sample()
    wrong = replace(made, runs=made.runs._replace(gfn=far))
    with pytest.raises(InputError, match=r"runs\.gfn"):
        encode(wrong)
