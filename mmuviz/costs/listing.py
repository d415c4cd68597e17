"""`mmuviz costs`: the ledger as a table, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final, TextIO

from mmuviz.costs.counted import release_name
from mmuviz.costs.ledger import Entry, rows

HEADS: Final = ("path", "kernel", "value", "low", "high", "unit", "source")
NUMBERS: Final = ("value", "low", "high")


def cells_of(entry: Entry) -> tuple[str, ...]:
    """One entry as the cells of HEADS."""
    source = f"{entry.source} ({entry.derived})" if entry.derived else entry.source
    numbers = (f"{number:,.2f}" for number in (entry.value, entry.low, entry.high))
    return (entry.name, release_name(entry.kernel), *numbers, entry.unit, source)


def table_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """The ledger in columns, a line a path and kernel."""
    lines = [HEADS, *map(cells_of, entries)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    for line in lines:
        cells = zip(HEADS, line, widths, strict=True)
        yield "  ".join(cell.rjust(width) if head in NUMBERS else cell.ljust(width) for head, cell, width in cells)


def as_json(entry: Entry) -> dict[str, object]:
    """One entry, every field of it."""
    return {**vars(entry), "kernel": release_name(entry.kernel)}


def costs_command(out: TextIO, *, mitigations: str, json_form: bool) -> int:
    """`mmuviz costs`: print the ledger.

    Args:
        out: where it goes.
        mitigations: off or auto.
        json_form: a JSON list of entries in place of the table.

    Returns:
        Exit status: 0.
    """
    entries = rows(mitigations).values()
    if json_form:
        out.write(json.dumps([as_json(entry) for entry in entries], indent=1) + "\n")
        return 0
    out.writelines(line.rstrip() + "\n" for line in table_lines(entries))
    return 0
