"""Tables of a Recording as plain columns of one length, for frames, CSV and Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mmuviz.core.errors import InputError, short_repr
from mmuviz.recording.schema import TABLES, VCPU_SHARES, Column
from mmuviz.recording.stall_buckets import bucket_end_ps, bucket_start_ps
from mmuviz.recording.table import Array

if TYPE_CHECKING:
    from mmuviz.recording.recording import Recording

WHOLE_FAULT_NAME: Final = "whole_fault"


class FlatColumn(NamedTuple):
    """One column.

    Attributes:
        values: integers, one per row.
        names: the names of codes; empty if the values are not codes.
    """

    values: Array
    names: tuple[str, ...] = ()

    def decoded(self) -> list[Any]:
        """The values as Python objects, with names instead of codes."""
        plain: list[Any] = self.values.tolist()
        return [self.names[code] for code in plain] if self.names else plain


def flat_columns(recording: Recording, table: str) -> dict[str, FlatColumn]:
    """One table as columns of one length.

    A row's position becomes a column where it has a meaning (bin, vCPU, cell, frame); a column with two axes
    becomes one column per field; codes get their names; the histogram has one row per cause and non-empty bucket.

    Args:
        recording: not changed.
        table: a key of schema.TABLES.

    Returns:
        The columns, by name.

    Raises:
        InputError: there is no such table.
    """
    if table not in TABLES:
        raise InputError(f"table {short_repr(table)} must be one of {', '.join(TABLES)}")
    if table == "stalls":
        return _histogram(recording)
    columns = _places(recording, table)
    for column in TABLES[table]:
        if column.name != "frame_start":
            columns.update(_flattened(recording, table, column))
    return columns


def _places(recording: Recording, table: str) -> dict[str, FlatColumn]:
    """Columns that identify a row: bin, vCPU, cell or frame."""
    header = recording.header
    bins = np.arange(header.bins, dtype=np.int64)
    if table == "bins":
        return {"bin": FlatColumn(bins), "start_ps": FlatColumn(bins * header.bin_ps)}
    if table == "vcpus":
        return {"vcpu": FlatColumn(np.arange(header.vcpus))}
    if table == "cell_map":
        return {"cell": FlatColumn(np.arange(len(recording.cell_map.pages)))}
    if table == "vcpu_bins":
        vcpus = np.arange(header.vcpus)
        return {
            "bin": FlatColumn(np.repeat(bins, header.vcpus)),
            "vcpu": FlatColumn(np.tile(vcpus, header.bins)),
        }
    if table == "cells":
        frames = np.repeat(np.arange(header.bins + 1), np.diff(recording.cells.frame_start))
        return {"frame": FlatColumn(frames)}
    return {}


def _flattened(recording: Recording, table: str, column: Column) -> dict[str, FlatColumn]:
    values = recording.tables[table][column.name]
    if column.fields:
        prefix = "" if column.fields == VCPU_SHARES else "share_"
        return {f"{prefix}{field}": FlatColumn(values[:, place]) for place, field in enumerate(column.fields)}
    return {column.name: FlatColumn(values, _names(recording, column.codes))}


def _names(recording: Recording, codes: str) -> tuple[str, ...]:
    header = recording.header
    if codes == "causes":
        return header.causes
    names: tuple[str, ...] = getattr(header.vocabularies, codes) if codes else ()
    return names


def _histogram(recording: Recording) -> dict[str, FlatColumn]:
    hist = recording.stalls.hist
    cause, bucket = np.nonzero(hist)
    return {
        "cause": FlatColumn(cause, (*recording.header.causes, WHOLE_FAULT_NAME)),
        "bucket": FlatColumn(bucket),
        "from_ps": FlatColumn(np.array([bucket_start_ps(int(each)) for each in bucket], dtype=np.int64)),
        "to_ps": FlatColumn(np.array([bucket_end_ps(int(each)) for each in bucket], dtype=np.int64)),
        "stalls": FlatColumn(hist[cause, bucket]),
    }
