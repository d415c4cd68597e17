"""A Recording as bytes. docs/recording-file.md shows the layout; `gzip_file.py` compresses it."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np

from mmuviz.core.errors import InputError, short_repr
from mmuviz.recording.header import Header, header_of
from mmuviz.recording.json_values import canonical_json
from mmuviz.recording.schema import SCHEMA, TABLES, Column
from mmuviz.recording.table import Array, Table

MAGIC: Final = b"mmuviz\x00R"
VERSION: Final = 3
PREFIX: Final = struct.Struct("<8sII")
"""Magic, version, bytes of the JSON text."""
ALIGN: Final = 8
MAX_TEXT_BYTES: Final = 1 << 24
MAX_CONTENT_BYTES: Final = 1 << 28
DIGEST_BYTES: Final = 32
DELTA: Final = "delta"
PLAIN: Final = "plain"
REMEDY: Final = "run its scenario again, or take another copy of the file"

Columns = dict[str, dict[str, Array]]


class ColumnEntry(NamedTuple):
    """One column, as the JSON text lists it.

    Attributes:
        table: name of its table.
        name: name of the column.
        dtype: NumPy's name of its type, e.g. "<i8".
        coding: PLAIN, or DELTA, which stores each row as the difference from the previous one, the first from 0.
        shape: rows, and fields if there are two axes.
    """

    table: str
    name: str
    dtype: str
    coding: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Size in bytes, without the padding to ALIGN."""
        items = 1
        for length in self.shape:
            items *= length
        return items * np.dtype(self.dtype).itemsize


def coding_of(column: Column) -> str:
    """Return the coding of a column: DELTA where values grow with time, as the differences are small."""
    return DELTA if not column.fields and column.dtype.itemsize >= 4 else PLAIN


def encode(header: Header, tables: Mapping[str, Table]) -> bytes:
    """Write a Recording.

    Args:
        header: the Recording's header.
        tables: the Recording's tables, checked.

    Returns:
        The content: the same in every process and on every machine; the last 32 bytes are the SHA-256 of the others.
    """
    entries, parts = [], []
    for table, columns in TABLES.items():
        for column in columns:
            array, coding = tables[table][column.name], coding_of(column)
            entries.append(ColumnEntry(table, column.name, column.dtype.str, coding, array.shape))
            stored = np.diff(array, prepend=array.dtype.type(0)) if coding == DELTA else array
            parts.append(_padded(stored.astype(column.dtype, copy=False).tobytes()))
    text = canonical_json({"header": header.document(), "columns": tuple(tuple(entry) for entry in entries)})
    body = _padded(PREFIX.pack(MAGIC, VERSION, len(text)) + text) + b"".join(parts)
    return body + hashlib.sha256(body).digest()


def hash_of(content: bytes) -> str:
    """The content hash of a Recording, 64 hex digits."""
    return content[-DIGEST_BYTES:].hex()


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGN)


def _aligned(size: int) -> int:
    return size + -size % ALIGN


class Start(NamedTuple):
    """The content up to the columns.

    Attributes:
        header: not checked against the columns yet.
        entries: the columns, in order.
        columns_at: offset of the columns.
        size: bytes of the whole content.
    """

    header: Header
    entries: list[ColumnEntry]
    columns_at: int
    size: int


def text_end(prefix: bytes) -> int:
    """Offset of the end of the JSON text.

    Args:
        prefix: the first PREFIX.size bytes of the content.

    Returns:
        The offset in bytes.

    Raises:
        InputError: it is no Recording, or one of another version.
    """
    if not prefix.startswith(MAGIC):
        raise InputError("it is no Recording of mmuviz; name a file that `mmuviz run -o` or Recording.save() wrote")
    if len(prefix) < PREFIX.size:
        raise InputError(f"the Recording ends inside its first {PREFIX.size} bytes; {REMEDY}")
    _, version, size = PREFIX.unpack(prefix)
    if version > VERSION:
        raise InputError(f"the Recording has version {version}; this mmuviz reads {VERSION}: install a newer mmuviz")
    if 0 < version < VERSION:
        raise InputError(f"the Recording has version {version}; this mmuviz reads {VERSION}: run its Scenario again")
    if version != VERSION or size > MAX_TEXT_BYTES:
        raise InputError(f"the Recording's first bytes are damaged; {REMEDY}")
    return PREFIX.size + int(size)


def read_start(data: bytes) -> Start:
    """Read the JSON text.

    Args:
        data: the content, at least up to text_end().

    Returns:
        The header and the offsets of the columns.

    Raises:
        InputError: the text is damaged, or announces more than a Recording may hold.
    """
    end = text_end(data[: PREFIX.size])
    if len(data) < end:
        raise InputError(f"the Recording ends inside its header; {REMEDY}")
    try:
        text = json.loads(data[PREFIX.size : end])
        header, listed = text["header"], text["columns"]
        entries = [
            ColumnEntry(table, name, dtype, coding, tuple(shape)) for table, name, dtype, coding, shape in listed
        ]
    except (ValueError, RecursionError, TypeError, KeyError, IndexError) as error:
        raise InputError(f"the Recording's header is damaged: {type(error).__name__}; {REMEDY}") from None
    if not isinstance(header, dict):
        raise InputError(f"the Recording's header is damaged: {short_repr(header)}; {REMEDY}")
    if header.get("schema") != SCHEMA:
        raise InputError(f"the Recording has schema {short_repr(header.get('schema'))}; it must be {SCHEMA}")
    _check_entries(entries)
    size = _aligned(end) + sum(_aligned(entry.size) for entry in entries) + DIGEST_BYTES
    if size > MAX_CONTENT_BYTES:
        raise InputError(f"the Recording announces {size} bytes; it may have {MAX_CONTENT_BYTES}")
    return Start(header_of(header), entries, _aligned(end), size)


def _check_entries(entries: list[ColumnEntry]) -> None:
    expected = [
        (table, column.name, column.dtype.str, coding_of(column), len(column.fields))
        for table, columns in TABLES.items()
        for column in columns
    ]
    found = []
    for entry in entries:
        lengths = entry.shape
        if not all(type(length) is int and 0 <= length < MAX_CONTENT_BYTES for length in lengths):
            raise InputError(f"the Recording's header is damaged: shape {short_repr(lengths)}; {REMEDY}")
        found.append(
            (entry.table, entry.name, entry.dtype, entry.coding, lengths[1] if len(lengths) == 2 else -len(lengths) + 1)
        )
    if found != expected:
        raise InputError(f"the Recording's columns are not those of version {VERSION}; {REMEDY}")


def decode(data: bytes) -> tuple[Header, Columns]:
    """Read a Recording.

    Args:
        data: the whole content.

    Returns:
        The header and the columns of each table, not checked against each other.

    Raises:
        InputError: it is damaged, cut short or too long, or its hash does not fit.
    """
    start = read_start(data)
    if len(data) != start.size:
        raise InputError(f"the Recording has {len(data)} bytes and announces {start.size}; {REMEDY}")
    if hashlib.sha256(data[:-DIGEST_BYTES]).digest() != data[-DIGEST_BYTES:]:
        raise InputError(f"the Recording's hash does not fit its content; {REMEDY}")
    columns: Columns = {}
    for entry, array in _arrays(data, start):
        columns.setdefault(entry.table, {})[entry.name] = array
    return start.header, columns


def _arrays(data: bytes, start: Start) -> Iterator[tuple[ColumnEntry, Array]]:
    at = start.columns_at
    for entry in start.entries:
        items = entry.size // np.dtype(entry.dtype).itemsize
        array: Array = np.frombuffer(data, dtype=entry.dtype, count=items, offset=at).reshape(entry.shape)
        yield entry, np.cumsum(array, dtype=entry.dtype) if entry.coding == DELTA else array
        at += _aligned(entry.size)
