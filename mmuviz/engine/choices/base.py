"""Base of all types of a Scenario: frozen, no unknown fields, errors of one line."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator

from mmuviz.engine.choices.errors import refusal, unknown_field

TAGS: Final = ("pattern", "kind")
"""Fields that select the type within a union."""
_DEPTH: Final[ContextVar[int]] = ContextVar("depth", default=0)
"""Depth of nested validation: only the outermost model turns an error into one line."""


class Choices(BaseModel):
    """A frozen set of choices.

    However it is created, the first broken rule raises InputError: field, value, rule, remedy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_in_one_line(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401  # not yet checked
        depth = _DEPTH.get()
        token = _DEPTH.set(depth + 1)
        try:
            if isinstance(data, dict):
                unknown_field(data, tuple(cls.model_fields))
                data = cls._prepared(data)
            made = handler(data)
            made._check()  # noqa: SLF001  # of the class itself
            # A union's tag counts as given, even where the class implied it.
            made.model_fields_set.update(name for name in TAGS if name in cls.model_fields)
        except ValueError as error:
            if depth:
                raise
            raise refusal(error, cls) from None
        finally:
            _DEPTH.reset(token)
        return made

    @classmethod
    def _prepared(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return the fields before validation; a type may override it to fill in fields that others determine."""
        return data

    def _check(self) -> None:
        """Refuse fields that contradict each other; types with such rules override it.

        Raises:
            ContradictionError: for the first contradiction.
        """
