"""The host: a profile of costs/hosts.py, and overrides of its values."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import Annotated, Any, Final

from pydantic import Field, field_validator

from mmuviz.core.errors import short_repr
from mmuviz.costs.hosts import MEANING, PROFILES, HostProfile
from mmuviz.costs.ledger import COSTS, ledger_hash
from mmuviz.engine.choices.base import Choices
from mmuviz.engine.choices.errors import ContradictionError
from mmuviz.engine.choices.units import Whole

DEFAULT_X86: Final = "tdp_eager"
DEFAULT_ARM64: Final = "ampere_one"
ARM64_PROFILES: Final = ("ampere_one", "kunpeng_920")
MOST_INSTRUCTIONS: Final = 10**9


class Host(Choices):
    """The host whose costs are used."""

    profile: Annotated[
        str,
        Field(
            strict=True,
            description="a profile of the ledger",
            json_schema_extra={
                "values": ", ".join(PROFILES),
                "default": f"{DEFAULT_X86}; {DEFAULT_ARM64} on arm64",
                "depends": "vendor: " + ", ".join(ARM64_PROFILES) + " are arm64",
            },
        ),
    ] = DEFAULT_X86
    overrides: Annotated[
        dict[str, Whole],
        Field(
            description="constants of the host, or entries of the ledger in instructions, by name (mmuviz costs)",
            json_schema_extra={"values": "name = whole number, within its plausible range", "default": "none"},
        ),
    ] = Field(default_factory=dict)

    @field_validator("overrides", mode="after")
    @classmethod
    def _in_order(cls, value: dict[str, int]) -> dict[str, int]:
        return dict(sorted(value.items()))

    def _check(self) -> None:
        """Refuse profiles and entries that do not exist."""
        if self.profile not in PROFILES:
            near = difflib.get_close_matches(self.profile[:60], PROFILES, 1, 0.5)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise ContradictionError(
                f"profile={short_repr(self.profile)} is no host profile{hint} The profiles are {', '.join(PROFILES)}"
            )
        for name, value in self.overrides.items():
            _check_override(name, value)

    @property
    def arm64(self) -> bool:
        """Whether the profile is an arm64 host."""
        return self.profile in ARM64_PROFILES

    def values(self) -> HostProfile:
        """The profile with its constants overridden."""
        profile = PROFILES[self.profile]
        changed = {name: value for name, value in self.overrides.items() if name in MEANING}
        return replace(profile, values={**profile.values, **changed}) if changed else profile

    def instructions(self) -> dict[str, int]:
        """Entries of the ledger that are overridden, in instructions."""
        return {name: value for name, value in self.overrides.items() if name in COSTS}

    def ledger_hash(self) -> str:
        """SHA-256, in hexadecimal, of every cost on this host, overrides included."""
        return ledger_hash({**self.values().values, **self.instructions()})

    @property
    def threads(self) -> int:
        """Hardware threads."""
        return self.values()["cpus"]


def _check_override(name: str, value: int) -> None:
    known: dict[str, Any] = {**MEANING, **COSTS}
    if name not in known:
        near = difflib.get_close_matches(name[:60], known, 1, 0.5)
        remedy = f"did you mean {near[0]}?" if near else "mmuviz costs lists those of the ledger"
        raise ContradictionError(f"overrides.{name[:60]} is no constant of a host and no entry of the ledger; {remedy}")
    unit, low, high = MEANING[name][:3] if name in MEANING else ("instructions", 0, MOST_INSTRUCTIONS)
    if not low <= value <= high:
        raise ContradictionError(
            f"overrides.{name}={short_repr(value)} must be {low} to {high} {unit}, its plausible range"
        )
