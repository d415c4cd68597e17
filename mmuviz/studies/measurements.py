"""Published measurements, read from a file."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from mmuviz.core.errors import InputError
from mmuviz.core.regular_file import open_regular
from mmuviz.mmu.kvm_recording import MAX_FILE_BYTES

SHIPPED: Final = "published/measurements.json"
FIELDS: Final = ("id", "source_title", "source_url", "workload", "metric", "unit", "value", "strategy", "notes")


@dataclass(frozen=True)
class Measurement:
    """A published value.

    Attributes:
        id: id of the measurement; no computation depends on it.
        source_title: title of the source.
        workload: the experiment, as the source describes it.
        metric: the quantity that was measured.
        unit: unit of the value.
        value: the measured value.
        strategy: lazy, eager, or the source's own name for its way of splitting.
        source_url: address of the source.
    """

    id: str
    source_title: str
    workload: dict[str, Any]
    metric: str
    unit: str
    value: float
    strategy: str
    source_url: str = ""


def read_measurements(path: Path | None = None) -> list[Measurement]:
    """Read measurements.

    Args:
        path: a file in the schema of the packaged one; None for the packaged one.

    Returns:
        Its measurements.

    Raises:
        InputError: the file is not of that schema.
    """
    name = "the shipped measurements" if path is None else str(path)
    try:
        text = resources.files("mmuviz.data").joinpath(SHIPPED).read_bytes() if path is None else text_of(path)
        rows = json.loads(text)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{name}: {reason}; it must be a JSON list of measurements") from error
    if not isinstance(rows, list):
        raise InputError(f"{name}: must be a JSON list of measurements, not {type(rows).__name__}")
    return [_point(name, index, row) for index, row in enumerate(rows)]


def text_of(path: Path) -> bytes:
    """Read the bytes of a file.

    Raises:
        InputError: it is not a regular file, or too long.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        text = file.read(MAX_FILE_BYTES + 1)
    if len(text) > MAX_FILE_BYTES:
        raise InputError(f"has more than {MAX_FILE_BYTES >> 20} MiB; give fewer measurements")
    return text


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _point(name: str, index: int, row: object) -> Measurement:
    if not isinstance(row, dict):
        raise InputError(f"{name}: entry {index} must be an object with the fields {', '.join(FIELDS)}")
    texts = {field: row.get(field, "") for field in ("id", "source_title", "source_url", "metric", "unit", "strategy")}
    for field, text in texts.items():
        if not isinstance(text, str):
            raise InputError(f"{name}: entry {index}: {field} must be a text")
    workload, value = row.get("workload"), _number(row.get("value"))
    if not isinstance(workload, dict):
        raise InputError(f"{name}: entry {index}: workload must be an object")
    if value is None:
        raise InputError(f"{name}: entry {index}: value must be a number")
    return Measurement(workload=workload, value=value, **texts)
