"""Random sequences for what no recording shows: each family of choices, with ops of its own."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.mmu.config import DirtyLogMode, Mmu, Tracking, VmConfig
from mmuviz.mmu.counters import Counters
from mmuviz.mmu.features import kernel_row
from mmuviz.mmu.kvm_recording import TEST_SLOT, CheckedRecording
from mmuviz.mmu.page_sets import pages_of
from mmuviz.mmu.replay import Replay
from mmuviz.mmu.vm import Vm
from tests.mmu.sequences import (
    BITMAP_MODES,
    KERNELS,
    MODES,
    REGION_1G,
    REGION_2M,
    SERIES,
    Document,
    Op,
    configs,
    documents,
    op_kinds,
    release_of,
    small_slots,
)
from tests.oracle_replay import Driver
from tests.oracle_stage2 import Stage2Oracle
from tests.oracle_unrecorded import UnrecordedOracle, rules_of

ROWS: Final = (*KERNELS, *SERIES)
FAMILIES: Final = (
    "nested",
    "shadow_paging",
    "direct_shadow",
    "arm64_stage2",
    "tracking",
    "hybrid",
    "split_by_faulting",
)
TURN: Final = dict(zip(FAMILIES, (0, 2, 1, 3, 0, 1, 4), strict=True))
EXTRA: Final = ("tlb_flushes", "tlbis", "local_tlbis", "masks_armed", "shadow_pages", "split_topups", "splits_refused")


def families_of(row: str) -> tuple[str, ...]:
    """Families that a kernel row allows; direct_shadow differs from the recordings in a series alone."""
    no = {"direct_shadow"} if row not in SERIES else {"arm64_stage2"}
    return tuple(family for family in FAMILIES if family not in no)


def modes_of(family: str) -> tuple[str, ...]:
    return BITMAP_MODES if family in ("tracking", "hybrid") else MODES


def kinds_of(family: str, mode: str) -> set[str]:
    """Every op kind that a family allows in a mode."""
    kinds = set(op_kinds(mode)) | {"nested": {"l2_read", "l2_write"}, "split_by_faulting": {"split_by_faulting"}}.get(
        family, set()
    )
    return kinds - ({"set_eager_page_split"} if family == "arm64_stage2" else set())


@st.composite
def family_configs(draw: st.DrawFn, family: str, row: str) -> Document:
    config = draw(configs(row))
    mmu = {"tracking": "tdp", "hybrid": "tdp", "split_by_faulting": "tdp"}.get(family, family)
    if family == "split_by_faulting" and draw(st.booleans()):
        mmu = "direct_shadow"
    # Two modes a row and family, in turns, so that few examples meet every mode in every family and rings in every row.
    turns = 1 if family != "direct_shadow" else len(MODES) - 1  # which has but four rows
    modes = BITMAP_MODES if mmu == "arm64_stage2" and release_of(row) < (6, 2) else modes_of(family)
    config["dirty_log_mode"] = modes[(ROWS.index(row) + TURN[family] + draw(st.integers(0, turns))) % len(modes)]
    if mmu == "arm64_stage2":
        if release_of(row) >= (6, 5):
            config["chunk_pages"] = draw(st.sampled_from((0, 1, REGION_2M, REGION_2M, REGION_1G)))
        config["eager_page_split"] = False
    if mmu in ("arm64_stage2", "shadow_paging"):
        config["pml"] = False
    if family in ("tracking", "hybrid"):
        config["track"] = 2
    if family == "hybrid":
        config["rounds_to_4k"] = draw(st.integers(1, 3))
    return {**config, "mmu": mmu, "tdp_mmu": mmu in ("tdp", "nested", "arm64_stage2")}


OF_L2: Final = {"read": "l2_read", "write": "l2_write"}


def nested_ops(draw: st.DrawFn, ops: list[Op]) -> list[Op]:
    """Accesses by L1 and by the L2, some of each."""
    found = [{**op, "op": OF_L2[op["op"]]} if op["op"] in OF_L2 and draw(st.booleans()) else op for op in ops]
    for mine, other in OF_L2.items():
        kinds = [op["op"] for op in found]
        for has, lacks in ((mine, other), (other, mine)):
            if has in kinds and lacks not in kinds:
                at = kinds.index(has)
                found.insert(at + 1, {**found[at], "op": lacks})
    return found


@st.composite
def family_documents(
    draw: st.DrawFn,
    family: str,
    row: str,
    slots: st.SearchStrategy[Op] | None = None,
    *,
    most: int = 7,
    every: bool = True,
) -> Document:
    """Choices and ops that no recording has, in a recording's form; `every`: each kind of op that the mode allows."""
    config = draw(family_configs(family, row))
    kinds = frozenset(op_kinds(config["dirty_log_mode"])) if every else frozenset[str]()
    if family == "arm64_stage2":
        kinds -= {"set_eager_page_split"}
    slots = small_slots() if slots is None else slots
    document: Document = draw(documents(slots, row, most=most, config=config, every=kinds))
    ops: list[Op] = document["ops"]
    if family == "nested":
        ops = nested_ops(draw, ops)
    if family == "split_by_faulting":
        vcpu = draw(st.integers(0, config["vcpus"] - 1))
        at = next(index for index, op in enumerate(ops) if op["op"] == "enable")
        ops = [*ops[:at], {"op": "split_by_faulting", "vcpu": vcpu}, *ops[at:]]
    return {**document, "ops": ops, "family": family}


def vm_config(document: Document) -> VmConfig:
    config = document["config"]
    stage2, mode = config["mmu"] == "arm64_stage2", DirtyLogMode(config["dirty_log_mode"])
    return VmConfig(
        kernel_row(document["kernel"]),
        mode,
        None if stage2 else config["eager_page_split"],
        mmu=Mmu(config["mmu"]),
        vcpus=config["vcpus"],
        ring_entries=config["ring_entries"] if mode.ring else None,
        pml=config["pml"],
        split_chunk_bytes=config.get("chunk_pages", 0) * PAGE_BYTES,
        tracking=Tracking(config.get("track", 1), config.get("rounds_to_4k")),
        nr_mmu_pages=config.get("nr_mmu_pages"),
    )


class FamilyReplay(Replay[Vm]):
    """Replay with the ops of the families, and counters that no recording has."""

    def __init__(self, document: Document) -> None:
        self.machine = Vm(vm_config(document), record=True)
        super().__init__(CheckedRecording(document, vm_config(document), document["ops"]), self.machine)
        self.before: Counters = self.machine.counters()

    def slot(self, op: Op) -> None:
        super().slot(op)
        self.before = self.machine.counters()

    def access_l2(self, op: Op, *, write: bool) -> None:
        gfns = self.slot_gfns(TEST_SLOT, pages_of(op["pages"]))
        self.machine.run(op["vcpu"], gfns, write=write, ring_full=self.harvest, l2=True)

    def l2_read(self, op: Op) -> None:
        self.access_l2(op, write=False)

    def l2_write(self, op: Op) -> None:
        self.access_l2(op, write=True)

    def split_by_faulting(self, op: Op) -> None:
        self.machine.split_by_faulting(TEST_SLOT, vcpu=op["vcpu"])

    def extra(self) -> dict[str, int]:
        now, begin = self.machine.counters(), self.before
        return {name: getattr(now, name) - getattr(begin, name) for name in EXTRA}


class FamilyDriver(Driver):
    """The slow twin, driven by the same documents."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.rules = rules_of(document["kernel"])
        self.config = document["config"]
        kind = Stage2Oracle if self.config["mmu"] == "arm64_stage2" else UnrecordedOracle
        self.vm: UnrecordedOracle = kind(self.rules, self.config)
        self.last: set[int] = set()
        self.harvested: set[int] = set()

    def op_l2(self, op: Op, *, write: bool) -> None:
        l1 = self.vm
        assert l1.l2 is not None
        self.vm = l1.l2
        try:
            self.access([(op["vcpu"], page) for page in pages_in(op["pages"])], write=write)
        finally:
            self.vm = l1

    def op_l2_read(self, op: Op) -> None:
        self.op_l2(op, write=False)

    def op_l2_write(self, op: Op) -> None:
        self.op_l2(op, write=True)

    def op_split_by_faulting(self, op: Op) -> None:
        self.vm.split_by_faulting(op["vcpu"])


def pages_in(spec: list[int] | dict[str, int]) -> list[int]:
    return [int(page) for page in pages_of(spec)]
