"""Facts about the fields of types: range, unit, default, and the members of unions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


class FieldFacts(NamedTuple):
    """Facts from a field's annotation.

    Attributes:
        annotation: its type.
        low: the least value, if any.
        high: the greatest value, if any.
        unit: size, time, % or nothing.
    """

    annotation: Any
    low: int | None = None
    high: int | None = None
    unit: str = ""


def models_in(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401  # an annotation has any type
    """Every model that an annotation names, in order."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for each in get_args(annotation) for model in models_in(each)]


def _notes(annotation: Any) -> list[Any]:  # noqa: ANN401  # as above
    """The metadata of an annotation, from the inside out."""
    if get_origin(annotation) is Annotated:
        inner, *notes = get_args(annotation)
        flat: list[Any] = []
        for note in notes:
            flat += note.metadata if isinstance(note, FieldInfo) else []
            flat.append(note)
        return _notes(inner) + flat
    if get_origin(annotation) in (Union, UnionType):
        return [note for each in get_args(annotation) for note in _notes(each)]
    return []


def facts_of(field: FieldInfo) -> FieldFacts:
    """Range and unit of a field."""
    notes = [*_notes(field.annotation), *field.metadata, field]
    lows = [int(note.ge) for note in notes if getattr(note, "ge", None) is not None]
    highs = [int(note.le) for note in notes if getattr(note, "le", None) is not None]
    extra = [note.json_schema_extra for note in notes if isinstance(note, FieldInfo)]
    units = [str(each["unit"]) for each in extra if isinstance(each, dict) and "unit" in each]
    return FieldFacts(field.annotation, max(lows, default=None), min(highs, default=None), units[-1] if units else "")


def tag_of(model: type[BaseModel]) -> str:
    """The tag of a model in a union: the default of its field `pattern` or `kind`; else empty."""
    for name in ("pattern", "kind"):
        if name in model.model_fields:
            return str(model.model_fields[name].default)
    return ""


def field_at(root: type[BaseModel], location: Iterable[int | str]) -> FieldFacts:
    """Facts of the field at a location.

    Args:
        root: type that was validated.
        location: pydantic's path: names, indexes, and the tags of unions.

    Returns:
        The facts; empty if the path leads nowhere.
    """
    models: Sequence[type[BaseModel]] = [root]
    found = FieldFacts(None)
    for each in location:
        tagged = [model for model in models if len(models) > 1 and tag_of(model) == each]
        if tagged:
            models = tagged
            continue
        holder = next((model for model in models if each in model.model_fields), None)
        if holder is not None and isinstance(each, str):
            found = facts_of(holder.model_fields[each])
            models = models_in(found.annotation)
    return found
