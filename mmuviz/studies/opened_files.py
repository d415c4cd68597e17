"""Requests made from an opened file: changes of a catalogue entry if a link can hold them, otherwise the document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from mmuviz.core.errors import MmuvizError
from mmuviz.mmu.kvm_recording import SCHEMA
from mmuviz.studies.comparison import POLICY_FIELDS, differing, flat
from mmuviz.studies.packaged_scenarios import ORDER
from mmuviz.studies.policies import POLICIES, policy_name
from mmuviz.studies.requests import Request, RequestError, request_of
from mmuviz.studies.scenario_files import of_recording, scenario_document
from mmuviz.studies.scenario_text import parsed

MOST_CHANGES: Final = 25
"""Most fields that differ from an entry; more would make the link too long."""


class Opened(NamedTuple):
    """The content of a file, in the form of a request.

    Attributes:
        base: a catalogue entry, or None if none is near; then `document` is used.
        set: fields of the file that differ from the entry.
        policies: policies of the runs, or None for the entry's own variants.
        document: the whole file.
        title: the file's own title.
        summary: the file's own summary.
    """

    base: str | None
    set: dict[str, Any]
    policies: list[str] | None
    document: dict[str, Any]
    title: str
    summary: str


def opened(text: str) -> Opened:
    """Read a file that is a Scenario, a Comparison, or a recording of real KVM.

    Args:
        text: TOML or JSON.

    Returns:
        The content as a request; nothing is run.

    Raises:
        InputError: the text is none of these: line, field, value, rule.
    """
    document = parsed(text.encode("utf-8", "surrogatepass"))
    if document.get("schema") == SCHEMA:
        document = of_recording(document)
    found = request_of({"document": document})
    title, summary = found.base.title, found.base.summary
    for base, changes, policies in _nearest(found, document):
        if _is_same(found, base, changes, policies):
            return Opened(base, changes, policies, document, title, summary)
    return Opened(None, {}, None, document, title, summary)


def _nearest(found: Request, document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], list[str] | None]]:
    """Yield entries and the changes from them, the fewest changes first; an entry's variants come before policies."""
    variants = document.get("variants")
    target = flat(found.base.as_document())
    ways = []
    for at, name in enumerate(ORDER):
        own, before = _entry(name)
        same = variants == own
        policies = None if same else _policies_of(found, variants)
        if same or policies is not None:
            changes = _changes(before, target, _decided(own if same else policies))
            ways.append((len(changes), at, name, changes, policies))
    for count, _, name, changes, policies in sorted(ways, key=lambda way: way[:2]):
        if count <= MOST_CHANGES:
            yield name, changes, policies


@cache
def _entry(name: str) -> tuple[list[dict[str, Any]] | None, dict[str, Any]]:
    """Return an entry's variants, and the fields that they have in common."""
    return scenario_document(name).get("variants"), flat(request_of({"base": name}).base.as_document())


def _policies_of(found: Request, variants: object) -> list[str] | None:
    """Return the policies of the runs if they differ in nothing else; None otherwise."""
    if variants is None:
        name = policy_name(found.scenarios[0].vm)
        return [name] if name in POLICIES else None
    names = [each.get("policy") if isinstance(each, dict) and len(each) == 1 else None for each in _listed(variants)]
    return [str(name) for name in names] if all(names) else None


def _listed(variants: object) -> Sequence[object]:
    return variants if isinstance(variants, list) else []


def _decided(variants: object) -> set[str]:
    """Return the fields that the variants or the policies set."""
    found: set[str] = set()
    for each in _listed(variants):
        names = {"policy"} if isinstance(each, str) else set(flat(each))
        found |= names | (set(POLICY_FIELDS) if "policy" in names else set())
    return found


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], decided: set[str]) -> dict[str, Any]:
    names = [name for name in differing([after, before]) if name in after and name not in decided]
    # Fields that decide which other fields exist come first.
    return {
        name: after[name] for name in sorted(names, key=lambda name: name not in ("workload.pattern", "driver.kind"))
    }


def _is_same(found: Request, base: str, changes: Mapping[str, Any], policies: list[str] | None) -> bool:
    """Whether the changes give exactly the same runs."""
    try:
        other = request_of({"base": base, "set": dict(changes), "policies": policies})
    except (RequestError, MmuvizError):
        return False
    return [each.digest() for each in other.scenarios] == [each.digest() for each in found.scenarios] and (
        other.labels == found.labels
    )
