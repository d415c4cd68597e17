"""Turns an error of pydantic into one line: field, value, rule, remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mmuviz.core.errors import InputError, short_repr
from mmuviz.engine.choices.annotations import field_at
from mmuviz.engine.choices.units import AS_TEXT, meant_by, size_text

KINDS: Final = {
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false, without quotes",
    "int_type": "must be a whole number, without quotes",
    "dict_type": "must be a table of names and values",
    "tuple_type": "must be a list",
    "model_type": "must be a table of fields",
    "model_attributes_type": "must be a table of fields",
    "missing": "is missing; give it",
}


class ContradictionError(ValueError):
    """Choices that contradict each other; the message begins with the name of a field."""


def unknown_field(data: Mapping[Any, Any], known: tuple[str, ...]) -> None:
    """Refuse a field that a type does not have.

    Args:
        data: fields as given.
        known: the type's fields.

    Raises:
        ContradictionError: the first such field, with the nearest name.
    """
    for name in data:
        if name not in known:
            text = name if isinstance(name, str) and name.isidentifier() else short_repr(name)
            near = difflib.get_close_matches(str(name)[:60], known, 1, 0.5)
            remedy = f"did you mean {near[0]}?" if near else "leave it out."
            raise ContradictionError(f"{text[:60]} is no field here; {remedy} Fields are {', '.join(known)}")


def path_of(location: Iterable[int | str]) -> str:
    """Path of a value as files and --set write it, e.g. memory[1].size."""
    text, holder, tagged = "", "", True
    for each in location:
        if isinstance(each, int):
            text += f"[{each}]"
            tagged = holder != "phases"
            continue
        if not tagged:
            tagged = True
            continue
        text += f".{each}" if text else each
        holder, tagged = each, each not in ("workload", "driver")
    return text


def _bounds(error: ErrorDetails, root: type[BaseModel]) -> str:
    field = field_at(root, error["loc"])
    low, high = field.low, field.high
    as_text = AS_TEXT.get(field.unit, str)
    if low is not None and high is not None:
        rule = f"must be {as_text(low)} to {as_text(high)}"
    else:
        rule = f"must be at least {as_text(low)}" if low is not None else f"must be at most {as_text(high or 0)}"
    given = error["input"]
    meant = meant_by(given, field.unit, low or 0, high) if type(given) is int else ""
    return f"{rule}; did you mean {meant}?" if meant else rule


def _as_written(value: object) -> str:
    """A value as files write it: true, where Python says True."""
    return str(value).lower() if isinstance(value, bool) else short_repr(value)


def _rule(error: ErrorDetails, root: type[BaseModel]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in ("greater_than_equal", "less_than_equal", "greater_than", "less_than"):
        return _bounds(error, root)
    if kind == "multiple_of":
        as_text = AS_TEXT.get(field_at(root, error["loc"]).unit, size_text)
        return f"must be a multiple of {as_text(int(context['multiple_of']))}"
    if kind in ("enum", "literal_error"):
        return f"must be one of {str(context['expected']).replace(chr(39), '').replace(' or ', ', ')}" + _nearest(error)
    if kind == "rule":
        return str(context["rule"])
    if kind == "string_too_long":
        return f"must have at most {context['max_length']} characters"
    return KINDS.get(kind, error["msg"])


def _nearest(error: ErrorDetails) -> str:
    expected = str(error.get("ctx", {}).get("expected", error.get("ctx", {}).get("expected_tags", ""))).split("'")[1::2]
    given = str(error["input"])[:60]
    if given in expected:  # a number such as 7.2, which is text here
        return f'; write it as text: "{given}"'
    near = difflib.get_close_matches(given, expected, 1, 0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _count(context: Mapping[str, Any]) -> str:
    """Actual and allowed number of entries; empty if the error is another."""
    if "actual_length" not in context:
        return ""
    bound = f"at least {context['min_length']}" if "min_length" in context else f"at most {context['max_length']}"
    return f"has {context['actual_length']} entries and must have {bound}"


def _line(error: ErrorDetails, root: type[BaseModel]) -> str:
    path, kind, context = path_of(error["loc"]), error["type"], error.get("ctx", {})
    if kind == "value_error":
        return f"{path}.{context['error']}" if path else str(context["error"])
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        name = f"{path}.{str(context['discriminator']).strip(chr(39))}"
        if kind == "union_tag_not_found":
            return f'{name} is missing; give it, e.g. pattern = "sequential"'
        expected = str(context["expected_tags"]).replace("'", "")
        error = {**error, "input": context["tag"]}
        return f"{name}={short_repr(context['tag'])} must be one of {expected}{_nearest(error)}"
    if kind in ("missing", "too_short", "too_long"):
        return f"{path} {_count(context) or KINDS[kind]}"
    return f"{path or 'a scenario'}={_as_written(error['input'])} {_rule(error, root)}"


def refusal(error: ValueError, root: type[BaseModel]) -> InputError:
    """The first error, as one line.

    Args:
        error: error of pydantic or of a rule of ours.
        root: the type that was validated.

    Returns:
        The error to raise.
    """
    if not isinstance(error, ValidationError):
        return InputError(str(error))
    return InputError(_line(error.errors(include_url=False)[0], root))
