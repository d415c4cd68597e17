"""Kernel versions as data: a field per behaviour, a preset per release, and the commit of each change.

Each release is a row of CHANGES. mmu/conf.py passes each behaviour to compiled code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from mmuviz.core.errors import InputError

Release = tuple[int, int]


@dataclass(frozen=True)
class KernelFeatures:
    """Behaviour of one kernel release; the presets' values were read from source or from commits.

    Attributes:
        release: first two numbers of the version.
        eager_page_split: the module parameter exists; eager split at enable and in CLEAR.
        page_fault_stats: KVM counts pf_taken, pf_fast and pf_spurious itself. The model counts them
            for every kernel.
        fast_fixes_huge_pages: fast_page_fault() fixes a huge page of a slot that is not logged.
        prefetch_finishes_run: the shadow MMU's prefetch maps the last run of the 8 entries too.
        zaps_leaves_only: an MMU notifier zaps leaves only; before, it removes whole tables too.
        dontneed_takes_hugetlb: MADV_DONTNEED works on hugetlb memory.
        dontneed_rounds_hugetlb_down: its end is rounded down to a whole huge page; before 6.1, up.
        disable_zaps_tables: disabling zaps the table of a collapsible region, not its leaves one by one.
        nested_eager_page_split: eager split for the shadow MMU of a nested guest.
        fault_splits_in_place: a write fault splits a huge page; before, it zaps the whole huge page.
        clear_dirty_is_one_and: arming an SPTE is one locked AND (cost only).
        arm64_dirty_ring: arm64 has the dirty ring.
        arm64_eager_page_split: KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE exists.
        arm64_permission_faults_in_parallel: arm64 holds mmu_lock for read in a write fault that makes a 4K page
            of a logged slot writable again (lock only).
        arm64_faults_in_parallel: arm64 holds mmu_lock for read in every fault (lock only).
        clear_split_end_exclusive: the eager split inside CLEAR leaves out the mask's last page.
        split_drops_mmu_lock: eager split always drops mmu_lock to allocate (lock and cost only).
        recovers_huge_pages_in_place: disabling replaces tables by huge pages in place.
        pml_oldest_first: a flush of the PML buffer reports pages in the order of the writes.
        huge_zero_write_allocates: the host answers a write to the huge zero page with a huge page.
        dontneed_frees_page_tables: MADV_DONTNEED of a whole region frees the host's empty table.
        series: name of a patch series that was never merged in this form; empty for a release.
        source: where the series was posted.
        eager_without_tdp_mmu: eager split for the shadow MMU that maps L1 too (tdp_mmu=N, ept=N).
        split_caches_last_a_call: the VM-wide split caches are filled by the first split of each
            call (of each word in CLEAR) and freed at its end; else they are kept.
        tdp_split_caches: eager split in the TDP MMU takes its tables from VM-wide caches in kvm_arch.
    """

    release: Release
    eager_page_split: bool
    page_fault_stats: bool
    fast_fixes_huge_pages: bool
    prefetch_finishes_run: bool
    zaps_leaves_only: bool
    dontneed_takes_hugetlb: bool
    dontneed_rounds_hugetlb_down: bool
    disable_zaps_tables: bool
    nested_eager_page_split: bool
    fault_splits_in_place: bool
    clear_dirty_is_one_and: bool
    arm64_dirty_ring: bool
    arm64_eager_page_split: bool
    arm64_permission_faults_in_parallel: bool
    arm64_faults_in_parallel: bool
    clear_split_end_exclusive: bool
    split_drops_mmu_lock: bool
    recovers_huge_pages_in_place: bool
    pml_oldest_first: bool
    huge_zero_write_allocates: bool
    dontneed_frees_page_tables: bool
    series: str = ""
    source: str = ""
    eager_without_tdp_mmu: bool = False
    split_caches_last_a_call: bool = False
    tdp_split_caches: bool = False

    @property
    def name(self) -> str:
        """The release as people write it, e.g. 6.12, or the name of the series."""
        return self.series or f"{self.release[0]}.{self.release[1]}"

    @property
    def label(self) -> str:
        """The name for tables and pages; for a series with the remark that it was never merged."""
        return f"{self.series} (never merged)" if self.series else self.name


@dataclass(frozen=True)
class Change:
    """One behaviour that a release changed: field, new value, the mainline release and the commit."""

    field: str
    value: bool
    mainline: str
    commit: str


CHANGES: Final[dict[Release, tuple[Change, ...]]] = {
    (5, 16): (Change("prefetch_finishes_run", value=True, mainline="5.16", commit="c6cecc4b9324"),),
    (5, 17): (Change("fast_fixes_huge_pages", value=True, mainline="5.17", commit="10c30de01921"),),
    (5, 18): (
        Change("eager_page_split", value=True, mainline="5.18", commit="a3fe5dbda0a4, cb00a70bd4b7"),
        Change("zaps_leaves_only", value=True, mainline="5.18", commit="f47e5bbbc92f"),
        Change("dontneed_takes_hugetlb", value=True, mainline="5.18", commit="90e7e7f5ef3f"),
        Change("arm64_permission_faults_in_parallel", value=True, mainline="5.18", commit="f783ef1c0e82"),
    ),
    (5, 19): (
        Change("page_fault_stats", value=True, mainline="5.19", commit="1075d41efd59"),
        Change("disable_zaps_tables", value=True, mainline="5.19", commit="5ba7c4c6d1c7"),
    ),
    (6, 0): (Change("nested_eager_page_split", value=True, mainline="6.0", commit="ada51a9de737"),),
    (6, 1): (Change("dontneed_rounds_hugetlb_down", value=True, mainline="6.1", commit="8ebe0a5eaaeb"),),
    (6, 2): (
        Change("fault_splits_in_place", value=True, mainline="6.2", commit="c4b33d28ea51"),
        Change("arm64_dirty_ring", value=True, mainline="6.2", commit="9cb1096f8590"),
        Change("arm64_faults_in_parallel", value=True, mainline="6.2", commit="1577cb5823ce"),
    ),
    (6, 4): (
        Change(
            "clear_dirty_is_one_and",
            value=True,
            mainline="6.4",
            commit="89c313f20c1e",
        ),
    ),
    (6, 5): (
        Change(
            "arm64_eager_page_split",
            value=True,
            mainline="6.5",
            commit="2f440b72e852",
        ),
    ),
    (6, 8): (Change("clear_split_end_exclusive", value=False, mainline="6.8", commit="7cd1bf039eeb"),),
    (6, 11): (Change("split_drops_mmu_lock", value=True, mainline="6.11", commit="cf3ff0ee24d6"),),
    (6, 12): (),
    (6, 13): (
        Change("recovers_huge_pages_in_place", value=True, mainline="6.13", commit="13237fb40c74"),
        Change("huge_zero_write_allocates", value=True, mainline="6.13", commit="1ced09e0331f"),
    ),
    (6, 14): (
        Change("pml_oldest_first", value=True, mainline="6.14", commit="37c3ddfe5238"),
        Change("dontneed_frees_page_tables", value=True, mainline="6.14", commit="6375e95f381e"),
    ),
    (6, 18): (),
    (7, 3): (),
}
"""Changes of each preset against the one before it, oldest first; a row is empty if the model covers none."""

OLDEST: Final = KernelFeatures(
    release=(5, 15),
    eager_page_split=False,
    page_fault_stats=False,
    fast_fixes_huge_pages=False,
    prefetch_finishes_run=False,
    zaps_leaves_only=False,
    dontneed_takes_hugetlb=False,
    dontneed_rounds_hugetlb_down=False,
    disable_zaps_tables=False,
    nested_eager_page_split=False,
    fault_splits_in_place=False,
    clear_dirty_is_one_and=False,
    arm64_dirty_ring=False,
    arm64_eager_page_split=False,
    arm64_permission_faults_in_parallel=False,
    arm64_faults_in_parallel=False,
    clear_split_end_exclusive=True,
    split_drops_mmu_lock=False,
    recovers_huge_pages_in_place=False,
    pml_oldest_first=False,
    huge_zero_write_allocates=False,
    dontneed_frees_page_tables=False,
)


def _presets() -> dict[Release, KernelFeatures]:
    rows = {OLDEST.release: OLDEST}
    features = OLDEST
    for release, changes in CHANGES.items():
        values: dict[str, Any] = {change.field: change.value for change in changes}
        features = replace(features, release=release, **values)
        rows[release] = features
    return rows


PRESETS: Final = _presets()
FIRST_EAGER: Final = next(features for features in PRESETS.values() if features.eager_page_split)
FIRST_ARM64_EAGER: Final = next(features for features in PRESETS.values() if features.arm64_eager_page_split)
FIRST_ARM64_RING: Final = next(features for features in PRESETS.values() if features.arm64_dirty_ring)
FIRST_NESTED_EAGER: Final = next(features for features in PRESETS.values() if features.nested_eager_page_split)


def _series() -> dict[str, KernelFeatures]:
    """Return rows of patch series with published measurements; the release is the one each was based on (inferred)."""
    lore = "https://lore.kernel.org/kvm/"
    shadow = replace(PRESETS[5, 18], nested_eager_page_split=True, eager_without_tdp_mmu=True)
    rows = (
        replace(
            PRESETS[5, 16],
            series="rfc-2021",
            source=lore + "c9bd3bca-f901-d8db-c23d-5292ab7bd247@redhat.com/",
            eager_page_split=True,
            tdp_split_caches=True,
        ),
        replace(
            shadow,
            series="shadow-eager-v1",
            source=lore + "20220203010051.2813563-1-dmatlack@google.com/",
            split_caches_last_a_call=True,
        ),
        replace(shadow, series="shadow-eager-v3", source=lore + "20220401175554.1931568-1-dmatlack@google.com/"),
        replace(
            PRESETS[5, 18],
            series="nested-eager-v4",
            source=lore + "20220422210546.458943-1-dmatlack@google.com/",
            nested_eager_page_split=True,
        ),
    )
    return {row.series: row for row in rows}


SERIES: Final = _series()
"""Patch series that were never merged in this form, by name, oldest first."""


def kernel_row(name: str) -> KernelFeatures:
    """The row of a release, or of a series that was never merged.

    Args:
        name: a series of SERIES, else a kernel version as features_of() takes it.

    Returns:
        The row.

    Raises:
        InputError: `name` is neither.
    """
    if name in SERIES:
        return SERIES[name]
    try:
        return features_of(name)
    except InputError as error:
        raise InputError(f"{error}; or name a series: {', '.join(SERIES)}") from error


def parse_release(version: str) -> Release:
    """The first two numbers of a kernel version.

    Args:
        version: e.g. "6.12", "6.1.0-56-amd64" (`uname -r`).

    Returns:
        Major and minor.

    Raises:
        InputError: no such numbers.
    """
    found = re.match(r"([0-9]{1,4})\.([0-9]{1,4})(?![0-9])", version)
    if found is None:
        raise InputError(f"kernel={version!r:.60} must begin with two numbers, e.g. 6.12 or 6.1.0-56-amd64")
    return int(found[1]), int(found[2])


def features_of(version: str) -> KernelFeatures:
    """The row that a kernel version uses: the highest one not above it.

    Args:
        version: e.g. "6.12", "6.1.0-56-amd64" (`uname -r`).

    Returns:
        The preset.

    Raises:
        InputError: unparsable, or older than the oldest preset.
    """
    release = parse_release(version)
    below = [each for each in PRESETS if each <= release]
    if not below:
        raise InputError(f"kernel={version!r:.60} must be {OLDEST.name} or later: older kernels are not modelled")
    return PRESETS[max(below)]
