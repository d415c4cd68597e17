"""Workloads of one pattern: its rate, its share of writes, its seed.

The union of all workloads is in phases.py, since a list of phases is one of them.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from mmuviz.core.errors import InputError, short_repr
from mmuviz.core.pages import PAGE_BYTES, PAGES_PER_2M
from mmuviz.engine.choices.base import Choices
from mmuviz.engine.choices.errors import ContradictionError
from mmuviz.engine.choices.units import Exponent, Flag, PagedSize, Percent, Tenths, Whole, parts_of_percent
from mmuviz.engine.trace_file import sha256_of
from mmuviz.workloads import stream
from mmuviz.workloads.copy import Copy
from mmuviz.workloads.hot_set import MILLION, HotSet
from mmuviz.workloads.idle import Idle
from mmuviz.workloads.kernel_noise import DEFAULT_PAGES, KernelNoise
from mmuviz.workloads.pattern import MOST, PS_PER_S, Pattern
from mmuviz.workloads.read_write_mix import ReadWriteMix
from mmuviz.workloads.sequential import Sequential
from mmuviz.workloads.strided import Strided
from mmuviz.workloads.uniform_random import UniformRandom
from mmuviz.workloads.zipf import HUNDREDTHS, Zipf

MOST_SEED: Final = (1 << 31) - 1
LONGEST_PATH: Final = 4000
WriteShare = Annotated[Tenths, Field(description="share of the accesses that write")]
Accesses = Annotated[Whole, Field(ge=0, le=MOST, description="accesses of a pass; 0: as many as the part has pages")]


class Paced(Choices):
    """Base of all patterns with a pace."""

    rate_hz: Annotated[
        Whole, Field(ge=0, le=PS_PER_S, description="accesses per second and vCPU; 0: as fast as possible")
    ] = 0
    shared: Annotated[Flag, Field(description="all vCPUs over all memory; else each its own part")] = False
    exit_rate_hz: Annotated[
        Whole, Field(ge=0, le=PS_PER_S, description="exits to userspace per second and vCPU; 0: none")
    ] = 0

    @abstractmethod
    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""


class Accessing(Paced):
    """Base of patterns that draw reads and writes by a share, from a seed."""

    write_percent: WriteShare = 100
    seed: Annotated[Whole, Field(ge=0, le=MOST_SEED, description="seed of all random draws")] = 1

    def shares(self) -> dict[str, Any]:
        """Return these fields as a Pattern's arguments."""
        return {
            "write_permille": parts_of_percent(self.write_percent, stream.ALWAYS),
            "rate_hz": self.rate_hz,
            "shared": self.shared,
            "seed": self.seed,
            "exit_rate_hz": self.exit_rate_hz,
        }


class SequentialWorkload(Accessing):
    """Every page of the part once a pass, in order."""

    resembles: ClassVar[str] = (
        "dirty_log_perf_test, whose vCPUs each write their own part in order "
        "(tools/testing/selftests/kvm/lib/memstress.c)"
    )
    pattern: Literal["sequential"] = "sequential"

    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""
        return Sequential(**self.shares())


class StridedWorkload(Accessing):
    """Every n-th page, in order of address."""

    resembles: ClassVar[str] = "the worst case of lazy splitting, where each write meets another huge page (assumption)"

    pattern: Literal["strided"] = "strided"
    stride: Annotated[
        PagedSize, Field(ge=PAGE_BYTES, le=MOST * PAGE_BYTES, description="bytes from one access to the next")
    ] = PAGES_PER_2M * PAGE_BYTES

    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""
        return Strided(stride_pages=self.stride // PAGE_BYTES, **self.shares())


class ReadWriteMixWorkload(Accessing):
    """Every page of the part once a pass, in order, half of them written."""

    resembles: ClassVar[str] = "dirty_log_perf_test -w, where a share of the accesses writes and the others read"

    pattern: Literal["read_write_mix"] = "read_write_mix"
    write_percent: WriteShare = 50

    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""
        return ReadWriteMix(**self.shares())


class UniformRandomWorkload(Accessing):
    """Pages drawn at random, each with the same probability."""

    resembles: ClassVar[str] = "dirty_log_perf_test -a, whose vCPUs access pages at random"

    pattern: Literal["uniform_random"] = "uniform_random"
    accesses: Accesses = 0

    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""
        return UniformRandom(per_pass=self.accesses, **self.shares())


class HotSetWorkload(Accessing):
    """Most accesses go to the first pages of the part, the rest to all others, each evenly."""

    resembles: ClassVar[str] = (
        "a guest that writes a small area of much memory: with hot_percent 1 and hot_access_percent 100 about 10 GiB "
        "of 1 TiB, named on the kvm list (Nov and Dec 2021) as where eager splitting does not pay"
    )

    pattern: Literal["hot_set"] = "hot_set"
    hot_percent: Annotated[Percent, Field(description="share of the part's pages that are hot: its first pages")] = 10
    hot_access_percent: Annotated[Tenths, Field(description="share of the accesses that go to hot pages")] = 90
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

    resembles: ClassVar[str] = (
        "a key-value store: YCSB draws keys that way, with 0.99 (Cooper et al., SoCC 2010); that neighbours in "
        "popularity are neighbours in memory is an assumption"
    )

    pattern: Literal["zipf"] = "zipf"
    exponent: Annotated[Exponent, Field(description="how steeply popularity falls; 0: evenly")] = 0.99
    accesses: Accesses = 0

    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""
        return Zipf(exponent_hundredths=round(self.exponent * HUNDREDTHS), per_pass=self.accesses, **self.shares())


class MemcpyWorkload(Paced):
    """A copy in order: reads a page of the part's lower half, then writes the corresponding page of the upper half."""

    resembles: ClassVar[str] = (
        "STREAM's Copy kernel, a read for each write (McCalpin, 1995); page by page is an assumption"
    )
    pattern: Literal["memcpy"] = "memcpy"

    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""
        return Copy(rate_hz=self.rate_hz, shared=self.shared, exit_rate_hz=self.exit_rate_hz)


class KernelNoiseWorkload(Choices):
    """An idle guest whose kernel handles timer ticks: each writes a few pages of a small area."""

    resembles: ClassVar[str] = (
        "an idle Linux: 250 ticks a second are the default of its configuration (CONFIG_HZ, kernel/Kconfig.hz); how "
        "many pages a tick writes, and of how many, is an assumption"
    )
    pattern: Literal["kernel_noise"] = "kernel_noise"
    tick_hz: Annotated[Whole, Field(ge=1, le=10_000, description="timer ticks per second and vCPU")] = 250
    pages_per_tick: Annotated[Whole, Field(ge=1, le=1000, description="pages that a tick writes")] = 4
    noise_size: Annotated[
        PagedSize, Field(ge=PAGE_BYTES, le=MOST * PAGE_BYTES, description="memory of each vCPU's part that ticks write")
    ] = DEFAULT_PAGES * PAGE_BYTES
    seed: Annotated[Whole, Field(ge=0, le=MOST_SEED, description="seed of all random draws")] = 1

    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""
        return KernelNoise(
            rate_hz=self.tick_hz * self.pages_per_tick, noise_pages=self.noise_size // PAGE_BYTES, seed=self.seed
        )


class TraceWorkload(Choices):
    """The accesses that a file lists: time, vCPU, page, read or write; a vCPU that is late makes up for it."""

    resembles: ClassVar[str] = (
        "the guest that was recorded; one that stalls makes up for it as fast as it can (assumption)"
    )
    pattern: Literal["trace"] = "trace"
    file: Annotated[
        str,
        Field(
            strict=True,
            min_length=1,
            max_length=LONGEST_PATH,
            description="CSV with the names time_ns,vcpu,gfn,access in its first line, or .parquet with these columns",
            json_schema_extra={"values": "a path", "default": "none: must be given"},
        ),
    ]
    sha256: Annotated[
        str,
        Field(
            strict=True,
            description="SHA-256 of the file: another file makes another scenario",
            json_schema_extra={"values": "64 hexadecimal digits", "default": "that of the file"},
        ),
    ] = ""

    @classmethod
    def _prepared(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Fill in the file's hash; refuse a file whose hash differs from the given one."""
        name, given = data.get("file"), data.get("sha256")
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_PATH:
            return data
        try:
            found = sha256_of(Path(name))
        except InputError as error:
            raise ContradictionError(f"file={error}") from error
        if given not in (None, "", found):
            raise ContradictionError(
                f"sha256={short_repr(given)} is not that of {short_repr(name)}, {found}; name the file that is meant, "
                "or leave sha256 out"
            )
        return {**data, "sha256": found}

    def pattern_of(self) -> Pattern:
        """Return an empty Pattern: the accesses follow no rule."""
        return Idle()


class IdleWorkload(Choices):
    """A halted guest."""

    resembles: ClassVar[str] = "a guest whose vCPUs are halted (HLT) and take no interrupt (assumption)"
    pattern: Literal["idle"] = "idle"

    def pattern_of(self) -> Pattern:
        """The same choices as a Pattern."""
        return Idle()
