"""The table of all fields of a scenario file, generated from the frozen types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mmuviz.engine.choices.annotations import facts_of, models_in, tag_of
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.choices.units import RATE_UNITS, SIZE_UNITS, TIME_UNITS, rate_text, size_text, time_text
from mmuviz.studies.policies import POLICIES

HEADINGS: Final = ("field", "values", "unit", "default", "depends on", "what it is")
UNITS: Final = {"size": ", ".join(SIZE_UNITS), "time": ", ".join(TIME_UNITS), "rate": ", ".join(RATE_UNITS)}

CONSEQUENCES: Final = {
    "memory[].hva_offset": "where it and base differ modulo 2 MiB, KVM disallows huge pages and maps all by 4K, modulo "
    "1 GiB by 2M at most, whatever the backing",
}
"""What the values of two fields together do, by the field whose description it follows."""


class FieldRow(NamedTuple):
    """A row of the table: one field.

    Attributes:
        field: dotted name.
        values: allowed values.
        unit: units of sizes and times; a plain integer is in the first.
        default: default value.
        depends: other fields that it requires.
        description: its description.
    """

    field: str
    values: str
    unit: str
    default: str
    depends: str
    description: str


def field_rows() -> list[FieldRow]:
    """Make the rows of all fields, part by part."""
    rows: list[FieldRow] = []
    for name, field in Scenario.model_fields.items():
        models = models_in(field.annotation)
        if not models:
            rows.append(_row(name, field))
        elif len(models) == 1:
            where = f"{name}[]" if get_origin(field.annotation) is tuple else name
            rows += [_row(f"{where}.{each}", inner) for each, inner in models[0].model_fields.items()]
        else:
            rows += _union_rows(name, models)
    rows.append(
        FieldRow(
            "variants",
            "two to four tables",
            "",
            "none",
            "",
            "overrides, dotted or as tables; one run of each",
        )
    )
    rows.append(FieldRow("variants[].policy", ", ".join(POLICIES), "", "none", "", "a documented set of overrides"))
    return rows


def _union_rows(part: str, models: Sequence[type[BaseModel]]) -> list[FieldRow]:
    """Make the rows of a union's types: first the tag, then each field once, with the types that have it."""
    tag = "pattern" if "pattern" in models[0].model_fields else "kind"
    default = Scenario.model_fields[part].get_default(call_default_factory=True)
    where = f"{part}.{tag}"
    rows = [FieldRow(where, "one of these", "", tag_of(type(default)), "", "which of the types below")]
    rows += [FieldRow(where, tag_of(model), "", "", "", _meaning(model)) for model in models]
    holders: dict[str, list[type[BaseModel]]] = {}
    for model in models:
        for name in model.model_fields:
            if name != tag:
                holders.setdefault(name, []).append(model)
    for name, having in sorted(holders.items(), key=lambda each: -len(each[1])):
        row = _row(f"{part}.{name}", having[0].model_fields[name])
        lacking = [model for model in models if model not in having]
        if lacking:
            few = len(having) <= len(lacking)
            tags = ", ".join(tag_of(model) for model in (having if few else lacking))
            only = tags if few else f"not {tags}"
            row = row._replace(depends=f"{only}; {row.depends}" if row.depends else only)
        rows.append(row._replace(default=_defaults(name, having) or row.default))
    return rows


def _meaning(model: type[BaseModel]) -> str:
    """Return the first sentence of a type's docstring, and for a workload the real guest that it resembles."""
    resembles = getattr(model, "resembles", "")
    first = (model.__doc__ or "").splitlines()[0]
    return f"{first} Resembles {resembles}." if resembles else first


def _defaults(name: str, having: Sequence[type[BaseModel]]) -> str:
    """Describe a field's defaults by type if they differ; empty if all types have the same default."""
    texts = {tag_of(model): _default(model.model_fields[name]) for model in having}
    usual = next(iter(texts.values()))
    others = [f"{text} in {tag}" for tag, text in texts.items() if text != usual]
    return "; ".join([usual, *others]) if others else ""


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _row(name: str, field: FieldInfo) -> FieldRow:
    extra = _extra(field)
    described = [field.description or "", *([CONSEQUENCES[name]] if name in CONSEQUENCES else [])]
    return FieldRow(
        name,
        str(extra.get("values", "")) or _values(field),
        UNITS.get(facts_of(field).unit, facts_of(field).unit),
        str(extra.get("default", "")) or _default(field),
        str(extra.get("depends", "")),
        "; ".join(described),
    )


def _values(field: FieldInfo) -> str:
    facts = facts_of(field)
    annotation = facts.annotation
    text_of = {"size": size_text, "time": time_text, "rate": rate_text}.get(facts.unit, str)
    if facts.low is not None:
        return f"{text_of(facts.low)} {'or more' if facts.high is None else 'to ' + text_of(facts.high)}"
    if get_origin(annotation) is Literal:
        return ", ".join(get_args(annotation))
    if annotation is bool:
        return "true, false"
    if annotation is str:
        return "text"
    if isinstance(annotation, type) and issubclass(annotation, str):
        return ", ".join(str(each.value) for each in annotation.__members__.values())  # type: ignore[attr-defined]  # a StrEnum
    return "a list of tables"


def _default(field: FieldInfo) -> str:
    extra = _extra(field)
    if "default" in extra:
        return str(extra["default"])
    if field.default is PydanticUndefined:
        return "none: must be given"
    value, unit = field.default, facts_of(field).unit
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and unit in ("size", "time", "rate"):
        return {"size": size_text, "time": time_text, "rate": rate_text}[unit](value)
    return "empty" if value == "" else "none" if value in (None, ()) else str(value)


def fields_table() -> str:
    """Write the table as Markdown, which is also readable in a terminal."""
    rows = [HEADINGS, *field_rows()]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    rule = "|" + "|".join("---" for _ in HEADINGS) + "|"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"
