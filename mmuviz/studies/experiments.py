"""Experiments of published measurements, from the fields of their rows and from known facts about their sources."""

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
"""Units of the model's metrics; all other metrics are times."""


def experiment_of(point: Measurement) -> Experiment:
    """Make the experiment of a measurement.

    Args:
        point: a published value.

    Returns:
        The Scenario, and the metric to compute from its Recording.

    Raises:
        NotCoveredError: there is none; the message has the reason.
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
