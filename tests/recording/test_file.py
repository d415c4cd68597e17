"""Files of Recordings: the same bytes everywhere, whole or not at all, and refused when damaged."""

import gzip
import hashlib
import json
import os
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.core.errors import InputError
from mmuviz.recording import content, gzip_file, whole_file
from mmuviz.recording.file import from_bytes, load, save, to_bytes
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import TABLES
from tests.recording.made_recordings import made_recording, recordings
from tests.served import clean_environment

MADE = to_bytes(made_recording())
CODES = {"<i8": "q", "<i4": "i", "<i2": "h", "|u1": "B"}
CONTENT = gzip.decompress(MADE)


@settings(max_examples=40)
@given(recordings())
def test_a_recording_is_read_again(recording: Recording) -> None:
    again = from_bytes(to_bytes(recording))
    assert (again.hash, again.header.document(), again.totals) == (
        recording.hash,
        recording.header.document(),
        recording.totals,
    )
    for name, columns in TABLES.items():
        for column in columns:
            assert again.tables[name][column.name].dtype == column.dtype
            assert np.array_equal(again.tables[name][column.name], recording.tables[name][column.name])
    assert to_bytes(again) == to_bytes(recording)


def test_the_hash_is_that_of_the_inflated_file() -> None:
    inflated = CONTENT
    assert hashlib.sha256(inflated[:-32]).hexdigest() == inflated[-32:].hex() == made_recording().hash


def read_by_the_document(data: bytes) -> tuple[dict[str, Any], dict[str, dict[str, list[int]]]]:
    """docs/recording-file.md in plain Python: header and tables; rows with two axes follow each other."""
    inflated = gzip.decompress(data)
    magic, version, size = struct.unpack_from("<8sII", inflated)
    assert (magic, version) == (b"mmuviz\0R", 3)
    text = json.loads(inflated[16 : 16 + size])
    at = 16 + size
    tables: dict[str, dict[str, list[int]]] = {}
    for table, column, dtype, coding, shape in text["columns"]:
        at += -at % 8
        items = shape[0] * (shape[1] if len(shape) == 2 else 1)
        form = f"<{items}{CODES[dtype]}"
        values = list(struct.unpack_from(form, inflated, at))
        tables.setdefault(table, {})[column] = list(accumulate(values)) if coding == "delta" else values
        at += struct.calcsize(form)
    assert at + -at % 8 + 32 == len(inflated)
    return text["header"], tables


@settings(max_examples=20)
@given(recordings())
def test_the_document_is_enough_to_read_a_file(recording: Recording) -> None:
    header, tables = read_by_the_document(to_bytes(recording))
    assert header == recording.header.document()
    assert list(tables) == list(TABLES)
    for name, table in recording.tables.items():
        assert tables[name] == {each: array.ravel().tolist() for each, array in table.items()}


@given(st.integers(0, 8 * len(MADE) - 1))
def test_a_flipped_bit_is_refused_or_changes_nothing(bit: int) -> None:
    """gzip has bits without meaning, its time for one, and a run of equal bytes can be said in several ways."""
    damaged = bytearray(MADE)
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        again = from_bytes(bytes(damaged))
    except InputError:
        return
    assert again == made_recording()


@given(st.integers(0, 8 * len(CONTENT) - 1))
def test_a_flipped_bit_of_the_content_is_refused(bit: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InputError):
        from_bytes(gzip_file.compress(bytes(damaged)))


def sealed(body: bytes) -> bytes:
    """Make a file of any content with a correct hash."""
    return gzip_file.compress(body + hashlib.sha256(body).digest())


@given(st.integers(0, 8 * (len(CONTENT) - 32) - 1))
def test_a_flipped_bit_under_a_hash_that_fits_makes_no_other_error(bit: int) -> None:
    damaged = bytearray(CONTENT[:-32])
    damaged[bit // 8] ^= 1 << bit % 8
    with suppress(InputError):
        from_bytes(sealed(bytes(damaged))).totals.keys()


@given(st.integers(0, len(MADE) - 1))
def test_a_file_cut_short_is_refused(size: int) -> None:
    with pytest.raises(InputError):
        from_bytes(MADE[:size])
    inflated = CONTENT
    with pytest.raises(InputError):
        from_bytes(gzip_file.compress(inflated[: size * len(inflated) // len(MADE)]))


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused(data: bytes) -> None:
    for each in (data, gzip_file.compress(data), gzip_file.compress(content.MAGIC + data), sealed(data), MADE + data):
        if each != MADE:
            with pytest.raises(InputError):
                from_bytes(each)


def prefixed(text: object, version: int = content.VERSION) -> bytes:
    """A file with another text, and no columns."""
    data = json.dumps(text).encode()
    body = content.PREFIX.pack(content.MAGIC, version, len(data)) + data
    return sealed(body + bytes(-len(body) % 8))


@pytest.mark.parametrize("text", [None, 1, [], {}, {"header": 1, "columns": []}, {"header": {}, "columns": [[1]]}])
def test_a_foreign_header_is_refused(text: object) -> None:
    with pytest.raises(InputError, match=r"header is damaged|has schema"):
        from_bytes(prefixed(text))


def test_a_deep_header_is_refused() -> None:
    body = content.PREFIX.pack(content.MAGIC, content.VERSION, 1 << 20) + b"[" * (1 << 20)
    with pytest.raises(InputError, match="header is damaged"):
        from_bytes(sealed(body))


def test_a_newer_file_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match="has version 4; this mmuviz reads 3: install a newer mmuviz"):
        from_bytes(prefixed({}, version=4))
    newer = CONTENT.replace(b"mmuviz-recording/1", b"mmuviz-recording/2")
    with pytest.raises(InputError, match="has schema 'mmuviz-recording/2'; it must be mmuviz-recording/1"):
        from_bytes(sealed(newer[:-32]))


def test_an_older_file_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match="has version 2; this mmuviz reads 3: run its Scenario again"):
        from_bytes(prefixed({}, version=2))


def test_a_file_that_inflates_without_end_is_refused_early() -> None:
    """64 MiB of zero bytes behind a Recording, in 64 KiB: no more is inflated than announced."""
    inflated = CONTENT
    deflate = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = [deflate.compress(inflated)]
    parts += [deflate.compress(bytes(1 << 20)) for _ in range(1 << 6)]
    with pytest.raises(InputError, match="followed by other bytes"):
        from_bytes(b"".join([*parts, deflate.flush()]))


def test_a_header_that_announces_too_much_is_refused() -> None:
    inflated = CONTENT
    start = content.PREFIX.size
    text = json.loads(inflated[start : content.text_end(inflated[:start])])
    for entry in text["columns"]:
        if entry[0] == "calls":
            entry[4] = [1 << 24]
    with pytest.raises(InputError, match=r"announces \d+ bytes; it may have 268435456"):
        from_bytes(prefixed(text))
    text["columns"][0][4] = [-1]
    with pytest.raises(InputError, match="header is damaged: shape"):
        from_bytes(prefixed(text))


def test_a_file_is_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "one.mmuviz"
    save(made_recording(seed=1), path)
    made_recording().save(path)
    assert path.read_bytes() == MADE
    assert load(str(path)) == made_recording()
    assert [each.name for each in tmp_path.iterdir()] == ["one.mmuviz"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~whole_file._umask()


@pytest.mark.parametrize("failing", ["replace", "chmod"])
def test_an_interrupted_save_leaves_what_was_there(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.mmuviz"
    path.write_text("before")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, failing, interrupt)
    with pytest.raises(KeyboardInterrupt):
        made_recording().save(path)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("one.mmuviz", "before")]


def test_where_nothing_can_be_written_one_line_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is a folder; name a file in it"):
        made_recording().save(tmp_path)
    with pytest.raises(InputError, match=r"there is no folder .*; make it, or name another file"):
        made_recording().save(tmp_path / "none" / "one")
    with pytest.raises(InputError, match="cannot write"):
        made_recording().save(tmp_path / "a\0b")


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory; name a file"):
        load(tmp_path / "none")
    with pytest.raises(InputError, match="is a folder; give a regular file"):
        load(tmp_path)
    with pytest.raises(InputError, match="cannot read"):
        load("a\0b")
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b'{"schema": "kvm-recording/1"}'))
    with pytest.raises(InputError, match=r"a\.json\.gz: it is no Recording of mmuviz; name a file"):
        load(tmp_path / "a.json.gz")
    with (tmp_path / "large").open("wb") as large:
        large.truncate(whole_file.MAX_FILE_BYTES + 1)
    with pytest.raises(InputError, match="has more than 128 MiB, and no Recording has; name a file"):
        load(tmp_path / "large")


def test_two_processes_write_the_same_bytes(repository: Path, tmp_path: Path) -> None:
    code = "import sys; from tests.recording.made_recordings import made_recording as m; m(5).save(sys.argv[1])"
    for seed in ("1", "2"):
        environment = {**clean_environment(), "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / seed)], cwd=repository, env=environment, check=True)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes() == to_bytes(made_recording(5))
    assert (tmp_path / "1").stat().st_size > 1000


def test_the_gzip_header_holds_nothing_of_this_machine() -> None:
    assert MADE[:10] == struct.pack("<BBBBIBB", 0x1F, 0x8B, 8, 0, 0, 0, 255)


def test_only_regular_files_are_read_and_replaced(tmp_path: Path) -> None:
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "target"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="pipe is a pipe; give a regular file"):
        load(pipe)
    with pytest.raises(InputError, match="it is no regular file; name another one"):
        made_recording().save(pipe)
    target.write_bytes(b"old")
    link.symlink_to(target)
    made_recording().save(link)
    assert link.is_symlink()
    assert load(target) == made_recording()
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(InputError, match="cannot write"):
        made_recording().save(link)
