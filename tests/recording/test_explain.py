"""Sentences: every event has one that can be filled in, and it says what KVM does and where."""

import re
from functools import cache
from pathlib import Path
from string import Formatter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.engine.replayed import record_file
from mmuviz.recording.columns import (
    CPU_DIRTY,
    DIRTY,
    FAST,
    FAULT,
    MMU_WRITABLE,
    PRESENT,
    SPLIT,
    SPTE,
    TABLE,
    UNTRACED,
    WRITABLE,
    Recording,
)
from mmuviz.recording.explain import Event, Say, explained, quiet, sentence_of
from mmuviz.studies.catalogue import CATALOGUE

FOLDER = Path(__file__).parent.parent / "recordings"
SHIPPED = sorted({name for entry in CATALOGUE if entry.recorded for name in (entry.left, entry.right)})
# What the catalogue lacks: the newest kernel, PML at its limits, a host that has no page yet, a slot that goes.
MORE = [
    "A_2m_legacy_lazy__6.1-intel-pml",
    "A_2m_legacy_eager__7.3-intel-pml",
    "A_2m_manual_initset_lazy__6.18-intel-pml",
    "B_2m_delslot_lazy__6.12",
    "B_2m_manual_initset_clearmasks_eager__6.1-intel-pml",
    "B_2m_ring256_full_lazy__6.12",
    "B_thp_dontneed_logging_eager__7.3",
    "D_2m_hostwrite_lazy__6.12",
    "D_thp_unpopulated_host_lazy__6.12",
    "P_2m_ring1024_full_eager__6.1-intel-pml",
]
NAMES = SHIPPED + [name for name in MORE if (FOLDER / f"{name}.json.gz").exists()]
PLACES = {"n", "page", "last", "gfn", "vcpu"}
FILLED = {"n": "1,234", "page": "7", "last": "1,240", "gfn": "0x40007", "vcpu": "3"}
ACCESSES = ("read", "write", "parallel_write")
LEAF = PRESENT | WRITABLE | MMU_WRITABLE | DIRTY
PROTECTED = LEAF & ~WRITABLE
READ_ONLY = PRESENT | DIRTY


@cache
def recorded(name: str) -> Recording:
    return record_file(FOLDER / f"{name}.json.gz")


@cache
def told(name: str) -> list[tuple[Say, str, dict[str, int], bool]]:
    """Each distinct sentence and row: the sentence, the op's kind, what the row holds, whether the slot is logged."""
    made = recorded(name)
    says, say = explained(made)
    op = np.repeat(np.arange(len(made.ops)), np.diff(made.op_columns.first_run))
    fields = ("kind", "level", "old", "new", "detail")
    rows = np.stack([say, op, *(getattr(made.runs, field).astype(np.int64) for field in fields)], axis=1)
    return [
        (says[which], made.ops[at].kind, dict(zip(fields, row, strict=True)), bool(made.op_columns.logging[at]))
        for which, at, *row in np.unique(rows, axis=0).tolist()
    ]


def places_of(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def check(say: Say, *, vcpu: bool) -> None:
    for text in (say.one, say.many):
        names = places_of(text)
        assert names <= PLACES
        assert "page" in names
        assert "vcpu" not in names or vcpu  # other events hold no vCPU
        filled = text.format(**FILLED)
        assert not re.search(r"[{}]|  |None|;[^ ]| [,.;:]|\.\.", filled), filled
        assert filled.endswith(".")
        assert filled[0].isupper() or filled[0].isdigit() or filled.startswith("vCPU")
    assert "{n}" in say.many
    assert not {"n", "last"} & places_of(say.one)
    assert re.search(r"[a-z]+_[a-z_]+\(\)|^the processor", say.function), say.function


@pytest.mark.parametrize("name", NAMES)
def test_every_event_of_a_recording_has_a_sentence_that_can_be_filled(name: str) -> None:
    made = recorded(name)
    says, say = explained(made)
    assert len(say) == len(made.runs.kind)
    assert set(say.tolist()) == set(range(len(says)))
    assert len(says) < 1 << 16  # it travels as u16
    for each, _, row, _ in told(name):
        check(each, vcpu=row["kind"] in (FAULT, FAST))
    ops = quiet(made)
    assert len(ops) == len(made.ops)
    for sentence, op in zip(ops, made.ops, strict=True):
        assert places_of(sentence) <= ({"page", "vcpu"} if op.kind in ACCESSES else set())
        assert sentence.endswith(".")


events = st.builds(
    Event,
    op=st.sampled_from(
        ["read", "write", "parallel_write", "enable", "disable", "get", "clear", "ring_reset", "dontneed"]
    ),
    kind=st.sampled_from([SPTE, SPLIT, FAULT, FAST, CPU_DIRTY, UNTRACED]),
    level=st.sampled_from([2, 3]),
    old=st.sampled_from([0, LEAF, PROTECTED, READ_ONLY, PRESENT, TABLE]),
    new=st.sampled_from([0, LEAF, PROTECTED, READ_ONLY, PRESENT, TABLE]),
    detail=st.integers(0, 1),
    logged=st.booleans(),
    recovers=st.booleans(),
    tdp_mmu=st.booleans(),
    pml=st.booleans(),
    vendor=st.sampled_from(["amd", "intel"]),
)


@given(events)
def test_any_event_at_all_has_a_sentence(event: Event) -> None:
    check(sentence_of(event), vcpu=event.kind in (FAULT, FAST))


def functions(name: str, **wanted: object) -> set[str]:
    """Functions of the rows that hold what is wanted; `op` is the op's kind."""
    found = set()
    for say, op, row, _ in told(name):
        if all((op if key == "op" else row[key]) == value for key, value in wanted.items()):
            found.add(say.function)
    assert found, wanted
    return found


@pytest.mark.parametrize("size", ["2m", "1g"])
def test_6_1_zaps_a_huge_page_in_the_fault_and_6_12_splits_it(size: str) -> None:
    level = 2 if size == "2m" else 3
    old, new = f"A_{size}_legacy_lazy__6.1", f"A_{size}_legacy_lazy__6.12"
    zapped = [
        say for say, op, row, _ in told(old) if op == "write" and row["level"] == level and row["old"] & PRESENT
        and not row["new"] and row["kind"] == SPTE
    ]  # fmt: skip
    assert zapped
    for say in zapped:
        assert "zapped and flushed" in say.one  # of the whole range, before the entry may be used again
        assert "kvm_tdp_mmu_map()" in say.function
    assert not [row for _, _, row, _ in told(old) if row["kind"] == SPLIT]
    assert functions(new, op="write", kind=SPLIT, level=level) == {
        "tdp_mmu_split_huge_page() in kvm_tdp_mmu_map(), tracepoint kvm_mmu_split_huge_page"
    }
    assert functions(new, op="write", kind=SPTE, level=level, new=TABLE, old=PROTECTED) == {
        "tdp_mmu_split_huge_page() in kvm_tdp_mmu_map()"
    }
    changed = [row for _, op, row, _ in told(new) if op == "write" and row["kind"] == SPTE and row["old"] & PRESENT]
    assert changed
    assert all(row["new"] for row in changed)  # nothing is zapped


@pytest.mark.parametrize("name", [name for name in NAMES if "_eager" in name and "S_" not in name])
def test_eager_splits_name_their_caller_and_flush_nothing(name: str) -> None:
    caller = {"enable": "kvm_mmu_slot_try_split_huge_pages()", "clear": "kvm_mmu_try_split_huge_pages()"}
    for say, op, row, _ in told(name):
        if row["kind"] == SPLIT:
            assert say.function.startswith(f"tdp_mmu_split_huge_page() in {caller.get(op, 'kvm_tdp_mmu_map()')}")
            assert "No TLB flush" in say.one


def test_disable_zaps_up_to_6_12_and_recovers_in_place_from_6_13() -> None:
    old, new = "B_thp_toggle_x3_eager__6.12", "B_thp_toggle_x3_eager__6.18"
    assert functions(old, op="disable", kind=SPTE, level=2) == {"kvm_mmu_zap_collapsible_sptes()"}
    assert functions(new, op="disable", kind=SPTE, level=2, old=TABLE) == {"kvm_mmu_recover_huge_pages()"}
    for name in (old, new):
        for say, op, row, _ in told(name):
            if op == "disable" and row["level"] == 1:
                assert ("the next access" in say.one) == (name == old)
            if op == "disable" and name == new:
                assert "collapsible" not in say.function  # 6.13 removed it
    assert any("recovered in place" in say.one for say, op, _, _ in told(new) if op == "disable")


@pytest.mark.parametrize("name", NAMES)
def test_pml_is_told_of_only_where_the_processor_logs(name: str) -> None:
    made = recorded(name)
    spoken = False
    for say, _, row, logged in told(name):
        if "PML" in say.one + say.many + say.function:
            spoken = True
            assert made.config.pml
            assert logged
            # A dirty bit was set, or was cleared of an entry that the processor may write to.
            assert row["kind"] == CPU_DIRTY or (row["new"] & WRITABLE and row["level"] == 1)
    if "legacy_eager" in name and made.config.pml:
        assert spoken


@pytest.mark.parametrize("name", NAMES)
def test_pages_are_marked_dirty_only_while_the_slot_is_logged(name: str) -> None:
    for say, op, row, logged in told(name):
        marks = re.search(r"marks .*dirty", say.one)
        assert bool(re.search(r"marks .*dirty", say.many)) == bool(marks)
        if not logged:
            assert not marks
        elif row["kind"] == FAST and row["detail"] == 0:
            assert marks  # fast_pf_fix_direct_spte()
        elif row["kind"] == SPTE and op in ACCESSES and row["new"] & WRITABLE and not row["old"] & WRITABLE:
            assert marks  # make_spte()
        elif row["kind"] not in (SPTE, FAST):
            assert not marks


@pytest.mark.parametrize("name", NAMES)
def test_protected_entries_say_which_path_the_next_write_takes(name: str) -> None:
    for say, op, row, _ in told(name):
        if row["kind"] != SPTE or not row["old"] & WRITABLE or row["new"] & WRITABLE or not row["new"] & PRESENT:
            continue
        fast = row["new"] & MMU_WRITABLE and row["level"] == 1  # a huge page is never fixed without mmu_lock
        for text in (say.one, say.many):
            assert ("fast path" in text) == bool(fast)
            assert ("slow path" in text) != bool(fast)
            assert ("no longer MMU-writable" in text) == (not row["new"] & MMU_WRITABLE)
        if op == "enable":
            assert say.function == "wrprot_gfn_range()"
        elif row["level"] > 1:
            assert "kvm_tdp_mmu_write_protect_gfn()" in say.function
        else:
            assert "kvm_arch_mmu_enable_log_dirty_pt_masked()" in say.function


def test_the_slow_path_takes_mmu_lock_for_read_but_for_the_shadow_mmu() -> None:
    for name, lock in (("A_2m_legacy_lazy__6.12", "read"), ("S_shadow_2m_manual_initset_lazy__6.12", "write")):
        declined = {say.one for say, _, row, _ in told(name) if row["kind"] == FAST and row["detail"] == 1}
        assert declined
        assert all(f"mmu_lock for {lock}" in one for one in declined)


def test_faults_leave_the_guest_through_the_vendor_s_handler() -> None:
    assert all("npf_interception()" in each for each in functions("A_2m_legacy_lazy__6.12", kind=FAULT))
    assert all(
        "handle_ept_violation()" in each for each in functions("A_2m_legacy_eager__6.12-intel-nopml", kind=FAULT)
    )


def test_a_read_that_maps_a_page_marks_it_dirty_and_the_sentence_says_so() -> None:
    rows = [row for row in told("A_2m_legacy_lazy__6.1") if row[1] == "read" and row[2]["new"] & WRITABLE and row[3]]
    assert rows
    assert all("a read, but KVM marks it dirty" in say.one for say, *_ in rows)


def test_what_the_host_takes_is_no_zap_of_the_fault_path() -> None:
    # The zero page stood there read-only; the host's own fault replaces it through the MMU notifier.
    rows = [row for row in told("D_thp_unpopulated_host_lazy__6.12") if row[1] == "write" and row[2]["old"] & PRESENT]
    zapped = [say for say, _, row, _ in rows if row["kind"] == SPTE and not row["new"]]
    assert zapped
    assert all("notifier" in say.function and "kvm_tdp_mmu_map" not in say.function for say in zapped)


def test_quiet_ops_say_what_did_not_happen() -> None:
    def of(name: str, kind: str) -> list[str]:
        made = recorded(name)
        return [text for text, op in zip(quiet(made), made.ops, strict=True) if op.kind == kind]

    assert all("leaves all work to CLEAR" in text for text in of("A_2m_manual_initset_lazy__6.12", "enable"))
    # A ring has no CLEAR: KVM_CLEAR_DIRTY_LOG fails with ENXIO.
    assert all("which a ring does not have" in text for text in of("B_2m_ring_initset_lazy__6.12", "enable"))
    assert all("until CLEAR" in text for text in of("A_2m_manual_lazy__6.12", "get"))
    assert not any("CLEAR" in text for text in of("A_2m_legacy_lazy__6.12", "get"))
    made = recorded("A_2m_legacy_lazy__6.12")
    pages = [int(made.ranges_of_op(index).pages.sum()) for index, op in enumerate(made.ops) if op.kind == "get"]
    for text, count in zip(of("A_2m_legacy_lazy__6.12", "get"), pages, strict=True):
        assert f"{count:,} dirty page" in text
        assert ("1 dirty page," in text or "1 dirty page " in text) == (count == 1)
