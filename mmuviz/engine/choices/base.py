"""The base of every choice: frozen, nothing unknown, and a refusal of one line."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator

from mmuviz.engine.choices.errors import refusal, unknown_field

TAGS: Final = ("pattern", "kind")
"""Fields by which a union tells its types apart."""
_DEPTH: Final[ContextVar[int]] = ContextVar("depth", default=0)
"""How many models are being validated around this one: the outermost alone makes one line of what is wrong."""


class Choices(BaseModel):
    """A frozen set of choices.

    Raises, however it is made, InputError with the first rule that is broken: field, value, rule, remedy.
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
            # What a union is told apart by belongs to what was given, also where the class said it.
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
        """Fields as they are validated; a type may fill in what others decide."""
        return data

    def _check(self) -> None:
        """Refuse fields that do not go together; a type says which.

        Raises:
            ContradictionError: the first that do not.
        """
