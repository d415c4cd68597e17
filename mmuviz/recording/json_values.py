"""Immutable JSON values, and their canonical text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

MAX_DEPTH: Final = 32
INT_BITS: Final = 63


def freeze(value: object, depth: int = 0) -> Any:  # noqa: ANN401 - a JSON value
    """Copy a JSON value so that it cannot be changed.

    Args:
        value: None, bool, 64-bit int, finite float, str, or lists and dicts of them.
        depth: its depth in another value.

    Returns:
        The same with tuples for lists and read-only mappings for dicts.

    Raises:
        ValueError: it contains anything else, or is nested deeper than MAX_DEPTH.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"must not be nested deeper than {MAX_DEPTH}")
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > INT_BITS:
        raise ValueError("must hold no integer beyond 64 bits")
    if value is None or type(value) in (bool, int, str) or (type(value) is float and abs(value) < float("inf")):
        return value
    if isinstance(value, Mapping) and all(type(key) is str for key in value):
        return MappingProxyType({key: freeze(each, depth + 1) for key, each in value.items()})
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return tuple(freeze(each, depth + 1) for each in value)
    raise ValueError(f"must be JSON, not {type(value).__name__}")


def thaw(value: object) -> Any:  # noqa: ANN401 - a JSON value
    """The opposite of freeze(): new lists and dicts."""
    if isinstance(value, Mapping):
        return {key: thaw(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [thaw(each) for each in value]
    return value


def canonical_json(value: object) -> bytes:
    """The canonical JSON text of a value: sorted keys, no spaces, ASCII."""
    return json.dumps(thaw(value), sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
