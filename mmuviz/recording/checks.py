"""Rules between the columns and the header of a Recording."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmuviz.core.errors import InputError
from mmuviz.recording.header import Header
from mmuviz.recording.schema import (
    MAX_CELLS,
    MAX_EVENTS,
    MAX_EXAMPLES_PER_BIN,
    MAX_LONGEST,
    TABLES,
    Column,
)
from mmuviz.recording.table import Array, Table

_MAX_ROWS = {"longest": MAX_LONGEST, "events": MAX_EVENTS, "cells": MAX_CELLS}


def check_tables(header: Header, tables: Mapping[str, Table]) -> None:
    """Check shapes, codes, times, offsets and order.

    Args:
        header: the Recording's header.
        tables: all of schema.TABLES.

    Raises:
        InputError: a rule is broken; the message names the first.
    """
    lengths = {
        "bins": header.bins,
        "frames": header.bins + 2,
        "vcpus": header.vcpus,
        "vcpu_bins": header.bins * header.vcpus,
        "hists": len(header.causes) + 1,
    }
    for name, columns in TABLES.items():
        for column in columns:
            array = tables[name][column.name]
            rows = lengths.setdefault(column.rows, len(array) if array.ndim else 0)
            _check_shape(f"{name}.{column.name}", array, rows, column)
            _check_values(f"{name}.{column.name}", array, column, header)
    _check_calls(tables["calls"])
    for name in ("cells", "sent_cells"):
        _check_changes(name, tables[name], len(tables["cell_map"].pages))
    _check_cell_map(tables["cell_map"], header)
    _check_examples(tables["examples"], header)
    _require_order("events.time_ps", tables["events"].time_ps)
    _require_order("longest.stall_ps, longest first,", -tables["longest"].stall_ps)


def _check_shape(where: str, array: Array, rows: int, column: Column) -> None:
    shape = (rows, len(column.fields)) if column.fields else (rows,)
    if array.shape != shape:
        raise InputError(f"Recording: {where} has shape {array.shape}; it must be {shape}, the first of {column.rows}")
    if rows > _MAX_ROWS.get(column.rows, rows):
        raise InputError(f"Recording: {where} has {rows} rows; it may have {_MAX_ROWS[column.rows]}")


def _check_values(where: str, array: Array, column: Column, header: Header) -> None:
    if array.size == 0:
        return
    limit = None
    if column.codes:
        names = header.causes if column.codes == "causes" else getattr(header.vocabularies, column.codes)
        limit = len(names) - 1
    elif column.name == "vcpu":
        limit = header.vcpus - 1
    elif column.name in ("time_ps", "start_ps", "end_ps"):
        limit = header.end_ps
    if limit is not None and int(array.max()) > limit:
        raise InputError(f"Recording: {where} holds {int(array.max())}; it must not be above {limit}")


def _check_calls(calls: Table) -> None:
    took = calls.end_ps - calls.start_ps
    for name in ("wait_ps", "hold_ps"):
        if bool((calls[name] > took).any()):
            row = int(np.argmax(calls[name] > took))
            raise InputError(
                f"Recording: calls.{name} of row {row} is {calls[name][row]} and the call took {took[row]} ps; "
                "it must not be longer"
            )
    if bool((took < 0).any()):
        raise InputError(f"Recording: calls.end_ps of row {int(np.argmax(took < 0))} lies before its start_ps")


def _check_changes(name: str, changes: Table, cells: int) -> None:
    """Check the changes of cells, frame by frame."""
    start, cell = changes.frame_start, changes.cell
    if int(start[0]) != 0 or int(start[-1]) != len(cell):
        raise InputError(
            f"Recording: {name}.frame_start runs from {start[0]} to {start[-1]}; it must be 0 to {len(cell)}"
        )
    _require_order(f"{name}.frame_start", start)
    if len(cell) and int(cell.max()) >= cells:
        raise InputError(f"Recording: {name}.cell holds {cell.max()}; there are {cells} cells")
    inside = np.ones(len(cell), dtype=bool)
    inside[start[:-1][start[:-1] < len(cell)]] = False
    if bool((inside[1:] & (np.diff(cell) <= 0)).any()):
        raise InputError(f"Recording: {name}.cell must ascend inside a frame")


def _check_cell_map(cell_map: Table, header: Header) -> None:
    _require_order("cell_map.first_gfn", cell_map.first_gfn)
    if len(cell_map.pages) and int(cell_map.pages.max()) > header.cell_pages:
        raise InputError(
            f"Recording: cell_map.pages holds {cell_map.pages.max()}; a cell has {header.cell_pages} pages at most"
        )


def _check_examples(examples: Table, header: Header) -> None:
    if len(examples.bin) == 0:
        return
    _require_order("examples.bin", examples.bin)
    bins = np.minimum(examples.time_ps // header.bin_ps, header.bins - 1)
    if not np.array_equal(bins, examples.bin):
        row = int(np.argmax(bins != examples.bin))
        raise InputError(
            f"Recording: examples.bin of row {row} is {examples.bin[row]}; its time_ps lies in bin {bins[row]}"
        )
    most = int(np.bincount(examples.bin).max())
    if most > MAX_EXAMPLES_PER_BIN:
        raise InputError(f"Recording: examples has {most} rows of one bin; it may have {MAX_EXAMPLES_PER_BIN}")


def _require_order(where: str, array: Array) -> None:
    if bool((np.diff(array) < 0).any()):
        raise InputError(f"Recording: {where} must not descend; row {int(np.argmax(np.diff(array) < 0)) + 1} does")
