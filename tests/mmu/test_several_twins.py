"""The model and the slow twin do the same on random sequences over several slots, and on the recordings of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, seed, settings

from mmuviz.mmu.extended import plain_document
from mmuviz.mmu.kvm_recording import parse, read_document
from mmuviz.mmu.replay import ZAPS_ALL, replay_of
from tests.mmu.sequences import KERNELS, Document
from tests.mmu.several import several_documents
from tests.mmu.test_several_slots import FILES
from tests.mmu.test_twins import all_events, by_class, leaf_of, reproducible
from tests.oracle_slots import SeveralDriver, SeveralOracle

pytestmark = pytest.mark.xdist_group("several_twins")

met: Counter[str] = Counter()
COMPARED = ("counters", "dirty_ranges", "errno", "mmio_exits", "tlb_flushes", "pml_full_exits")


def same_answer(op: Document, mine: Document, twin: Document) -> None:
    for name in COMPARED:
        assert mine.get(name) == twin.get(name), (op, name)
    order = [[*event_class, gfn] for event_class, gfn in twin["order"]]
    assert mine["first_events_in_order"] == order, op
    classes = {tuple(event_class): count for event_class, count, _ in mine["events"]}
    assert classes == {event_class: len(gfns) for event_class, gfns in by_class(twin["order"]).items()}, op


def same_leaves(document: Document, vm: Any, twin: SeveralOracle) -> None:  # noqa: ANN401  # a Replay's VM
    twin.put_back()
    for slot in twin.slots.values():
        for gfn in range(slot["base"], slot["base"] + slot["pages"]):
            leaf = twin.leaf.get(gfn)
            assert leaf_of(vm.state, gfn) == (None if leaf is None else (leaf.level, leaf.label())), (document, gfn)


def run_both(document: dict[str, Any]) -> None:
    replay, driver = replay_of(parse(document)), SeveralDriver(document)
    for op in document["ops"]:
        with all_events:
            mine = replay.step(op)
        same_answer(op, mine, driver.run(op))
        met[op["op"]] += 1
        met.update(name for name in ("errno", "mmio_exits") if mine.get(name))
        met.update(flag for flag in ("logged", "read_only") if op.get(flag))
    same_leaves(document, replay.vm, driver.vm)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_twins_agree_on_several_slots(kernel: str) -> None:
    @seed(KERNELS.index(kernel))
    @settings(reproducible, max_examples=20)
    @given(several_documents(kernel))
    def agree(document: dict[str, Any]) -> None:
        run_both(document)

    agree()


def test_the_sequences_met_everything() -> None:
    if sum(met.values()) < 1000:  # run alone
        test_the_twins_agree_on_several_slots("6.12")
        test_the_twins_agree_on_several_slots("5.15")
    for name in ("slot", "move_slot", "delslot", "set_read_only", "errno", "mmio_exits", "logged", "read_only"):
        assert met[name] > 0, name


@pytest.mark.parametrize("path", FILES[::4], ids=lambda path: path.name.removesuffix(".json.gz"))
def test_the_slow_twin_is_exact_on_recordings(path: Any) -> None:  # noqa: ANN401  # a Path
    document = plain_document(read_document(path))
    driver = SeveralDriver(document)
    for index, op in enumerate(document["ops"]):
        got, expected = driver.run(op), op["after"]
        for name in ("counters", "errno", "dirty_ranges"):
            assert got.get(name) == expected.get(name), (index, op["op"], name)
        assert got["mmio_exits"] == expected["mmio_exits"], index
        assert got["tlb_flushes"] == expected.get("tlb_flushes", got["tlb_flushes"]), index
        if op["op"] not in (*ZAPS_ALL, "disable"):
            first = [[*event_class, gfn] for event_class, gfn in got["order"]]
            assert first[: len(expected["first_events_in_order"])] == expected["first_events_in_order"], index
