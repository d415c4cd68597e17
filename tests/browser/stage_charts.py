"""The stage's charts, ribbons, sentences and summary without its page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser

from tests.browser.stage_scripts import Stage, opened_stage

SCRIPTS: Final = (
    "chart-axis",
    "chart-labels",
    "chart-layers",
    "chart-lines",
    "charts",
    "kernel-functions",
    "numbers",
    "ribbon-calls",
    "ribbon-text",
    "ribbon",
    "sentence-text",
    "sentence",
    "summary-parts",
    "summary",
    "tokens",
)
PS: Final = {"ps": 1, "ns": 10**3, "µs": 10**6, "ms": 10**9, "s": 10**12}
SETS: Final = (
    ("lazy",),
    ("lazy", "eager"),
    ("lazy", "eager", "ring"),
    ("perf test", "chunks", "ring", "eager memslots"),
)


@contextmanager
def opened_charts(chromium: Browser, repository: Path) -> Iterator[Stage]:
    """A Stage with the scripts that draw over time, and their colours."""
    with opened_stage(chromium, repository) as stage:
        for name in SCRIPTS:
            stage.page.add_script_tag(path=stage.assets / f"{name}.js")
        for name in ("tokens", "summary"):
            stage.page.add_style_tag(path=stage.assets / f"{name}.css")
        yield stage
