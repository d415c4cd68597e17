"""A Recording: the result of a run, as immutable tables. schema.py describes their columns."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import numpy.typing as npt

from mmuviz.core.errors import InputError, short_repr
from mmuviz.recording import content, gzip_file, whole_file
from mmuviz.recording.checks import check_tables
from mmuviz.recording.drawing import draw
from mmuviz.recording.frames import frame_of
from mmuviz.recording.header import Header
from mmuviz.recording.schema import TABLES
from mmuviz.recording.table import Table
from mmuviz.recording.totals_html import html_of
from mmuviz.recording.totals_of import totals_of


class Recording:
    """One run: a header and twelve tables.

    Args:
        header: the run, its host and its versions.
        tables: all of schema.TABLES; arrays are copied and become read-only.

    Attributes:
        header: the header.
        tables: by name, in the order of the file.
        calls: one row per ioctl, pass, round or phase.
        bins: one row per bin of time: sums, and states at the bin's end.
        cells: shares of each cell of guest memory, where they changed, frame by frame.
        cell_map: each cell's place in guest memory.
        vcpus: one row per vCPU: totals.
        vcpu_bins: each vCPU's use of each bin, one row per bin and vCPU.
        stalls: histogram of stalls by cause.
        longest: the longest stalls.
        examples: the first event of each kind in each bin.
        events: every change of an entry in the Focus.
        rounds: one row per round of a migration, from sync to sync.
        sent_cells: shares of each cell's pages that a migration has sent, and sent again, bin by bin.

    Raises:
        InputError: a column breaks a rule of schema.py or does not fit the others.
    """

    header: Header
    tables: Mapping[str, Table]
    calls: Table
    bins: Table
    cells: Table
    cell_map: Table
    vcpus: Table
    vcpu_bins: Table
    stalls: Table
    longest: Table
    examples: Table
    events: Table
    rounds: Table
    sent_cells: Table

    def __init__(self, header: Header, tables: Mapping[str, Mapping[str, npt.ArrayLike]]) -> None:
        if unknown := sorted(set(tables) - set(TABLES)):
            raise InputError(f"Recording: {short_repr(unknown[0])} is no table; there are {', '.join(TABLES)}")
        if missing := [name for name in TABLES if name not in tables]:
            raise InputError(f"Recording: table {missing[0]} is missing; there must be {', '.join(TABLES)}")
        checked = {name: Table(name, tables[name]) for name in TABLES}
        check_tables(header, checked)
        vars(self).update(checked, header=header, tables=MappingProxyType(checked))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Recording cannot be changed: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Recording cannot be changed: {name}")

    def content(self) -> bytes:
        """The canonical bytes; the last 32 are the SHA-256 of the others."""
        return content.encode(self.header, self.tables)

    @cached_property
    def hash(self) -> str:
        """The content hash: SHA-256, 64 hex digits. The same Scenario and Focus give the same."""
        return content.hash_of(self.content())

    @property
    def totals(self) -> dict[str, Any]:
        """Sums over the run, JSON ready: times in ns, memory in bytes. docs/recording-file.md lists them."""
        return totals_of(self.header, self.tables)

    def frame(self, table: str, kind: str = "pandas") -> Any:  # noqa: ANN401 - of a package that may be absent
        """One table for analysis; needs the extra `frames`.

        Args:
            table: a name in `tables`, e.g. "bins".
            kind: "pandas" for a pandas.DataFrame, "arrow" for a pyarrow.Table.

        Returns:
            One row per bin, call, event, …; codes have their names.

        Raises:
            InputError: there is no such table or kind, or the package is not installed.
        """
        return frame_of(self, table, kind)

    def figure(self) -> Any:  # noqa: ANN401 - Plotly ships no types
        """A Plotly figure: stall, guest progress, page tables and leaves over simulated time."""
        return draw(self)

    def _repr_html_(self) -> str:
        return html_of(self)

    def save(self, path: str | Path) -> None:
        """Write a file that `mmuviz.load()` reads; it appears whole or not at all.

        Args:
            path: replaced if it exists.

        Raises:
            InputError: it cannot be written.
        """
        whole_file.write(Path(path), gzip_file.compress(self.content()))

    def __eq__(self, other: object) -> bool:
        return self.hash == other.hash if isinstance(other, Recording) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.hash)

    def __reduce__(self) -> tuple[Any, ...]:
        return Recording, (self.header, dict(self.tables))

    def __repr__(self) -> str:
        head = self.header
        return f"Recording {self.hash[:12]}: {head.vcpus} vCPUs, {head.bins} bins, {head.end_ps} ps"
