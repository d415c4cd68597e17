"""Every id of the page, in one place."""

from enum import StrEnum


class Id(StrEnum):
    """Ids that callbacks and scripts look for; assets/still-map.js names the same."""

    URL = "url"
    SHOWN = "shown"
    MAP = "map"
    MAP_OP = "map-op"
    MAP_SUMMARY = "map-summary"
    MAP_SCALE = "map-scale"
    PREVIOUS_OP = "previous-op"
    NEXT_OP = "next-op"
    OPS = "ops"
