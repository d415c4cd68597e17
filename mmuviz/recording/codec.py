"""A Recording as bytes, for files and for the browser: assets/recording.js reads the same.

Layout, little-endian:

* 7 bytes ``MMUVIZR`` and one byte of version;
* uint32, bytes of the header;
* the header, JSON: what stands beside the columns, and `columns`, a list of
  [table, column, form, rows] in the order in which they follow;
* zero bytes up to a multiple of 8, here and after every column.

Forms: ``u8`` one byte a row; ``delta32`` int32 a row, each the difference to the row before (the
first to 0); ``float64``, whole numbers below 2**53.
"""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from mmuviz.ground.errors import InputError
from mmuviz.recording.columns import Config, DirtyRanges, Leaves, Op, OpColumns, Recording, Runs, Slot, Touches

MAGIC: Final = b"MMUVIZR"
VERSION: Final = 1
HEAD: Final = struct.Struct("<7sBI")
ALIGN: Final = 8
MAX_HEADER_BYTES: Final = 1 << 24
REMEDY: Final = "record it again with this version of mmuviz"

Column = npt.NDArray[np.int64] | npt.NDArray[np.uint8]
TABLES: Final[dict[str, Any]] = {
    "op_columns": OpColumns,
    "runs": Runs,
    "touches": Touches,
    "ranges": DirtyRanges,
    "start": Leaves,
}
U8_COLUMNS: Final = frozenset({"kind", "level", "old", "new", "detail", "word", "logging"})
FLOAT_COLUMNS: Final = frozenset(name for name in OpColumns._fields if name.endswith("_bytes"))
FORMS: Final[dict[str, np.dtype[Any]]] = {"u8": np.dtype("u1"), "delta32": np.dtype("<i4"), "float64": np.dtype("<f8")}


class ColumnHead(NamedTuple):
    """One entry of the header's `columns`.

    Attributes:
        table: field of Recording.
        name: field of the table.
        form: u8, delta32 or float64.
        rows: number of rows.
    """

    table: str
    name: str
    form: str
    rows: int


def form_of(name: str) -> str:
    """The form in which a column travels."""
    return "u8" if name in U8_COLUMNS else "float64" if name in FLOAT_COLUMNS else "delta32"


def content_hash(data: bytes) -> str:
    """The name of a Recording: SHA-256 of its bytes, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def encode(recording: Recording) -> bytes:
    """Write a Recording.

    Args:
        recording: not changed.

    Returns:
        The bytes; the same Recording gives the same ones.

    Raises:
        InputError: two neighbours of a column lie further apart than 2**31.
    """
    heads, parts = [], []
    for table, kind in TABLES.items():
        for name in kind._fields:
            column = getattr(getattr(recording, table), name)
            heads.append(ColumnHead(table, name, form_of(name), len(column)))
            parts.append(padded(_column_bytes(column, heads[-1])))
    header = {
        "name": recording.name,
        "kernel": recording.kernel,
        "note": recording.note,
        "config": recording.config._asdict(),
        "slot": recording.slot._asdict(),
        "ops": [{"kind": op.kind, "fields": dict(op.fields)} for op in recording.ops],
        "columns": heads,
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    return padded(HEAD.pack(MAGIC, VERSION, len(text)) + text) + b"".join(parts)


def padded(data: bytes) -> bytes:
    """Fill up to a multiple of 8 bytes."""
    return data + bytes(-len(data) % ALIGN)


def _column_bytes(column: Column, head: ColumnHead) -> bytes:
    if head.form != "delta32":
        return column.astype(FORMS[head.form]).tobytes()
    deltas = np.diff(column, prepend=0)
    if len(deltas) and max(-int(deltas.min()), int(deltas.max())) >= 1 << 31:
        raise InputError(f"{head.table}.{head.name}: neighbours must lie within 2**31 of each other")
    return deltas.astype(FORMS["delta32"]).tobytes()


def decode(data: bytes) -> Recording:
    """Read a Recording.

    Args:
        data: from encode().

    Returns:
        The same Recording.

    Raises:
        InputError: the bytes are not a Recording of this version, are cut short, or too long.
    """
    header, at = header_of(data, MAGIC, VERSION, "recording")
    tables: dict[str, dict[str, Column]] = {name: {} for name in TABLES}
    for head in _column_heads(header):
        size = FORMS[head.form].itemsize * head.rows
        if at + size > len(data):
            raise InputError(f"the recording ends inside {head.table}.{head.name}; {REMEDY}")
        raw = np.frombuffer(data, dtype=FORMS[head.form], count=head.rows, offset=at)
        tables[head.table][head.name] = _column(raw, head.form)
        at += size + -size % ALIGN
    if at != len(data):
        raise InputError(f"the recording has {len(data)} bytes and should have {at}; {REMEDY}")
    try:
        return Recording(
            name=header["name"],
            kernel=header["kernel"],
            note=header["note"],
            config=Config(**header["config"]),
            slot=Slot(**header["slot"]),
            ops=tuple(Op(op["kind"], tuple(sorted(op["fields"].items()))) for op in header["ops"]),
            **{name: kind(**tables[name]) for name, kind in TABLES.items()},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the recording's header lacks something: {error}; {REMEDY}") from error


def _column(raw: npt.NDArray[Any], form: str) -> Column:
    if form == "u8":
        return raw.astype(np.uint8)
    if form == "float64":
        return raw.astype(np.int64)
    return np.cumsum(raw, dtype=np.int64)


def header_of(data: bytes, magic: bytes, version: int, what: str) -> tuple[dict[str, Any], int]:
    """Read what stands before the columns of any file of ours.

    Args:
        data: the file.
        magic: what it must begin with.
        version: what it must be of.
        what: what it should be, for the error.

    Returns:
        The header, and where what follows it begins.

    Raises:
        InputError: the bytes are nothing of that kind and version, or end inside the header.
    """
    if len(data) < HEAD.size or not data.startswith(magic):
        raise InputError(f"not a {what} of mmuviz: it must begin with {magic.decode()}")
    _, found, size = HEAD.unpack_from(data)
    if found != version:
        raise InputError(f"{what} version {found} must be {version}; {REMEDY}")
    if size > MAX_HEADER_BYTES or HEAD.size + size > len(data):
        raise InputError(f"the {what} ends inside its header; {REMEDY}")
    try:
        header = json.loads(data[HEAD.size : HEAD.size + size])
    except (ValueError, RecursionError) as error:
        raise InputError(f"the {what}'s header is not JSON: {error}"[:200]) from error
    if not isinstance(header, dict):
        raise InputError(f"the {what}'s header must be a JSON object; {REMEDY}")
    end = HEAD.size + size
    return header, end + -end % ALIGN


def _column_heads(header: dict[str, Any]) -> list[ColumnHead]:
    expected = [(table, name, form_of(name)) for table, kind in TABLES.items() for name in kind._fields]
    listed = header.get("columns")
    rows_are_counts = isinstance(listed, list) and all(
        isinstance(row, list) and len(row) == 4 and isinstance(row[3], int) and 0 <= row[3] < 1 << 32 for row in listed
    )
    if not isinstance(listed, list) or not rows_are_counts or [tuple(row[:3]) for row in listed] != expected:
        raise InputError(f"the recording's columns are not those of version {VERSION}; {REMEDY}")
    return [ColumnHead(*row) for row in listed]
