"""Kernel versions: which release does what, by the commits; releases between use the one below."""

from __future__ import annotations

from dataclasses import fields

import pytest

from mmuviz.core.errors import InputError
from mmuviz.mmu.features import CHANGES, PRESETS, KernelFeatures, features_of

# First release with the new behaviour, from the commits' tags and the kernel's history:
#   a3fe5dbda0a4 (5.18), c4b33d28ea51 (6.2), the CLEAR range fix (6.8), 13237fb40c74 (6.13).
# The last two were seen on recorded 6.12 and 6.18; presets hold them from the next preset on.
CHANGED_IN = {
    "eager_page_split": "5.18",
    "nested_eager_page_split": "6.0",
    "fault_splits_in_place": "6.2",
    "clear_dirty_is_one_and": "6.4",
    "arm64_eager_page_split": "6.5",
    "split_drops_mmu_lock": "6.11",
    "recovers_huge_pages_in_place": "6.13",
    "pml_oldest_first": "6.14",
    "dontneed_frees_page_tables": "6.14",
    "huge_zero_write_allocates": "6.13",
    "dontneed_takes_hugetlb": "5.18",
    "dontneed_rounds_hugetlb_down": "6.1",
    "zaps_leaves_only": "5.18",
    "disable_zaps_tables": "5.19",
    "page_fault_stats": "5.19",
    "fast_fixes_huge_pages": "5.17",
    "prefetch_finishes_run": "5.16",
}
PRESET_NAMES = [
    "5.15",
    "5.16",
    "5.17",
    "5.18",
    "5.19",
    "6.0",
    "6.1",
    "6.2",
    "6.4",
    "6.5",
    "6.8",
    "6.11",
    "6.12",
    "6.13",
]
PRESET_NAMES += ["6.14", "6.18", "7.3"]


def test_the_presets() -> None:
    assert [features.name for features in PRESETS.values()] == PRESET_NAMES


def test_a_change_is_there_in_the_release_that_it_names() -> None:
    for changes in CHANGES.values():
        for change in changes:
            assert getattr(features_of(change.mainline), change.field) is change.value


@pytest.mark.parametrize(("behaviour", "release"), CHANGED_IN.items())
def test_a_behaviour_begins_with_its_release(behaviour: str, release: str) -> None:
    at = PRESET_NAMES.index(release)
    for index, name in enumerate(PRESET_NAMES):
        assert getattr(features_of(name), behaviour) is (index >= at), name


def test_the_clear_off_by_one_ends_with_6_8() -> None:
    at = PRESET_NAMES.index("6.8")
    assert [features_of(name).clear_split_end_exclusive for name in PRESET_NAMES] == [
        index < at for index in range(len(PRESET_NAMES))
    ]


@pytest.mark.parametrize(
    ("version", "row"),
    [
        ("5.15", "5.15"),
        ("5.16.20", "5.16"),
        ("5.19.17", "5.19"),
        ("6.1.0-56-amd64", "6.1"),
        ("6.3.13", "6.2"),
        ("6.7.12-1.el9", "6.5"),
        ("6.12.95+deb13-amd64", "6.12"),
        ("6.17", "6.14"),
        ("7.0", "6.18"),
        ("7.3.4", "7.3"),
        ("8.0-rc1", "7.3"),
        ("6.100", "6.18"),
    ],
)
def test_a_release_between_uses_the_highest_below(version: str, row: str) -> None:
    assert features_of(version).name == row


@pytest.mark.parametrize("version", ["5.14", "5.14.21", "4.18.0-553.el8", "3.10", "0.0", "5.9"])
def test_older_kernels_are_refused(version: str) -> None:
    with pytest.raises(InputError, match=r"must be 5\.15 or later"):
        features_of(version)


@pytest.mark.parametrize(
    "version", ["abc", "", "6", "6.", ".1", "v6.1", " 6.1", "-6.1", "6,1", "6.99999", "\uff19.\uff11", "6.x"]
)
def test_an_unparsable_kernel_is_refused(version: str) -> None:
    with pytest.raises(InputError, match=r"must begin with two numbers, e\.g\. 6\.12"):
        features_of(version)


def test_every_change_has_a_commit_and_changes_something() -> None:
    names = {field.name for field in fields(KernelFeatures)}
    before = PRESETS[5, 15]
    for release, changes in CHANGES.items():
        for change in changes:
            assert change.field in names
            assert change.commit
            assert getattr(before, change.field) is not change.value
            major, minor = (int(part) for part in change.mainline.split("."))
            assert (major, minor) <= release
        before = PRESETS[release]
