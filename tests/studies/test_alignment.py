"""Memslots that KVM maps by smaller pages than those of their backing, because of their addresses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.core.pages import PAGE_BYTES, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K
from mmuviz.engine.choices.memory import MemslotChoices
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.exports.summary import summary_of
from mmuviz.studies.alignment import NO_REMARK, mapped_level, remark_of, remark_on
from tests.recording.made_recordings import made_recording

MIB = 1 << 20


def guest(*memory: dict[str, Any], vendor: str = "amd") -> Scenario:
    return Scenario.model_validate(
        {
            "vm": {"vendor": vendor},
            "memory": list(memory),
            "workload": {"pattern": "sequential"},
            "driver": {"kind": "without_logging", "iterations": 1},
        }
    )


@pytest.mark.parametrize(
    ("slot", "size"),
    [
        ({"base": "1 MiB", "size": "8 MiB"}, "4k"),
        ({"base": "1 MiB", "size": "8 MiB", "hva_offset": "1 MiB"}, "2m"),
        ({"base": "2 MiB", "size": "8 MiB"}, "2m"),
        ({"base": "2 MiB", "size": "2 GiB", "backing": "hugetlb_1g"}, "2m"),
        ({"base": "4 GiB", "size": "2 GiB", "backing": "hugetlb_1g"}, "1g"),
        ({"base": "1 MiB", "size": "8 MiB", "backing": "4k"}, "4k"),
    ],
)
def test_a_remark_is_made_where_a_run_maps_smaller_pages_than_the_backing_has(slot: dict[str, Any], size: str) -> None:
    """Recordings B_unal_*: not congruent modulo 2 MiB: all 4K; not congruent modulo 1 GiB only: all 2M."""
    scenario = guest(slot)
    leaves = run(scenario).totals["leaves"]
    assert next(each for each in ("1g", "2m", "4k") if leaves[each]) == size
    backed = {"4k": "4k", "hugetlb_1g": "1g"}.get(slot.get("backing", "thp"), "2m")
    assert (remark_of(scenario) == NO_REMARK) == (size == backed)


def test_it_says_the_reason_and_the_remedy_in_one_line() -> None:
    found = remark_of(guest({"base": "1 MiB", "size": "8 MiB"}))
    assert found.short == "memory[0] mapped by 4K: base and hva_offset differ modulo 2 MiB"
    for part in ("base=1 MiB", "backing is thp", "gfn and hva", "modulo 2 MiB", "kvm_alloc_memslot_metadata()"):
        assert part in found.text
    assert found.text.endswith("hva_offset=1 MiB makes them congruent.")
    assert "\n" not in found.text
    mended = guest({"base": "1 MiB", "size": "8 MiB", "hva_offset": "1 MiB"})
    assert remark_of(mended) == NO_REMARK
    arm = remark_of(guest({"base": "1 MiB", "size": "8 MiB"}, vendor="arm64"))
    assert "fault_supports_stage2_huge_mapping()" in arm.text


def test_it_names_the_first_memslot_and_counts_the_others() -> None:
    good, bad = {"base": "4 GiB", "size": "4 MiB"}, {"base": "5121 MiB", "size": "4 MiB"}
    worse = {"base": "8193 MiB", "size": "4 MiB"}
    assert remark_of(guest(good, bad)).short.startswith("memory[1] mapped")
    assert remark_of(guest(good, bad, worse)).short.startswith("memory[1] and 1 more mapped")


def test_a_memslot_too_small_for_a_huge_page_loses_none() -> None:
    assert remark_of(guest({"base": "1 MiB", "size": "2 MiB"})) == NO_REMARK


@given(st.integers(0, 1 << 20), st.integers(0, (1 << 18) - 1))
def test_the_level_is_that_of_the_bits_that_agree(base_gfn: int, offset: int) -> None:
    slot = MemslotChoices.model_validate(
        {
            "base": base_gfn * PAGE_BYTES,
            "size": "4 GiB",
            "backing": "hugetlb_1g",
            "hva_offset": offset * PAGE_BYTES,
        }
    )
    of_2m, of_1g = ((base_gfn - offset) % pages == 0 for pages in (512, 512 * 512))
    assert mapped_level(slot) == (PG_LEVEL_1G if of_1g else PG_LEVEL_2M if of_2m else PG_LEVEL_4K)


def test_a_summary_has_it_and_one_of_another_version_has_none() -> None:
    made = run(guest({"base": "1 MiB", "size": "8 MiB"}))
    assert remark_on(made) == remark_of(guest({"base": "1 MiB", "size": "8 MiB"}))
    assert remark_on(made).text in " ".join(summary_of(made).split())
    assert remark_on(made_recording()) == NO_REMARK
