"""Runs that a test can look into: a Recording together with the session that made it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from mmuviz.engine import clock as layout
from mmuviz.engine.choices.scenario import Focus, Scenario
from mmuviz.engine.recording_of import recording_of
from mmuviz.engine.run import notes_of, session_of
from mmuviz.engine.session import Session
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS, IOCTL_COUNT, TABLES

Prepare = Callable[[Session], None]
MIB: Final = 1 << 20
GIB: Final = 1 << 30


class Ran(NamedTuple):
    """A run that is over."""

    recording: Recording
    session: Session


def ran(scenario: Scenario, focus: Focus | None = None, prepare: Prepare | None = None) -> Ran:
    """Do what run() does, and call `prepare` with the session before its driver begins."""
    session = session_of(scenario, focus)
    if prepare is not None:
        prepare(session)
    scenario.driver.drive(session)
    session.recorder.finish(session.machine)
    return Ran(recording_of(session, notes_of(scenario, session)), session)


def one_by_one(session: Session) -> None:
    """No lookahead: each access is an event of its own."""
    session.machine.clock.regs[layout.ONE_BY_ONE] = 1


def without_focus(session: Session) -> None:
    """No events are kept, whatever would fit."""
    session.recorder.focus = None


def one_by_one_without_focus(session: Session) -> None:
    """Neither."""
    one_by_one(session)
    without_focus(session)


def differing(one: Recording, other: Recording, leave_out: Iterable[str] = ()) -> list[str]:
    """Columns, named table.column, and fields of the header in which two Recordings differ."""
    found = [
        f"header.{name}"
        for name in type(one.header).model_fields
        if f"header.{name}" not in leave_out and getattr(one.header, name) != getattr(other.header, name)
    ]
    for table, columns in TABLES.items():
        names = [column.name for column in columns] if table not in leave_out else []
        mine, others = one.tables[table], other.tables[table]
        found += [f"{table}.{name}" for name in names if not np.array_equal(mine[name], others[name])]
    return found


def ioctl_rows(recording: Recording) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return the mask of calls that are ioctls."""
    found: np.ndarray[Any, np.dtype[np.bool_]] = recording.calls.kind < IOCTL_COUNT
    return found


def of_kind(recording: Recording, kind: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Rows of the calls of a kind."""
    return np.flatnonzero(recording.calls.kind == CALL_KINDS.index(kind))


def scenario_of(document: Mapping[str, Any], **parts: Mapping[str, Any]) -> Scenario:
    """A document as a Scenario, with fields of its parts exchanged: vm={"pml": True}."""
    merged = dict(document)
    for part, fields in parts.items():
        old = merged.get(part, {})
        if part in ("workload", "driver") and fields.keys() & {"pattern", "kind"}:
            old = {}
        merged[part] = {**old, **fields}
    return Scenario.model_validate(merged)
