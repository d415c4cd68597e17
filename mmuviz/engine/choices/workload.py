"""What the guest does: a pattern, its rate, its share of writes, its seed.

The union of all workloads is in phases.py, since a list of phases is one of them.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from mmuviz.core.pages import PAGE_BYTES, PAGES_PER_2M
from mmuviz.engine.choices.base import Choices
from mmuviz.engine.choices.units import Exponent, Flag, PagedSize, Percent, Tenths, Whole, parts_of_percent
from mmuviz.workloads import stream
from mmuviz.workloads.hot_set import MILLION, HotSet
from mmuviz.workloads.idle import Idle
from mmuviz.workloads.pattern import MOST, PS_PER_S, Pattern
from mmuviz.workloads.read_write_mix import ReadWriteMix
from mmuviz.workloads.sequential import Sequential
from mmuviz.workloads.strided import Strided
from mmuviz.workloads.uniform_random import UniformRandom
from mmuviz.workloads.zipf import HUNDREDTHS, Zipf

MOST_SEED: Final = (1 << 31) - 1
WriteShare = Annotated[Tenths, Field(description="accesses that write")]
Accesses = Annotated[Whole, Field(ge=0, le=MOST, description="accesses of a pass; 0: as many as the part has pages")]


class Accessing(Choices):
    """What all patterns share whose guest does anything."""

    write_percent: WriteShare = 100
    rate_hz: Annotated[
        Whole, Field(ge=0, le=PS_PER_S, description="accesses a second and vCPU; 0: as fast as it goes")
    ] = 0
    shared: Annotated[Flag, Field(description="all vCPUs over all memory; else each its own part")] = False
    seed: Annotated[Whole, Field(ge=0, le=MOST_SEED, description="of all that is drawn")] = 1
    exit_rate_hz: Annotated[
        Whole, Field(ge=0, le=PS_PER_S, description="exits to userspace a second and vCPU; 0: none")
    ] = 0

    def shares(self) -> dict[str, Any]:
        """These fields, as a Pattern takes them."""
        return {
            "write_permille": parts_of_percent(self.write_percent, stream.ALWAYS),
            "rate_hz": self.rate_hz,
            "shared": self.shared,
            "seed": self.seed,
            "exit_rate_hz": self.exit_rate_hz,
        }

    @abstractmethod
    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""


class SequentialWorkload(Accessing):
    """Every page of the part once a pass, in order."""

    pattern: Literal["sequential"] = "sequential"

    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""
        return Sequential(**self.shares())


class StridedWorkload(Accessing):
    """One page in so many, in order."""

    pattern: Literal["strided"] = "strided"
    stride: Annotated[
        PagedSize, Field(ge=PAGE_BYTES, le=MOST * PAGE_BYTES, description="bytes from one access to the next")
    ] = PAGES_PER_2M * PAGE_BYTES

    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""
        return Strided(stride_pages=self.stride // PAGE_BYTES, **self.shares())


class ReadWriteMixWorkload(Accessing):
    """Every page of the part once a pass, in order, half of them written."""

    pattern: Literal["read_write_mix"] = "read_write_mix"
    write_percent: WriteShare = 50

    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""
        return ReadWriteMix(**self.shares())


class UniformRandomWorkload(Accessing):
    """Pages drawn with the same chance each."""

    pattern: Literal["uniform_random"] = "uniform_random"
    accesses: Accesses = 0

    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""
        return UniformRandom(per_pass=self.accesses, **self.shares())


class HotSetWorkload(Accessing):
    """Most accesses go to the first pages of the part, the rest to all others, each evenly."""

    pattern: Literal["hot_set"] = "hot_set"
    hot_percent: Annotated[Percent, Field(description="pages that are hot: the first of the part")] = 10
    hot_access_percent: Annotated[Tenths, Field(description="accesses that go to hot pages")] = 90
    accesses: Accesses = 0

    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""
        return HotSet(
            hot_ppm=parts_of_percent(self.hot_percent, MILLION),
            hot_access_permille=parts_of_percent(self.hot_access_percent, stream.ALWAYS),
            per_pass=self.accesses,
            **self.shares(),
        )


class ZipfWorkload(Accessing):
    """Pages drawn by Zipf's law: the first page of the part is the most popular."""

    pattern: Literal["zipf"] = "zipf"
    exponent: Annotated[Exponent, Field(description="how steeply popularity falls; 0: evenly")] = 0.99
    accesses: Accesses = 0

    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""
        return Zipf(exponent_hundredths=round(self.exponent * HUNDREDTHS), per_pass=self.accesses, **self.shares())


class IdleWorkload(Choices):
    """A halted guest."""

    pattern: Literal["idle"] = "idle"

    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""
        return Idle()
