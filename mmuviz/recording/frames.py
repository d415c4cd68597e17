"""Tables of a Recording as pandas or Arrow tables, for `Recording.frame()`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from mmuviz.core.errors import InputError, short_repr
from mmuviz.recording.flat import FlatColumn, flat_columns

if TYPE_CHECKING:
    from mmuviz.recording.recording import Recording

KINDS: Final = {"pandas": "pandas", "arrow": "pyarrow"}
"""Kinds of frames, and the package that each needs."""


def frame_of(recording: Recording, table: str, kind: str = "pandas") -> Any:  # noqa: ANN401 - of either package
    """One table as a frame.

    Args:
        recording: not changed.
        table: a key of schema.TABLES; see flat_columns() for its columns.
        kind: "pandas" or "arrow".

    Returns:
        A pandas.DataFrame or a pyarrow.Table; codes are categories with their names.

    Raises:
        InputError: there is no such table or kind, or the package is not installed.
    """
    if kind not in KINDS:
        raise InputError(f"frame kind {short_repr(kind)} must be one of {', '.join(KINDS)}")
    columns = flat_columns(recording, table)
    package = required(KINDS[kind])
    return _pandas(package, columns) if kind == "pandas" else arrow_of(columns)


def required(name: str) -> ModuleType:
    """Import a package of the extra `frames`.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"{name} must be installed for this; run: pip install 'mmuviz[frames]'") from None


def arrow_of(columns: Mapping[str, FlatColumn]) -> Any:  # noqa: ANN401 - pyarrow ships no types
    """Columns as a pyarrow.Table."""
    arrow = required("pyarrow")
    arrays = {name: arrow.array(column.values) for name, column in columns.items()}
    for name, column in columns.items():
        if column.names:
            codes = arrays[name].cast(arrow.int16())
            arrays[name] = arrow.DictionaryArray.from_arrays(codes, arrow.array(column.names))
    return arrow.table(arrays)


def _pandas(pandas: ModuleType, columns: Mapping[str, FlatColumn]) -> Any:  # noqa: ANN401 - imported late
    return pandas.DataFrame(
        {
            name: pandas.Categorical.from_codes(column.values, categories=list(column.names))
            if column.names
            else column.values
            for name, column in columns.items()
        }
    )
