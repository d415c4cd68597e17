"""Reads a recorded trace of a guest's accesses in parts: CSV or Parquet, one access per row."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from io import BufferedReader, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

import numpy as np

from mmuviz.core.errors import InputError, short_repr
from mmuviz.core.regular_file import open_regular
from mmuviz.mmu.state import I64
from mmuviz.recording.frames import required

COLUMNS: Final = ("time_ns", "vcpu", "gfn", "access")
ACCESSES: Final = {"r": 0, "w": 1, "read": 0, "write": 1}
PART: Final = 1 << 16
"""Accesses read at a time."""
LONGEST_LINE: Final = 200
MOST_NS: Final = 3600 * 10**9
LEAST_NUMBER: Final = -(1 << 63)
MOST_NUMBER: Final = (1 << 63) - 1
NUMBER: Final = re.compile(r"[+-]?[0-9]{1,20}|0[xX][0-9a-fA-F]{1,17}")
BUFFER_BYTES: Final = 1 << 20
NUMBER_RULE: Final = "a whole number of at most 64 bits"
PARQUET: Final = ".parquet"
TIME: Final = 0
VCPU: Final = 1
GFN: Final = 2
WRITE: Final = 3


class TraceFacts(NamedTuple):
    """Summary of a trace.

    Attributes:
        accesses: number of accesses.
        last_ns: time of the last access.
        last_rows: index of each vCPU's last access in the trace, from 0; -1 if it has none.
    """

    accesses: int
    last_ns: int
    last_rows: tuple[int, ...]


def parts_of(path: Path) -> Iterator[I64]:
    """Read a trace in parts; errors name the line.

    Args:
        path: a file with the columns of COLUMNS: Parquet if its suffix says so, else CSV with a header line.

    Yields:
        int64[n, 4]: time in ns, vCPU, gfn, 1 for a write; n is at most PART.

    Raises:
        InputError: the file cannot be read, or a line is invalid.
    """
    try:
        yield from _parquet_parts(path) if path.suffix == PARQUET else _csv_parts(path)
    except OSError as error:
        why = error.strerror or short_repr(str(error))
        raise InputError(f"{path}: {why}; name a file that can be read") from error


def _csv_parts(path: Path) -> Iterator[I64]:
    with TextIOWrapper(_opened(path), encoding="ascii", errors="replace", newline="") as file:
        rows = _rows(file, path)
        names = tuple(name.strip() for name in next(rows, []))
        if names != COLUMNS:
            raise InputError(f"{path}:1: {short_repr(','.join(names))} must be {','.join(COLUMNS)}")
        first = 2
        while some := list(islice(rows, PART)):
            part = np.empty((len(some), len(COLUMNS)), np.int64)
            for at, row in enumerate(some):
                part[at] = _numbers(row, f"{path}:{first + at}")
            yield part
            first += len(some)


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    """Yield lines, and refuse one longer than any valid line, so that no file fills the memory."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise InputError(f"{path}:{number}: has more than {LONGEST_LINE} characters; a line is one access")
        yield line


def _opened(path: Path) -> BufferedReader:
    """Open a trace; reading a pipe or a device could go on without end."""
    try:
        return open_regular(path)
    except InputError as error:
        raise InputError(f"{path} {error}") from None


def _rows(file: TextIO, path: Path) -> Iterator[list[str]]:
    """Yield the values of each line; lines may be empty at the end only."""
    empty = 0
    for number, line in enumerate(_lines(file, path), 1):
        if empty:
            raise InputError(f"{path}:{empty}: is empty; each line has one access")
        if line.strip():
            yield _row(line, f"{path}:{number}")
        else:
            empty = number


def _row(line: str, where: str) -> list[str]:
    """Return the values of one line; each line is parsed alone, so that no quoted value reaches into the next one."""
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error as error:
        raise InputError(f"{where}: {short_repr(line.rstrip())} is no line of CSV: {error}") from None


def _numbers(row: Sequence[str], where: str) -> tuple[int, int, int, int]:
    if len(row) != len(COLUMNS):
        raise InputError(f"{where}: has {len(row)} values and must have {len(COLUMNS)}: {','.join(COLUMNS)}")
    numbers = []
    for name, text in zip(COLUMNS, row[:WRITE], strict=False):
        number = _number(text.strip())
        if number is None:
            raise InputError(f"{where}: {name}={short_repr(text)} must be {NUMBER_RULE}")
        numbers.append(number)
    access = ACCESSES.get(row[WRITE].strip())
    if access is None:
        raise InputError(f"{where}: access={short_repr(row[WRITE])} must be r or w")
    return (*numbers, access)  # type: ignore[return-value]  # three numbers and the access


def _number(text: str) -> int | None:
    """Return a decimal or hexadecimal number of 64 bits; None if the text is none."""
    if not NUMBER.fullmatch(text):
        return None
    number = int(text, 0 if text.lower().startswith("0x") else 10)
    return number if _is_number(number) else None


def _is_number(value: object) -> bool:
    """Whether a value is a whole number of 64 bits, and no bool."""
    return type(value) is int and LEAST_NUMBER <= value <= MOST_NUMBER


def _parquet_parts(path: Path) -> Iterator[I64]:
    parquet = required("pyarrow.parquet")
    errors = (required("pyarrow").ArrowException, ValueError, KeyError, OverflowError)
    try:
        # Read in pieces, not by whole column chunks, which may be as large as the file.
        with _opened(path) as file:
            yield from _parts_of_parquet(parquet.ParquetFile(file, buffer_size=BUFFER_BYTES, pre_buffer=False), path)
    except errors as found:
        raise InputError(f"{path}: is no Parquet file that can be read: {short_repr(str(found))}") from found


def _check_columns(schema: Any, path: Path) -> None:  # noqa: ANN401  # pyarrow ships no types
    """Refuse a file without the columns of a trace, or with others of their names or types."""
    types = required("pyarrow").types
    for name in COLUMNS:
        here = [field for field in schema if field.name == name]
        if not here:
            raise InputError(f"{path}: column {name} is missing; there must be {', '.join(COLUMNS)}")
        if len(here) > 1:
            raise InputError(f"{path}: column {name} is there {len(here)} times; give it once")
        kind = here[0].type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        texts = types.is_string(kind) or types.is_large_string(kind)
        if not (texts if name == COLUMNS[WRITE] else types.is_integer(kind)):
            rule = "text, r or w" if name == COLUMNS[WRITE] else "whole numbers"
            raise InputError(f"{path}: column {name} has the type {short_repr(str(kind))} and must have {rule}")


def _parts_of_parquet(file: Any, path: Path) -> Iterator[I64]:  # noqa: ANN401  # pyarrow ships no types
    with file:
        _check_columns(file.schema_arrow, path)
        first = 1
        for batch in file.iter_batches(batch_size=PART, columns=list(COLUMNS)):
            yield _part_of(batch, path, first)
            first += batch.num_rows


def _part_of(batch: Any, path: Path, first: int) -> I64:  # noqa: ANN401  # pyarrow ships no types
    part = np.empty((batch.num_rows, len(COLUMNS)), np.int64)
    for column, name in enumerate(COLUMNS):
        values = batch.column(name).to_pylist()
        for at, value in enumerate(values):
            if column == WRITE:
                number = ACCESSES.get(value) if isinstance(value, str) else None
            else:
                number = value if _is_number(value) else None
            if number is None:
                rule = "r or w" if column == WRITE else NUMBER_RULE
                raise InputError(f"{path}: row {first + at}: {name}={short_repr(value)} must be {rule}")
            part[at, column] = number
    return part


def checked_parts(path: Path, vcpus: int, ram: Sequence[tuple[int, int]]) -> Iterator[I64]:
    """Read a trace in parts and check each access against the guest.

    Args:
        path: see parts_of().
        vcpus: number of the guest's vCPUs.
        ram: first gfn and number of pages of each memslot that the guest may access.

    Yields:
        See parts_of().

    Raises:
        InputError: see parts_of(); or a time decreases, or the guest does not have a vCPU or a page.
    """
    line, before = 2, 0
    unit = "row " if path.suffix == PARQUET else ""
    line -= 1 if unit else 0
    for part in parts_of(path):
        times = np.concatenate([[before], part[:, TIME]])
        inside = np.zeros(len(part), np.bool_)
        for base, pages in ram:
            inside |= (part[:, GFN] >= base) & (part[:, GFN] < base + pages)
        rules = (
            (np.diff(times) < 0, TIME, "must not be before that of the line above"),
            (part[:, TIME] > MOST_NS, TIME, f"must be at most {MOST_NS}"),
            ((part[:, VCPU] < 0) | (part[:, VCPU] >= vcpus), VCPU, f"must be 0 to {vcpus - 1}: vm.vcpus={vcpus}"),
            (~inside, GFN, f"must be in a memslot that is not read-only: {_spans(ram)}"),
        )
        bad = [(int(np.argmax(broken)), column, rule) for broken, column, rule in rules if broken.any()]
        if bad:
            at, column, rule = min(bad)
            raise InputError(f"{path}:{unit}{line + at}: {COLUMNS[column]}={part[at, column]} {rule}")
        yield part
        line += len(part)
        before = int(part[-1, TIME])


def _spans(ram: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{base:#x} to {base + pages - 1:#x}" for base, pages in ram[:3])


def facts_of(path: Path, vcpus: int, ram: Sequence[tuple[int, int]]) -> TraceFacts:
    """Read and check a whole trace before the run.

    Args:
        path: see parts_of().
        vcpus: see checked_parts().
        ram: see checked_parts().

    Raises:
        InputError: see checked_parts(); or the trace has no access.
    """
    return _facts(str(path), sha256_of(path), vcpus, tuple(ram))


@lru_cache(maxsize=64)
def _facts(path: str, _: str, vcpus: int, ram: tuple[tuple[int, int], ...]) -> TraceFacts:
    accesses = last_ns = 0
    last_rows = np.full(vcpus, -1, np.int64)
    for part in checked_parts(Path(path), vcpus, ram):
        np.maximum.at(last_rows, part[:, VCPU], accesses + np.arange(len(part)))
        accesses, last_ns = accesses + len(part), int(part[-1, TIME])
    if not accesses:
        raise InputError(f"{path}: has no access; a trace has one at least")
    return TraceFacts(accesses, last_ns, tuple(last_rows.tolist()))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        state = path.stat()
        return _sha256(str(path), state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; name a file that can be read") from error


@lru_cache(maxsize=64)
def _sha256(path: str, _mtime_ns: int, _size: int) -> str:
    with _opened(Path(path)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
