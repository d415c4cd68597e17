"""A table of a Recording: immutable columns, read by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mmuviz.core.errors import InputError, short_repr
from mmuviz.recording.schema import MAX_COUNT, TABLES, Column

Array = npt.NDArray[Any]
"""An array of one of the integer types of schema.py."""


class Table(Mapping[str, Array]):
    """Columns by name: `table["accesses"]`, `table.accesses`.

    Args:
        name: name of the table, a key of schema.TABLES.
        columns: integer arrays or lists, which are copied.

    Raises:
        InputError: a column is missing or unknown, or contains a value outside its type.
    """

    __slots__ = ("_columns", "name")

    def __init__(self, name: str, columns: Mapping[str, npt.ArrayLike]) -> None:
        specs = {column.name: column for column in TABLES[name]}
        if unknown := sorted(set(columns) - set(specs)):
            raise InputError(f"Recording: {name}.{short_repr(unknown[0])} is no column; there are {', '.join(specs)}")
        if missing := [each for each in specs if each not in columns]:
            raise InputError(f"Recording: {name}.{missing[0]} is missing; there must be {', '.join(specs)}")
        self.name = name
        self._columns = {each: _read_only(name, spec, columns[each]) for each, spec in specs.items()}

    def __getitem__(self, name: str) -> Array:
        return self._columns[name]

    def __getattr__(self, name: str) -> Array:
        if name.startswith("_") or name not in self._columns:
            raise AttributeError(f"{self.name} has no column {name}; there are {', '.join(self._columns)}")
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._columns})

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in self._columns.items())
        return f"Table {self.name}: {shapes}"

    def __reduce__(self) -> tuple[Any, ...]:
        return Table, (self.name, dict(self._columns))


def _read_only(table: str, spec: Column, values: npt.ArrayLike) -> Array:
    array: Array = np.asarray(values)
    if array.size == 0 and array.dtype == np.float64 and not isinstance(values, np.ndarray):
        array = array.astype(spec.dtype)  # NumPy's type for an empty list
    if array.dtype.kind not in "iu":
        raise InputError(f"Recording: {table}.{spec.name} has type {array.dtype}; it must hold integers")
    limits = np.iinfo(spec.dtype)
    low = max(spec.low, int(limits.min))
    high = min(int(limits.max), MAX_COUNT) if spec.high is None else spec.high
    if array.size and not (low <= int(array.min()) and int(array.max()) <= high):
        found = int(array.min()) if int(array.min()) < low else int(array.max())
        raise InputError(f"Recording: {table}.{spec.name} holds {found}; it must be {low} to {high}")
    copy: Array = np.array(array, dtype=spec.dtype, order="C", copy=True)
    copy.flags.writeable = False
    return copy
