"""Recordings of several slots: the model is exact on them, and what they add is compared at all."""

from __future__ import annotations

import copy
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmuviz.core.errors import InputError
from mmuviz.mmu.extended import plain_document
from mmuviz.mmu.kvm_recording import parse, read_document
from mmuviz.mmu.replay import replay_document, replay_of
from mmuviz.studies.verify import verify_document

FOLDER = Path(__file__).resolve().parent.parent / "recordings_extended"
FILES = sorted(FOLDER.glob("*.json.gz"))
PARTS = 8
Document = dict[str, Any]


@pytest.mark.parametrize("part", range(PARTS))
def test_recordings_of_several_slots_are_exact(part: int) -> None:
    files = FILES[part::PARTS]
    differing = {path.name: found[0] for path in files if (found := verify_document(read_document(path)))}
    assert differing == {}


def test_every_recording_is_there() -> None:
    assert len(FILES) == 200


def of(name: str) -> Document:
    return plain_document(read_document(FOLDER / f"{name}__6.12.json.gz"))


def index_of(document: Document, kind: str, field: str) -> int:
    """The last op of a kind whose answer has a field that is not 0 or empty."""
    ops = document["ops"]
    return max(index for index, op in enumerate(ops) if op["op"] == kind and op["after"].get(field))


CHANGES: dict[str, tuple[str, str, str, Callable[[Any], object]]] = {
    "another errno": ("M_wrong_slot_lazy", "clear", "errno", lambda value: value + 1),
    "an exit more": ("M_readonly_lazy", "write", "mmio_exits", lambda value: value + 1),
    "a flush less": ("M_neighbours_legacy_eager", "get", "tlb_flushes", lambda value: value - 1),
    "another slot's pages": (
        "M_move_while_logging_ring_eager",
        "ring_collect",
        "dirty_ranges",
        lambda value: [[value[0][0] + 1, *value[0][1:]], *value[1:]],
    ),
    "a page less after a move": (
        "M_move_while_logging_legacy_eager",
        "move_slot",
        "counters",
        lambda value: value | {"pages_4k": value["pages_4k"] - 1},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_answer_is_found(change: str) -> None:
    name, kind, field, changed = CHANGES[change]
    document = of(name)
    at = index_of(document, kind, field)
    document["ops"][at]["after"][field] = changed(document["ops"][at]["after"][field])
    found = verify_document(document)
    assert [(each.op_index, each.field.split(".")[0]) for each in found] == [(at, field)]


def test_an_op_that_kvm_did_not_refuse_is_found() -> None:
    document = of("M_wrong_slot_lazy")
    at = index_of(document, "get", "errno")
    del document["ops"][at]["after"]["errno"]
    assert [(each.op_index, each.field, each.got) for each in verify_document(document)] == [
        (at, "errno", errno.ENOENT)
    ]


def test_the_answers_of_a_replay_are_exact() -> None:
    document = of("M_qemu_layout_ring_eager")
    assert verify_document(replay_document(document)) == []


def test_a_recording_of_one_slot_has_no_several_slots_fields() -> None:
    document = of("M_readonly_lazy")
    for op in document["ops"]:
        op.pop("slot", None)
    with pytest.raises(InputError, match=r"op 1 \(slot\): 'read_only' is unknown"):
        parse(document)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"op": "vm", "nested": 1}, "it runs a nested guest; only"),
        ({"op": "vm", "nested": 2}, r"it was made with shadow paging \(npt=0\); only"),
        ({"op": "forkhold"}, "op 0: 'forkhold' is not modelled; ops are slot, read"),
        ({"op": "slot", "backing": "shmem"}, "op 0: backing='shmem' must be one of anonymous, "),
        ({"op": "enable", "slot": "one"}, "op 0 .enable.: slot='one' must be int"),
        ({"op": "slot", "backing": "anonymous", "flags": "new"}, "op 0 .slot.: flags='new' must be one of none"),
    ],
)
def test_what_is_not_modelled_is_refused_by_name(change: Document, message: str) -> None:
    document = read_document(FOLDER / "M_readonly_lazy__6.12.json.gz")
    document["ops"][0] = {**document["ops"][0], **change}
    with pytest.raises(InputError, match=message):
        verify_document(document)


def test_slots_of_one_vm_are_apart() -> None:
    """The same ops on two slots in turn give each the answers that it has alone."""
    document = of("M_neighbours_manual_initset_eager")
    whole = [op["after"].get("dirty_ranges") for op in replay_document(document)["ops"]]
    for slot_id in (1, 2):
        alone = copy.deepcopy(document)
        mine = [index for index, op in enumerate(document["ops"]) if op.get("slot", slot_id) == slot_id]
        alone["ops"] = [alone["ops"][index] for index in mine]
        answers = list(replay_of(parse(alone)).steps())
        assert [each.get("dirty_ranges") for each in answers] == [whole[index] for index in mine]
