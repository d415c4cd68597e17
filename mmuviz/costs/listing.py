"""`mmuviz costs`: the ledger as a table, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final, TextIO

from mmuviz.costs.counted import release_name
from mmuviz.costs.hosts import PROFILES, Constant, HostProfile
from mmuviz.costs.ledger import Entry, rows

HEADS: Final = ("path", "kernel", "value", "low", "high", "unit", "source")
HOST_HEADS: Final = ("constant", "host", "value", "low", "high", "unit", "source")
NUMBERS: Final = ("value", "low", "high")


def cells_of(entry: Entry) -> tuple[str, ...]:
    """Make the cells of an entry's row, in the columns of HEADS."""
    source = f"{entry.source} ({entry.derived})" if entry.derived else entry.source
    numbers = (f"{number:,.2f}" for number in (entry.value, entry.low, entry.high))
    return (entry.name, release_name(entry.kernel), *numbers, entry.unit, source)


def source_of(profile: HostProfile, constant: Constant) -> str:
    """Return the source of a host's constant, as text."""
    if constant.name in profile.fitted:
        return f"fitted to {', '.join(profile.rows_used)} of mmuviz/data/published/measurements.json"
    return constant.basis


def host_cells(profile: HostProfile, constant: Constant) -> tuple[str, ...]:
    """Make the cells of a host constant's row, in the columns of HOST_HEADS."""
    numbers = (f"{number:,}" for number in (constant.value, constant.low, constant.high))
    return (
        constant.name,
        profile.name,
        *numbers,
        constant.unit,
        f"{source_of(profile, constant)} ({constant.description})",
    )


def table_lines(heads: tuple[str, ...], rows_of_cells: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Write a part of the ledger in columns, one line per entry."""
    lines = [heads, *rows_of_cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        cells = zip(heads, line, widths, strict=True)
        yield "  ".join(cell.rjust(width) if head in NUMBERS else cell.ljust(width) for head, cell, width in cells)


def as_json(entry: Entry) -> dict[str, object]:
    """Return all fields of an entry as a JSON object."""
    return {**vars(entry), "kernel": release_name(entry.kernel)}


def host_json(profile: HostProfile, constant: Constant) -> dict[str, object]:
    """Return all fields of a host's constant as a JSON object."""
    fitted = constant.name in profile.fitted
    empty = {"kernel": "", "mitigations": "", "derived": ""}
    source = source_of(profile, constant)
    return {**vars(constant), **empty, "host": profile.name, "fitted": fitted, "source": source}


def costs_command(out: TextIO, *, mitigations: str, json_form: bool) -> int:
    """`mmuviz costs`: print the ledger.

    Args:
        out: output stream.
        mitigations: off or auto.
        json_form: print a JSON list of entries instead of the table.

    Returns:
        Exit status: 0.
    """
    entries = rows(mitigations).values()
    constants = [(profile, constant) for profile in PROFILES.values() for constant in profile.constants()]
    if json_form:
        listed = [as_json(entry) for entry in entries] + [host_json(*each) for each in constants]
        out.write(json.dumps(listed, indent=1) + "\n")
        return 0
    out.writelines(line.rstrip() + "\n" for line in table_lines(HEADS, map(cells_of, entries)))
    out.write("\n")
    out.writelines(line.rstrip() + "\n" for line in table_lines(HOST_HEADS, (host_cells(*each) for each in constants)))
    return 0
