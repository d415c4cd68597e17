"""Random recordings of two or three slots: neighbours or far apart, moved, deleted, read-only, some logged at once."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.mmu.sequences import (
    ANY_TIME,
    BITMAP_OPS,
    HOST_OPS,
    REGION_1G,
    REGION_2M,
    RING_MODES,
    RING_OPS,
    Document,
    Op,
    Ops,
    configs,
    small_slots,
)

SLOT_OPS = ("move_slot", "delslot", "set_read_only")
OF_NO_SLOT = ("ring_collect", "ring_reset", "set_eager_page_split")


class Several:
    """Draws the ops of one sequence over several slots."""

    def __init__(self, draw: st.DrawFn, config: Document, kernel: str) -> None:
        self.draw, self.config, self.kernel = draw, config, kernel
        self.slots: dict[int, Ops] = {}

    def add(self, slot_id: int) -> Op:
        """A slot right behind another, or anywhere; a place that is taken is refused by KVM."""
        slot = self.draw(small_slots())
        near: bool = self.draw(st.booleans())
        if self.slots and near:
            before = self.draw(st.sampled_from(sorted(self.slots)))
            other = self.slots[before].slot
            slot["base_gfn"] = other["base_gfn"] + other["pages"] + self.draw(st.sampled_from((0, 0, 1, 64, 512, -1)))
            slot["hva_offset_pages"] = slot["base_gfn"] % REGION_2M
        slot |= {"slot": slot_id}
        for flag, of in (("read_only", 4), ("logged", 2)):
            if self.draw(st.integers(1, of)) == 1:
                slot[flag] = True
        if not self.taken(slot_id, slot["base_gfn"], slot["pages"]):
            self.slots[slot_id] = Ops(self.draw, self.config, self.kernel, slot, slot.get("logged", False))
        return slot

    def taken(self, slot_id: int, base: int, pages: int) -> bool:
        others = [ops.slot for other_id, ops in self.slots.items() if other_id != slot_id]
        return any(base < each["base_gfn"] + each["pages"] and each["base_gfn"] < base + pages for each in others)

    def move(self, slot_id: int) -> Op:
        slot = self.slots[slot_id].slot
        base = slot["base_gfn"] + self.draw(st.sampled_from((0, 1, -64, 512, -512, 5000, REGION_1G)))
        if not self.taken(slot_id, base, slot["pages"]):
            self.slots[slot_id].slot = {**slot, "base_gfn": base}
        return {"op": "move_slot", "base_gfn": base}

    def next(self, slot_id: int) -> Op:
        own = RING_OPS if self.config["dirty_log_mode"] in RING_MODES else BITMAP_OPS
        kinds = ("read", "write", "write", *ANY_TIME, *HOST_OPS, *own, *own, *SLOT_OPS)
        kind = self.draw(st.sampled_from(kinds))
        ops = self.slots[slot_id]
        if kind == "move_slot":
            return self.move(slot_id)
        if kind == "set_read_only":
            return {"op": kind, "value": self.draw(st.booleans())}
        if kind == "delslot":
            del self.slots[slot_id]
            return {"op": kind}
        if kind == "get" and self.draw(st.integers(0, 2)) == 0:
            return {"op": "get"}  # whether it is logged or not
        return ops.next((kind,))


@st.composite
def several_documents(draw: st.DrawFn, kernel: str) -> Document:
    """A recording without answers, of two or three slots."""
    config = draw(configs(kernel))
    several = Several(draw, config, kernel)
    ids = draw(st.sampled_from([[1, 2], [1, 2, 3], [5, 2]]))
    listed = [several.add(slot_id) for slot_id in ids]
    for slot_id, ops in list(several.slots.items()):
        listed.append({**ops.everything(draw(st.sampled_from(("read", "write")))), "slot": slot_id})
    for slot_id in several.slots:
        if draw(st.booleans()):
            several.slots[slot_id].logging = True
            listed.append({"op": "enable", "slot": slot_id})
    for _ in range(draw(st.integers(8, 14))):
        gone = [slot_id for slot_id in ids if slot_id not in several.slots]
        again: bool = draw(st.booleans())
        if gone and again:
            listed.append(several.add(gone[0]))
        elif several.slots:
            slot_id = draw(st.sampled_from(sorted(several.slots)))
            op = several.next(slot_id)
            listed.append(op if op["op"] in OF_NO_SLOT else {**op, "slot": slot_id})
    return {"schema": "kvm-recording/1", "name": "several", "kernel": kernel, "config": config, "ops": listed}
