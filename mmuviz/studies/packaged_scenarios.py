"""The catalogue: the scenario files in the package, each with a question as its title."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

from mmuviz.studies.scenario_text import parsed

SUFFIX: Final = ".toml"
ORDER: Final = (
    "running-guest",
    "clear-in-chunks",
    "zap-or-split-on-fault",
    "amd-without-pml",
    "ring-or-bitmap",
    "ring-or-bitmap-migration",
    "rfc-memslot",
    "small-writer",
    "read-mostly",
    "disable-and-recover",
    "arm64-split-chunk",
    "nested-guest",
    "migration-small-hot",
    "migration-too-hot",
    "never-converges",
    "resent-before-sent",
    "migration-cancelled",
    "after-a-failed-migration",
    "tracking-before-first-touch",
    "huge-pages-fall-and-return",
    "eager-needs",
    "fragmented-clears",
    "clear-bitmap-shift",
    "clear-160-gib",
    "sync-of-1-tib",
    "disable-by-kernel",
    "ring-without-pml",
    "writes-by-the-vmm",
    "table-size",
    "huge-or-small-backing",
    "perf-test-96",
    "recorded-random",
    "recorded-legacy",
    "recorded-manual",
    "recorded-initially-set",
    "recorded-ring",
    "recorded-ring-initially-set",
    "recorded-4k",
    "recorded-thp",
    "recorded-2m",
    "recorded-1g",
    "recorded-head-and-tail",
    "recorded-zap-or-split-2m",
    "recorded-zap-or-split-1g",
    "recorded-disable",
    "recorded-lost-dirty-page",
    "recorded-clear-off-by-one",
    "recorded-pml",
    "recorded-shadow-mmu",
    "recorded-four-vcpus",
)
DEFAULT: Final = ORDER[0]


class CatalogueEntry(NamedTuple):
    """An entry of the catalogue: one packaged file.

    Attributes:
        name: its name for `run` and `compare`.
        title: its question.
        summary: a description of the run in two sentences.
        look_at: the part of the result that answers the question.
    """

    name: str
    title: str
    summary: str
    look_at: str


@cache
def packaged_text(name: str) -> bytes:
    """Read the file of an entry."""
    return (files("mmuviz") / "data" / "scenarios" / f"{name}{SUFFIX}").read_bytes()


def packaged_document(name: str) -> dict[str, Any]:
    """Parse the file of an entry."""
    return parsed(packaged_text(name))


def entries() -> tuple[CatalogueEntry, ...]:
    """Return all entries, in the order of the catalogue."""
    found = []
    for name in ORDER:
        document = packaged_document(name)
        found.append(CatalogueEntry(name, document["title"], document["summary"], document["look_at"]))
    return tuple(found)
