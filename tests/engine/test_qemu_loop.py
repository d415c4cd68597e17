"""Laws of the migration loop on a random machine, for any reports of KVM and any timing."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.engine.qemu.calls import (
    Call,
    ClearChunk,
    ClearDirtyLog,
    GetDirtyLog,
    Pending,
    Room,
    RoomLeft,
    SendPages,
    SetMemslot,
    StopVm,
    SyncEnd,
    SyncStart,
)
from mmuviz.engine.qemu.migration import migration_thread, migration_update_counters
from mmuviz.engine.qemu.page_set import Bits, Pages
from mmuviz.engine.qemu.ram import ram_save_cleanup
from mmuviz.engine.qemu.state import FEATURES, KvmSlot, Qemu, RamBlock, Thread

SIZES = {"ram": 1024, "bios": 64, "table": 3}
SLOTS = ((0, 0, 195), (1, 195, 61), (2, 256, 768))
"""Number, first page in "ram" and pages of its slots; "bios" has one more, "table" is mapped nowhere."""


def made(release: str, shift: int) -> Qemu:
    blocks = [RamBlock(name, pages, 1, Pages.none_of(pages), Pages.none_of(pages)) for name, pages in SIZES.items()]
    slots = [
        [
            *(
                KvmSlot(space, number, first, pages, 0, blocks[0], first, Pages.none_of(pages))
                for number, first, pages in SLOTS
            ),
            KvmSlot(space, 3, 1 << 20, 64, 2, blocks[1], 0, Pages.none_of(64)),
        ]
        for space in (0, 1)
    ]
    return Qemu(FEATURES[release], blocks, slots, manual_protect=True, ring=False, chunk_shift=shift)


@dataclass
class Kvm:
    """A KVM that reports random pages, keeps bits that are not cleared, and notes the calls of the loop."""

    chance: random.Random
    log: dict[tuple[int, int], Bits] = field(default_factory=dict)
    reported: dict[str, set[int]] = field(default_factory=lambda: {name: set() for name in SIZES})
    calls: list[Call] = field(default_factory=list)
    turns: int = 0
    stopped: bool = False

    def answer(self, call: Call) -> object:
        self.calls.append(call)
        if isinstance(call, GetDirtyLog):
            return self.get(call.slot)
        if isinstance(call, ClearDirtyLog):
            self.clear(call)
        if isinstance(call, SendPages):
            assert call.sent.numbers is not None
            self.reported[call.block.name] -= set(call.sent.numbers.tolist())
        if isinstance(call, Room):
            return self.chance.randint(1, 300)
        if isinstance(call, RoomLeft):
            return call.room
        if isinstance(call, Pending):
            self.turns += 1
            return 1 << 40 if self.turns > 12 else self.chance.choice([0, 200 << 12, 900 << 12])
        if isinstance(call, StopVm):
            self.stopped = True
        return isinstance(call, SyncEnd) and self.chance.random() < 0.5

    def get(self, slot: KvmSlot) -> Pages:
        kept = self.log.setdefault((slot.address_space, slot.number), np.ones(slot.pages, np.bool_))
        fresh = [] if self.stopped else [self.chance.randrange(slot.pages) for _ in range(self.chance.randint(0, 5))]
        kept[fresh] = True
        self.reported[slot.block.name] |= {slot.offset + page for page in np.flatnonzero(kept).tolist()}
        return Pages(kept)

    def clear(self, call: ClearDirtyLog) -> None:
        kept = self.log[call.slot.address_space, call.slot.number][call.first_page :][: call.num_pages]
        assert isinstance(call.bits, Pages)
        assert not (call.bits.bits & ~kept).any()
        assert call.first_page % 64 == 0
        assert call.num_pages % 64 == 0 or call.first_page + call.num_pages == call.slot.pages
        kept &= ~call.bits.bits


def migrated(seed: int) -> tuple[Qemu, Kvm]:
    """A whole migration."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    qemu = made(chance.choice(sorted(FEATURES)), chance.choice([6, 7, 9, 18]))
    kvm, steps, reply = Kvm(chance), migration_thread(qemu, Thread()), None
    while True:
        try:
            call = steps.send(reply)
        except StopIteration:
            return qemu, kvm
        reply = kvm.answer(call)


SEEDS = st.integers(0, 1 << 32)


@given(SEEDS)
def test_every_page_is_sent_after_it_was_last_reported(seed: int) -> None:
    qemu, kvm = migrated(seed)
    assert all(not pages for pages in kvm.reported.values())
    assert qemu.ram.dirty_pages == 0
    assert all(block.bmap.count() == 0 for block in qemu.blocks)
    sent = [call.sent.pages for call in kvm.calls if isinstance(call, SendPages)]
    assert sum(sent) >= sum(SIZES.values())


@given(SEEDS)
def test_a_page_is_cleared_before_it_is_sent(seed: int) -> None:
    _, kvm = migrated(seed)
    cleared: set[tuple[str, int]] = set()
    for call in kvm.calls:
        if isinstance(call, SyncEnd):
            cleared.clear()
        if isinstance(call, ClearChunk):
            assert (call.block.name, call.first) not in cleared
            cleared.add((call.block.name, call.first))
        if isinstance(call, SendPages) and call.block.in_whole_words:
            chunk = call.sent.first >> call.block.chunk_shift << call.block.chunk_shift
            assert (call.block.name, chunk) in cleared
            assert call.sent.last < chunk + (1 << call.block.chunk_shift)


@given(SEEDS)
def test_only_clear_runs_without_the_big_lock(seed: int) -> None:
    _, kvm = migrated(seed)
    stopped = False
    for call in kvm.calls:
        stopped = stopped or isinstance(call, StopVm)
        if isinstance(call, GetDirtyLog | SetMemslot | SyncStart):
            assert call.big_lock
        if isinstance(call, ClearDirtyLog):
            assert call.big_lock == stopped


@given(SEEDS)
def test_each_sync_reads_every_slot_of_both_address_spaces(seed: int) -> None:
    qemu, kvm = migrated(seed)
    gets = [(call.slot.address_space, call.slot.base_gfn) for call in kvm.calls if isinstance(call, GetDirtyLog)]
    one = [(slot.address_space, slot.base_gfn) for slots in qemu.slots for slot in slots]
    assert gets == one * qemu.ram.sync_count


@given(SEEDS)
def test_logging_stays_on_until_the_guest_runs_again(seed: int) -> None:
    qemu, _ = migrated(seed)
    assert list(ram_save_cleanup(qemu, Thread())) == []
    assert all(slot.logged for slots in qemu.slots for slot in slots)


def test_the_threshold_is_what_the_window_s_bandwidth_sends_in_the_downtime() -> None:
    # Figures that real QEMU printed.
    assert migration_update_counters(6714162, 100, 300) == (67141, 20142486)
    assert migration_update_counters(6238557, 104, 300) == (59986, 17995837)
    assert migration_update_counters(12615732, 110, 60000) == (114688, 6881308363)
