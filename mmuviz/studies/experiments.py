"""The experiment that each row of measurements was: by its fields, and by what its source is known to leave unsaid."""

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
"""Units in which a reading can be had; all others are times."""


def experiment_of(point: Measurement) -> Experiment:
    """The experiment that a point was.

    Args:
        point: published.

    Returns:
        What to run and what to read off.

    Raises:
        NotCoveredError: with the reason.
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
