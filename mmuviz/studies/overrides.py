"""Overrides of a Scenario's fields, by dotted names or tables, and their application to a document."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final, get_args

from mmuviz.core.errors import InputError, short_repr
from mmuviz.engine.choices.annotations import field_at, models_in, tag_of
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.studies.policies import policy_overrides

LEFT_OUT: Final = None
"""An override with this value removes a field, which then has its default."""
LONGEST_VALUE: Final = 10_000
_STEP: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,60})(?:\[([0-9]{1,3})\])?")
UNIONS: Final = {"workload": "pattern", "driver": "kind"}


def steps_of(field: str) -> list[str | int]:
    """Split a dotted name into names and indices.

    Args:
        field: a dotted name, e.g. "vm.kernel", "memory[0].size".

    Returns:
        The steps from the document to the value.

    Raises:
        InputError: the text is not a dotted name.
    """
    steps: list[str | int] = []
    for part in field.split(".") if len(field) <= 200 else [""]:
        found = _STEP.fullmatch(part)
        if found is None:
            raise InputError(
                f"field {short_repr(field)} must be names with dots between, e.g. vm.kernel or memory[0].size"
            )
        steps += [found[1]] if found[2] is None else [found[1], int(found[2])]
    return steps


def value_of(field: str, text: str) -> Any:  # noqa: ANN401  # a field's type decides
    """Parse the value of an override given on a command line.

    Args:
        field: dotted name.
        text: TOML, or a plain string; for a text field it is used unchanged, and for a field of a few texts that look
            like numbers, such as driver.version, a number means the text of that value.

    Returns:
        The value.

    Raises:
        InputError: the name or the text has another form.
    """
    if len(text) > LONGEST_VALUE:
        raise InputError(f"{field} has a value of {len(text)} characters; give at most {LONGEST_VALUE}")
    stripped = text.strip()
    if field_at(Scenario, steps_of(field)).annotation is str and stripped[:1] not in ('"', "'"):
        return stripped
    if (release := _text_of_number(field, stripped)) is not None:
        return release
    if "\n" in stripped or re.search(r"[0-9A-Fa-f_]{400}", stripped):
        return stripped[:100]
    try:
        return tomllib.loads(f"value = {stripped}")["value"]
    except (ValueError, RecursionError):
        return stripped


def _text_of_number(field: str, value: str | float) -> str | None:
    """Return the text that a number stands for, in a field of a few texts; None if it stands for none of them.

    Args:
        field: dotted name.
        value: a number, or the text of one without quotes: 10 and 10.0 both stand for "10.0".
    """
    texts = [each for each in get_args(field_at(Scenario, steps_of(field)).annotation) if isinstance(each, str)]
    numbers = {number: each for each in texts if (number := _number(each)) is not None}
    number = _number(value)
    return None if number is None else numbers.get(number)


def _number(value: str | float) -> float | None:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _leaves(fields: Mapping[str, Any], before: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    """Flatten overrides to pairs of path and value: tables are descended into, dotted names split; lists are values."""
    found: list[tuple[tuple[str | int, ...], Any]] = []
    for name, value in fields.items():
        path = (*before, *steps_of(str(name)))
        if isinstance(value, Mapping) and value and path[:2] != ("host", "overrides") and len(path) < 8:
            found += _leaves(value, path)
        elif isinstance(value, Mapping) and len(path) < 8:
            found += [((*path, *steps_of(str(each))), leaf) for each, leaf in value.items()]
        else:
            found.append((path, value))
    return found


def overridden(document: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Apply overrides to a document.

    `policy` is replaced by its own overrides, which are applied first. A field of the item after the last one of a
    list, such as memory[1].size, adds an item. With another `workload.pattern` or `driver.kind`, fields that the new
    type has too are kept.

    Args:
        document: fields of a Scenario as they were given; not changed.
        overrides: dotted names or tables; None removes a field.

    Returns:
        The new document.

    Raises:
        InputError: a name leads to no field.
    """
    rest = {name: value for name, value in overrides.items() if name != "policy"}
    leaves = _leaves(rest)
    if "policy" in overrides:
        # The overrides of a policy depend on the VM, which the other overrides may change.
        vm = overridden(document, rest).get("vm", {})
        leaves = [*_leaves(policy_overrides(overrides["policy"], vm)), *leaves]
    found: dict[str, Any] = copied(document)
    for part, tag in UNIONS.items():
        chosen = [value for path, value in leaves if path == (part, tag)]
        if chosen and isinstance(found.get(part), dict) and found[part].get(tag) != chosen[-1]:
            found[part] = _kept(part, str(chosen[-1]), found[part])
    for path, value in leaves:
        _put(found, path, value)
    return found


def copied(value: Any) -> Any:  # noqa: ANN401  # of any type, nested as deep as a parser lets it be
    """Copy tables and lists; other values are shared."""
    if isinstance(value, Mapping):
        return {name: copied(each) for name, each in value.items()}
    return [copied(each) for each in value] if isinstance(value, list | tuple) else value


def _kept(part: str, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    models = models_in(Scenario.model_fields[part].annotation)
    known = next((model.model_fields for model in models if tag_of(model) == kind), {})
    return {name: value for name, value in fields.items() if name in known}


def _reach(at: object, step: int, name: str, *, grows: bool) -> None:
    """Check that a list has an item, or append one if a field of the next item is set."""
    many = len(at) if isinstance(at, list) else 0
    if isinstance(at, list) and step == many and grows:
        at.append({})
    elif step >= many:
        next_one = f", and a field of {name.rpartition('[')[0]}[{many}] adds one" if many else ""
        raise InputError(f"{name} is not there: the scenario has {many} of them; count from 0{next_one}")


def _put(document: dict[str, Any], path: tuple[str | int, ...], value: object) -> None:
    at: Any = document
    for index, step in enumerate(path):
        name = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in path[: index + 1]).lstrip(".")
        if isinstance(step, int):
            _reach(at, step, name, grows=value is not LEFT_OUT and index < len(path) - 1)
        elif not isinstance(at, dict):
            raise InputError(
                f"{name} is no field: what it stands in has no fields; mmuviz scenarios --fields lists them"
            )
        if index == len(path) - 1:
            break
        if isinstance(at, dict) and step not in at:
            if value is LEFT_OUT:
                return
            at[step] = {}
        at = at[step]
    if value is not LEFT_OUT:
        at[path[-1]] = value
    elif isinstance(at, dict):
        at.pop(path[-1], None)


def apply_overrides(document: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Apply overrides whose values may be text, as a user typed them.

    Args:
        document: fields of a Scenario, and its variants, as they were given; not changed.
        overrides: dotted name -> text, or a value that is used unchanged.

    Returns:
        The new document.

    Raises:
        InputError: a name leads to no field.
    """
    return overridden(document, {field: _typed(field, value) for field, value in overrides.items()})


def _typed(field: str, value: Any) -> Any:  # noqa: ANN401  # a field's type decides
    if field == "policy":
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        release = _text_of_number(field, value)
        return value if release is None else release
    return value_of(field, value) if isinstance(value, str) else value
