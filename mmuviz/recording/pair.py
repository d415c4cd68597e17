"""Two recordings that differ in one choice, and their form on the wire: assets/recording.js reads it.

Layout, little-endian:

* 7 bytes ``MMUVIZP`` and one byte of version;
* uint32, bytes of the header;
* the header, JSON: words, the clock's seconds, figures by op, and `columns`, a list of
  [pane, column, form, rows] in the order in which they follow the recordings;
* both recordings, as codec.py writes them, then the columns; everything begins at a multiple of 8.

Forms are those of codec.py, and ``u16``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mmuviz.ground.errors import InputError
from mmuviz.recording.codec import HEAD, encode, header_of, padded
from mmuviz.recording.columns import I64, Config, Recording
from mmuviz.recording.explain import explained, quiet
from mmuviz.recording.labels import op_label
from mmuviz.recording.pending import pending_of
from mmuviz.recording.point import point
from mmuviz.recording.series import base_figures
from mmuviz.recording.timeline import Timeline
from mmuviz.recording.words import kernel_release, pane_title, title

MAGIC: Final = b"MMUVIZP"
VERSION: Final = 1
KERNEL: Final = "kernel"


@dataclass(frozen=True, eq=False)
class Pair:
    """Two recordings of the same accesses that differ in exactly one choice.

    Attributes:
        name: the scenario.
        left: one recording.
        right: the other.

    Raises:
        InputError: they differ in more or less than one choice, or in slot or ops.
    """

    name: str
    left: Recording
    right: Recording

    def __post_init__(self) -> None:
        """Refuse what cannot be compared."""
        if self.left.slot != self.right.slot or self.left.ops != self.right.ops:
            raise InputError(f"{self.name}: both sides of a comparison must have the same slot and ops")
        found = differences(self.left, self.right)
        if len(found) != 1:
            said = " and ".join(found) or "nothing"
            raise InputError(f"{self.name}: the sides differ in {said}; a comparison must vary exactly one field")

    @property
    def differs(self) -> str:
        """The one choice in which the sides differ: a field of Config, or "kernel"."""
        return differences(self.left, self.right)[0]

    @property
    def sides(self) -> tuple[Recording, Recording]:
        """Left and right."""
        return self.left, self.right

    @property
    def timeline(self) -> Timeline:
        """The clock of both."""
        return Timeline(self.left, self.right)


def differences(left: Recording, right: Recording) -> list[str]:
    """Choices in which two recordings differ: "kernel" and fields of Config."""
    found = [KERNEL] if kernel_release(left) != kernel_release(right) else []
    return found + [name for name in Config._fields if getattr(left.config, name) != getattr(right.config, name)]


def opening(pair: Pair, timeline: Timeline) -> int:
    """Where the page begins to play: before dirty logging is enabled for the first time, else at the start."""
    kinds = [op.kind for op in pair.left.ops]
    first = kinds.index("enable") if "enable" in kinds else 0
    return int(timeline.op_ends[first - 1]) if first else 0


def encode_pair(pair: Pair) -> bytes:
    """Write a pair.

    Args:
        pair: not changed.

    Returns:
        The bytes; the same pair gives the same ones.

    Raises:
        InputError: a recording cannot be written, see codec.encode().
    """
    timeline = pair.timeline
    blobs = [encode(side) for side in pair.sides]
    panes, heads, parts = [], [], []
    for index, side in enumerate(pair.sides):
        says, say = explained(side)
        pending = pending_of(side)
        columns = {"say": say, "fresh_first": pending.first_fresh, "fresh": pending.fresh}
        for name, column in columns.items():
            form = "u16" if name == "say" else "delta32"
            heads.append([index, name, form, len(column)])
            parts.append(padded(_bytes_of(column, form)))
        panes.append(
            {
                "title": pane_title(side, pair.differs),
                "origin": side.note,
                "bytes": len(blobs[index]),
                "says": [each._asdict() for each in says],
                "quiet": quiet(side),
                "base": {**base_figures(side), "header_bytes": 0},
                "pending": pending.before.tolist(),
                "told": pending.told.tolist(),
            }
        )
    header: dict[str, Any] = {
        "name": pair.name,
        "title": title(pair.left, without=pair.differs),
        "point": point(pair.left, pair.right),
        "differs": pair.differs,
        "open_at": opening(pair, timeline),
        "ops": _ops(pair, timeline),
        "panes": panes,
        "columns": heads,
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    return b"".join([padded(HEAD.pack(MAGIC, VERSION, len(text)) + text), *blobs, *parts])


def _ops(pair: Pair, timeline: Timeline) -> list[dict[str, Any]]:
    seconds = timeline.seconds_by_op()
    return [
        {"kind": op.kind, "label": op_label(pair.left, index), "seconds": seconds[index]}
        for index, op in enumerate(pair.left.ops)
    ]


def _bytes_of(column: I64, form: str) -> bytes:
    if form == "u16":
        return column.astype("<u2").tobytes()
    return np.diff(column, prepend=0).astype("<i4").tobytes()


def split_pair(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Read a pair's header.

    Args:
        data: from encode_pair().

    Returns:
        The header, and all that follows it.

    Raises:
        InputError: the bytes are not a pair of this version, or end inside the header.
    """
    header, at = header_of(data, MAGIC, VERSION, "pair of recordings")
    return header, data[at:]
