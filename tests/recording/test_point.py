"""The sentence that says what a comparison shows: every number counted here from the events or from the document."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmuviz.engine.replayed import record_file
from mmuviz.mmu.recordings import read_document
from mmuviz.recording.columns import FAULT, PRESENT, SPLIT, SPTE, Recording, Slot
from mmuviz.recording.point import point
from tests.recording.samples import LEAF, recording

FOLDER = Path(__file__).parent.parent / "recordings"
SLOT = Slot(0, 1 << 18, "hugetlb_1g", 0, host_populated=True)
WRITES = ("read", "write", "parallel_write")


@cache
def recorded(name: str) -> Recording:
    return record_file(FOLDER / f"{name}.json.gz")


def taken(name: str) -> list[int]:
    """Faults of each op by KVM's own counter pf_taken, as recorded."""
    ops: list[dict[str, Any]] = read_document(FOLDER / f"{name}.json.gz")["ops"]
    counts = [op["after"]["counters"]["pf_taken"] for op in ops]
    return [after - before for before, after in zip([0, *counts], counts, strict=False)]


def logged(name: str) -> list[bool]:
    """Whether each op ran while the slot was logged, by the ops asked for."""
    on, found = False, []
    for op in read_document(FOLDER / f"{name}.json.gz")["ops"]:
        on = {"enable": True, "disable": False}.get(op["op"], on)
        found.append(on)
    return found


def faults_while_logged(name: str) -> int:
    return sum(count for count, on in zip(taken(name), logged(name), strict=True) if on)


def faults_after(name: str) -> int:
    flags = logged(name)
    return sum(count for index, count in enumerate(taken(name)) if not flags[index] and any(flags[:index]))


def in_faults(name: str, wanted: Callable[[int, int, int, int], bool]) -> int:
    """Entries of events in logged accesses, one event at a time."""
    made, total = recorded(name), 0
    for row in range(len(made.runs.kind)):
        op = int(np.searchsorted(made.op_columns.first_run, row, side="right")) - 1
        if made.ops[op].kind in WRITES and made.op_columns.logging[op]:
            event = [int(column[row]) for column in (made.runs.kind, made.runs.level, made.runs.old, made.runs.new)]
            total += int(made.runs.entries[row]) if wanted(*event) else 0
    return total


def splits(name: str) -> int:
    return in_faults(name, lambda kind, _level, _old, _new: kind == SPLIT)


def zaps(name: str) -> int:
    return in_faults(name, lambda kind, level, old, new: kind == SPTE and level > 1 and bool(old & PRESENT) and not new)


def said(left: str, right: str) -> str:
    return point(recorded(left), recorded(right))


def test_lazy_beside_eager_counts_faults_and_splits() -> None:
    left, right = "B_2m_64M_random1000_x5_lazy__6.12-intel-pml", "B_2m_64M_random1000_x5_eager__6.12-intel-pml"
    assert faults_while_logged(left) > 1000
    assert faults_while_logged(right) == 0  # with PML an eagerly split page is written without a fault
    assert said(left, right) == (
        f"While the log is on, vCPUs stop for {faults_while_logged(left):,} faults on the left and none on the right; "
        f"on the left they split {splits(left):,} huge pages, on the right they find them split."
    )
    assert splits(left) == 32  # 64 MiB of 2M pages, each written to


def test_the_same_number_of_faults_can_do_other_work() -> None:
    left, right = "A_2m_legacy_lazy__6.12", "A_2m_legacy_eager__6.12"
    assert faults_while_logged(left) == faults_while_logged(right)
    assert said(left, right) == (
        f"While the log is on, vCPUs stop for {faults_while_logged(left):,} faults on both sides; "
        f"on the left they split {splits(left)} huge pages, on the right they find them split."
    )


@pytest.mark.parametrize("size", ["2m", "1g"])
def test_6_1_beside_6_12_zaps_beside_splits(size: str) -> None:
    left, right = f"A_{size}_legacy_lazy__6.1", f"A_{size}_legacy_lazy__6.12"
    assert zaps(left)
    assert not splits(left)
    assert not zaps(right)
    huge = {1: "1 huge page"}
    zapped = huge.get(zaps(left), f"{zaps(left):,} huge pages")
    split = huge.get(splits(right), f"{splits(right):,} huge pages")
    assert said(left, right) == (
        f"While the log is on, vCPUs stop for {faults_while_logged(left):,} faults on the left and "
        f"{faults_while_logged(right):,} faults on the right; "
        f"on the left they zap {zapped} whole, on the right they split {split}."
    )


def test_disable_is_told_by_the_faults_after_it() -> None:
    left, right = "B_thp_toggle_x3_eager__6.12", "B_thp_toggle_x3_eager__6.18"
    assert faults_while_logged(left) == faults_while_logged(right)
    # 6.12 zaps what can be huge again, so that reads fault too; 6.18 puts huge pages back, still write-protected.
    before, after = faults_after(left), faults_after(right)
    assert before > after > 0
    assert said(left, right) == (
        f"Once the log is off again, vCPUs stop for {before:,} faults on the left, {after:,} on the right."
    )


def test_a_lost_page_comes_before_all_else() -> None:
    left, right = "G_lostdirty_base32_lazy__6.12", "G_lostdirty_base32_eager__6.12"
    assert said(left, right) == (
        "Dirty logging loses 1 written page on the left and none on the right: nothing tells userspace of it."
    )
    assert said(right, left) == (
        "Dirty logging loses none on the left and 1 written page on the right: nothing tells userspace of it."
    )


def test_a_ring_that_loses_all_does_so_on_both_sides() -> None:
    ops = read_document(FOLDER / "B_2m_ring_initset_lazy__6.12.json.gz")["ops"]
    flags = logged("B_2m_ring_initset_lazy__6.12")
    pages: set[int] = set()
    for op, on in zip(ops, flags, strict=True):
        if on and op["op"] == "write":
            spec = op["pages"]
            pages |= set(spec if isinstance(spec, list) else range(
                spec["start"], spec["start"] + spec["stride"] * spec["count"], spec["stride"]
            ))  # fmt: skip
    assert said("B_2m_ring_initset_lazy__6.12", "B_2m_ring_initset_eager__6.12") == (
        f"Dirty logging loses {len(pages)} written pages on both sides: nothing tells userspace of them."
    )


def test_pages_written_between_get_and_clear_are_not_called_lost() -> None:
    sentence = said(*(f"B_2m_initset_chunk2M_interleaved_{policy}__6.12" for policy in ("lazy", "eager")))
    assert sentence.startswith("While the log is on")


def test_where_nothing_differs_the_sentence_says_so() -> None:
    sentence = said("A_4k_legacy_lazy__6.12", "A_4k_legacy_eager__6.12")
    faults = faults_while_logged("A_4k_legacy_lazy__6.12")
    assert sentence == f"While the log is on, vCPUs stop for {faults:,} faults on both sides: {SAME}"


STOP = "While the log is on, vCPUs stop for"
WORK = "on the left they split 1 huge page, on the right they zap 2 huge pages whole."
SAME = "here the choice makes no difference."


def with_faults(count: int, *, splits_too: int = 0, zaps_too: int = 0) -> Recording:
    """One write op of a logged slot."""
    rows = [(FAULT, 0, 0, 0, 3, 0, 0, page, 0, 1) for page in range(count)]
    rows += [(SPLIT, 2, LEAF, 0, 0, 0, 0, 512 * each, 0, 1) for each in range(splits_too)]
    rows += [(SPTE, 2, LEAF, 0, 0, 0, 0, 512 * each, 0, 1) for each in range(zaps_too)]
    made = recording(SLOT, rows, [])
    return recording(SLOT, rows, [], op_columns=made.op_columns._replace(logging=np.ones(1, dtype=np.uint8)))


@pytest.mark.parametrize(
    ("left", "right", "sentence"),
    [
        (with_faults(0), with_faults(0), f"{STOP} no fault on both sides: {SAME}"),
        (with_faults(1), with_faults(1), f"{STOP} 1 fault on both sides: {SAME}"),
        (
            with_faults(1),
            with_faults(0),
            "While the log is on, vCPUs stop for 1 fault on the left and none on the right.",
        ),
        (
            with_faults(2, splits_too=1),
            with_faults(3, zaps_too=2),
            f"{STOP} 2 faults on the left and 3 faults on the right; {WORK}",
        ),
    ],
)
def test_one_and_none_are_said_in_words(left: Recording, right: Recording, sentence: str) -> None:
    assert point(left, right) == sentence
