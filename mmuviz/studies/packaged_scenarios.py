"""The catalogue: scenario files that the package holds, each with a question as its title."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

from mmuviz.studies.scenario_text import parsed

SUFFIX: Final = ".toml"
ORDER: Final = ("running-guest",)
DEFAULT: Final = ORDER[0]


class CatalogueEntry(NamedTuple):
    """One packaged file.

    Attributes:
        name: by which run and compare know it.
        title: a question.
        summary: what is run, in two sentences.
        look_at: what to look at in the answer.
    """

    name: str
    title: str
    summary: str
    look_at: str


@cache
def packaged_text(name: str) -> bytes:
    """The file of an entry, as it stands."""
    return (files("mmuviz") / "data" / "scenarios" / f"{name}{SUFFIX}").read_bytes()


def packaged_document(name: str) -> dict[str, Any]:
    """The document of an entry."""
    return parsed(packaged_text(name))


def entries() -> tuple[CatalogueEntry, ...]:
    """All entries, in the order of the catalogue."""
    found = []
    for name in ORDER:
        document = packaged_document(name)
        found.append(CatalogueEntry(name, document["title"], document["summary"], document["look_at"]))
    return tuple(found)
