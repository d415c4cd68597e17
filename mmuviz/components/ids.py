"""Every id of the page, in one place."""

from enum import StrEnum


class Id(StrEnum):
    """Ids that callbacks and scripts look for; the scripts in assets name the same."""

    URL = "url"
    MENU = "menu"
    THEME = "theme"
    SHOWN = "shown"
    PAINTED = "painted"
    DETAILS = "details"
    STORY = "story"
    LIVE = "live"

    MAP = "map"
    MAP_SCALE = "map-scale"
    MAP_SUMMARY = "map-summary"
    MAP_TABLE = "map-table"
    VIEW_PATH = "view-path"

    TRANSPORT = "transport"
    FIRST = "first"
    BACK_OP = "back-op"
    BACK_ACCESS = "back-access"
    BACK = "back"
    PLAY = "play"
    NEXT = "next"
    NEXT_ACCESS = "next-access"
    NEXT_OP = "next-op"
    LAST = "last"
    SCRUB_BOX = "scrub-box"
    OP_MARKS = "op-marks"
    SPEED = "speed"
    CLOCK = "clock"

    CHARTS = "charts"
    CHART_LEFT = "chart-left"
    CHART_RIGHT = "chart-right"
    CHART_BOTH = "chart-both"

    TIMES = "times"
    OPS = "ops"
