"""The VM: kernel, MMU and dirty logging."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator

from mmuviz.core.errors import InputError, KvmError, MmuvizError, short_repr
from mmuviz.core.pages import PG_LEVEL_2M, PG_LEVEL_4K
from mmuviz.engine.choices.base import Choices
from mmuviz.engine.choices.errors import ContradictionError
from mmuviz.engine.choices.units import Flag, Size, Whole, rule_broken, size_text
from mmuviz.mmu.config import (
    MAX_RING_ENTRIES,
    MAX_VCPUS,
    MIN_MMU_PAGES,
    SPLIT_CHUNKS,
    DirtyLogMode,
    Mmu,
    Tracking,
    VmConfig,
    check_ring,
)
from mmuviz.mmu.features import (
    FIRST_ARM64_EAGER,
    FIRST_EAGER,
    FIRST_NESTED_EAGER,
    KernelFeatures,
    kernel_row,
)

Vendor = Literal["intel", "amd", "arm64"]
MmuWord = Literal["tdp", "direct_shadow", "shadow_paging", "nested", "stage2"]
MMUS: Final[dict[str, Mmu]] = {
    "tdp": Mmu.TDP,
    "direct_shadow": Mmu.DIRECT_SHADOW,
    "shadow_paging": Mmu.SHADOW_PAGING,
    "nested": Mmu.NESTED,
    "stage2": Mmu.STAGE2,
}
LEVELS: Final = {"4k": PG_LEVEL_4K, "2m": PG_LEVEL_2M}
WITH_PML: Final = ("tdp", "direct_shadow")
DEFAULT_KERNEL: Final = "6.12"
DEFAULT_RING_ENTRIES: Final = 4096
MOST_ROUNDS: Final = 1000


def _default_mmu(given: dict[str, Any]) -> MmuWord:
    return "stage2" if given["vendor"] == "arm64" else "tdp"


def _default_pml(given: dict[str, Any]) -> bool:
    return given["vendor"] == "intel" and given["mmu"] in WITH_PML


def _default_eager(given: dict[str, Any]) -> bool:
    return given["mmu"] != "stage2" and kernel_row(given["kernel"]).eager_page_split


def _default_entries(given: dict[str, Any]) -> int | None:
    return DEFAULT_RING_ENTRIES if given["dirty_log_mode"].ring else None


class VmChoices(Choices):
    """Choices at the VM's creation, and the kernel that creates it."""

    kernel: Annotated[
        str,
        Field(
            strict=True,
            max_length=64,
            description="the host's kernel: a release, or a patch series that was never merged",
            json_schema_extra={
                "values": '"5.15" and later, rfc-2021, shadow-eager-v1, shadow-eager-v3, nested-eager-v4'
            },
        ),
    ] = DEFAULT_KERNEL
    vendor: Annotated[
        Vendor, Field(description="processor vendor", json_schema_extra={"depends": "arm64 with mmu stage2"})
    ] = "intel"
    mmu: Annotated[
        MmuWord,
        Field(
            description="which page tables map the guest",
            json_schema_extra={"default": "tdp; stage2 on arm64", "depends": "stage2 on arm64 only"},
        ),
    ] = Field(default_factory=_default_mmu)
    pml: Annotated[
        Flag,
        Field(
            description="page-modification logging",
            json_schema_extra={
                "default": "true on intel with tdp or direct_shadow, else false",
                "depends": "intel with tdp or direct_shadow",
            },
        ),
    ] = Field(default_factory=_default_pml)
    dirty_log_mode: Annotated[DirtyLogMode, Field(description="how userspace learns of dirty pages")] = (
        DirtyLogMode.MANUAL_INITIALLY_SET
    )
    eager_page_split: Annotated[
        Flag,
        Field(
            description="the module parameter: split huge pages when logging is enabled, or in CLEAR",
            json_schema_extra={"default": "the kernel's: true from 5.18", "depends": "a kernel that has it, no arm64"},
        ),
    ] = Field(default_factory=_default_eager)
    vcpus: Annotated[
        Whole,
        Field(
            ge=1,
            le=MAX_VCPUS,
            description="vCPUs",
            json_schema_extra={"depends": "at most the hardware threads of host.profile"},
        ),
    ] = 1
    ring_entries: Annotated[
        Whole | None,
        Field(
            description="entries of each vCPU's dirty ring, a power of two",
            json_schema_extra={
                "values": f"256 to {MAX_RING_ENTRIES}; with pml 1024 or more",
                "default": f"{DEFAULT_RING_ENTRIES} in ring modes",
                "depends": "ring modes",
            },
        ),
    ] = Field(default_factory=_default_entries)
    split_chunk: Annotated[
        Size,
        Field(
            description="arm64's KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE; 0 splits lazily",
            json_schema_extra={
                "values": ", ".join(["0", *(size_text(size) for size in SPLIT_CHUNKS)]),
                "depends": "mmu stage2, kernel 6.5 or later",
            },
        ),
    ] = 0
    tracking: Annotated[
        Literal["4k", "2m"],
        Field(
            description="size of the pages that logging tracks; 2m was never merged",
            json_schema_extra={"depends": "2m: mmu tdp, no ring"},
        ),
    ] = "4k"
    rounds_to_4k: Annotated[
        Whole | None,
        Field(
            ge=1,
            le=MOST_ROUNDS,
            description="dirty rounds after which a 2M region is tracked at 4K",
            json_schema_extra={"default": "never", "depends": "tracking 2m"},
        ),
    ] = None
    nr_mmu_pages: Annotated[
        Whole | None,
        Field(
            ge=MIN_MMU_PAGES,
            description="KVM_SET_NR_MMU_PAGES, the most shadow pages",
            json_schema_extra={
                "default": "2 % of the memslots' pages",
                "depends": "mmu nested from 6.0; shadow MMUs on kernel shadow-eager-v1 and -v3",
            },
        ),
    ] = None

    @field_validator("kernel", mode="after")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            kernel_row(value)
        except InputError as error:
            raise rule_broken(str(error).removeprefix(f"kernel={value!r:.60} ")) from error
        return value

    @classmethod
    def _prepared(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Set the vendor from arm64's MMU, and refuse a kernel without quotes, which is a number."""
        kernel = data.get("kernel")
        if type(kernel) in (int, float):
            raise ContradictionError(f'kernel={short_repr(kernel)} must be text in quotes, e.g. kernel = "{kernel}"')
        if data.get("mmu") == "stage2" and "vendor" not in data:
            data = {**data, "vendor": "arm64"}
        # Complete documents have null for absent values; it is dropped, as TOML omits them.
        return {name: value for name, value in data.items() if value is not None}

    def _check(self) -> None:
        """Refuse contradictory fields by their names in scenario files, then everything else that KVM would refuse."""
        kernel = kernel_row(self.kernel)
        self._check_mmu()
        self._check_eager(kernel)
        self._check_ring()
        self._check_tracking()
        self._check_mmu_pages(kernel)
        try:
            self.config()
        except MmuvizError as error:  # pragma: no cover  # refusals of later versions of the machine
            raise ContradictionError(f"mmu={self.mmu} on kernel {self.kernel} is refused: {error}") from error

    def _check_mmu(self) -> None:
        if (self.vendor == "arm64") != (self.mmu == "stage2"):
            right = "stage2" if self.vendor == "arm64" else "tdp"
            raise ContradictionError(
                f"mmu={self.mmu} does not exist on vendor={self.vendor}: stage2 is arm64's; choose mmu={right}, or "
                f"vendor={'arm64' if self.mmu == 'stage2' else 'intel'}"
            )
        if self.pml and not (self.vendor == "intel" and self.mmu in WITH_PML):
            raise ContradictionError(
                f"pml=true is not there with vendor={self.vendor} and mmu={self.mmu}: PML is Intel's, with tdp or "
                "direct_shadow; leave it out, or choose pml=false"
            )

    def _check_eager(self, kernel: KernelFeatures) -> None:
        if self.eager_page_split and self.mmu == "stage2":
            raise ContradictionError('eager_page_split=true does not exist on arm64; give split_chunk, e.g. "2 MiB"')
        if self.eager_page_split and not kernel.eager_page_split:
            raise ContradictionError(
                f"eager_page_split=true on kernel {kernel.name}: the parameter first exists in {FIRST_EAGER.name}; "
                f"choose {FIRST_EAGER.name} or later, or false"
            )
        if not self.split_chunk:
            return
        if self.mmu != "stage2":
            raise ContradictionError(
                f"split_chunk={size_text(self.split_chunk)} belongs to arm64 (mmu=stage2), not mmu={self.mmu}; use "
                "eager_page_split there"
            )
        if not kernel.arm64_eager_page_split:
            raise ContradictionError(
                f"split_chunk={size_text(self.split_chunk)} on kernel {kernel.name}: the capability first exists in "
                f"{FIRST_ARM64_EAGER.name}; choose {FIRST_ARM64_EAGER.name} or later, or 0"
            )
        if self.split_chunk not in SPLIT_CHUNKS:
            sizes = ", ".join(size_text(size) for size in SPLIT_CHUNKS)
            raise ContradictionError(
                f"split_chunk={size_text(self.split_chunk)} must be 0 or a block size: {sizes} (EINVAL)"
            )

    def _check_ring(self) -> None:
        if not self.dirty_log_mode.ring:
            if self.ring_entries is not None:
                raise ContradictionError(
                    f"ring_entries={short_repr(self.ring_entries)} belongs to ring modes, not "
                    f"dirty_log_mode={self.dirty_log_mode}; leave it out, or choose ring"
                )
            return
        if self.ring_entries is None:
            raise ContradictionError("ring_entries is missing; a ring needs a power of two, e.g. 4096")
        try:
            check_ring(self.ring_entries, pml=self.pml)
        except KvmError as error:
            name, _, rule = str(error).partition(": ")
            raise ContradictionError(f"{rule} ({name})") from error

    def _check_tracking(self) -> None:
        if self.rounds_to_4k is not None and self.tracking != "2m":
            raise ContradictionError(
                f"rounds_to_4k={self.rounds_to_4k} belongs to tracking 2m; leave it out, or choose tracking=2m"
            )
        if self.tracking == "2m" and (self.mmu != "tdp" or self.dirty_log_mode.ring):
            raise ContradictionError(
                f"tracking=2m is modelled for mmu=tdp and bitmaps, not mmu={self.mmu} with "
                f"dirty_log_mode={self.dirty_log_mode}; choose 4k"
            )

    def _check_mmu_pages(self, kernel: KernelFeatures) -> None:
        nested = self.mmu == "nested" and kernel.nested_eager_page_split
        shadow = self.mmu in ("direct_shadow", "shadow_paging") and kernel.eager_without_tdp_mmu
        if self.nr_mmu_pages is not None and not (nested or shadow):
            raise ContradictionError(
                f"nr_mmu_pages={self.nr_mmu_pages} changes nothing with mmu={self.mmu} on kernel {kernel.name}: "
                "it stops eager splits of the shadow MMU, which exist with mmu=nested from "
                f"{FIRST_NESTED_EAGER.name}; leave it out"
            )

    @property
    def splits_eagerly(self) -> bool:
        """Whether huge pages are split before the guest writes: the parameter, or arm64's chunk."""
        return self.eager_page_split or self.split_chunk != 0

    def config(self) -> VmConfig:
        """The VM's configuration in the machine's type."""
        return VmConfig(
            kernel=kernel_row(self.kernel),
            dirty_log_mode=self.dirty_log_mode,
            eager_page_split=None if self.mmu == "stage2" else self.eager_page_split,
            mmu=MMUS[self.mmu],
            vcpus=self.vcpus,
            ring_entries=self.ring_entries,
            pml=self.pml,
            split_chunk_bytes=self.split_chunk,
            tracking=Tracking(LEVELS[self.tracking], self.rounds_to_4k),
            nr_mmu_pages=self.nr_mmu_pages,
        )
