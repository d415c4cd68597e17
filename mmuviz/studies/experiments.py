"""The experiment of each row of measurements: from its fields, and from facts known about its source."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from mmuviz.core.errors import MmuvizError, one_line, short_repr
from mmuviz.studies.measurements import Measurement
from mmuviz.studies.point_scenarios import SECONDS, Experiment, NotCoveredError
from mmuviz.studies.published_fields import from_fields
from mmuviz.studies.published_sources import known_source

UNITS_OF: Final = {
    "disable_flushes": ("count",),
    "faults": ("count",),
    "stall_share": ("percent",),
    "cpu_dirty": ("cpu_s",),
    "cpu_enable": ("cpu_s",),
}
"""Units of readings; all others are times."""


def experiment_of(point: Measurement) -> Experiment:
    """The experiment of a point.

    Args:
        point: a published value.

    Returns:
        The run, and the reading to take from it.

    Raises:
        NotCoveredError: there is none; the message says why.
    """
    make = known_source(point) or from_fields
    try:
        made = make(point)
    except MmuvizError as error:
        raise NotCoveredError(one_line(str(error))) from error
    except ValidationError as error:
        raise NotCoveredError(one_line(str(error.errors()[0]["msg"]))) from error
    units = UNITS_OF.get(made.metric, tuple(SECONDS))
    if point.unit in units:
        return made
    raise NotCoveredError(f"unit {short_repr(point.unit)} of {short_repr(point.metric)} is none of {', '.join(units)}")
