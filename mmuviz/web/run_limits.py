"""Limits of visitors' requests, and the environment variables that set them."""

from __future__ import annotations

import math
import os
from typing import Final, NamedTuple

from mmuviz.core.errors import InputError, short_repr
from mmuviz.engine.choices.units import limit_of
from mmuviz.studies.estimate import MOST_BYTES
from mmuviz.studies.requests import MOST_SECONDS
from mmuviz.studies.side_by_side import AT_ONCE
from mmuviz.web.result_store import LIMIT_BYTES, ResultStore

SECONDS_ENV: Final = "MMUVIZ_RUN_SECONDS"
MEMORY_ENV: Final = "MMUVIZ_RUN_MEMORY"
RESULTS_ENV: Final = "MMUVIZ_RESULTS_SIZE"


class Limits(NamedTuple):
    """Limits of visitors' requests.

    Attributes:
        seconds: most time of one run, by its estimate.
        memory_bytes: most memory of one run, by its estimate, and of all concurrent runs together.
        at_once: most concurrent runs of all visitors.
        jobs: most waiting requests of all visitors.
        answer_s: a result that is available within this time is sent with the first answer.
    """

    seconds: float = MOST_SECONDS
    memory_bytes: int = MOST_BYTES
    at_once: int = AT_ONCE
    jobs: int = 100
    answer_s: float = 0.4


def limits_of_settings() -> Limits:
    """Read the limits from the environment: MMUVIZ_RUN_SECONDS and MMUVIZ_RUN_MEMORY.

    Raises:
        InputError: one of them is not a number of seconds, or not a size.
    """
    text = os.environ.get(SECONDS_ENV) or str(MOST_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InputError(f"{SECONDS_ENV}={short_repr(text)} must be a number of seconds above 0, e.g. {MOST_SECONDS}")
    return Limits(seconds=seconds, memory_bytes=_size(MEMORY_ENV, MOST_BYTES))


def store_of_settings() -> ResultStore:
    """Open the store that the environment names: MMUVIZ_RESULTS_DIR and MMUVIZ_RESULTS_SIZE.

    Raises:
        InputError: the folder cannot be written to, or the size is not a size.
    """
    return ResultStore(limit_bytes=_size(RESULTS_ENV, LIMIT_BYTES))


def _size(name: str, default: int) -> int:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        return limit_of(text)
    except ValueError as error:
        raise InputError(f"{name}={short_repr(text)} {error}") from error
