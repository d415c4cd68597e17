"""Compiling everything before anybody waits for it."""

from __future__ import annotations

import gc
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from mmuviz.engine.replayed import record_replay
from mmuviz.engine.run import simulate
from mmuviz.engine.scenario import Scenario
from mmuviz.ground.pages import PAGES_PER_2M
from mmuviz.mmu import warm as machine
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, VmConfig
from mmuviz.mmu.features import features_of
from mmuviz.workloads.sequential import Sequential

DOCUMENT = {
    "schema": "kvm-recording/1",
    "name": "warm",
    "kernel": "6.12",
    "config": {
        "dirty_log_mode": "legacy",
        "eager_page_split": False,
        "tdp_mmu": True,
        "vcpus": 1,
        "ring_entries": None,
        "vendor": "intel",
        "pml": True,
    },
    "ops": [
        {
            "op": "slot",
            "backing": "hugetlb_2m",
            "base_gfn": 512,
            "pages": 512,
            "hva_offset_pages": 0,
            "host_populated": True,
        },
        {"op": "write", "vcpu": 0, "pages": [0, 1]},
    ],
}


def warm_accesses() -> None:
    """Compile what an access of a guest needs, with and without a clock."""
    record_replay(DOCUMENT)
    slot = Memslot(0, 2 * PAGES_PER_2M, Backing.THP)
    for mode in (DirtyLogMode.MANUAL_INITIALLY_SET, DirtyLogMode.LEGACY, DirtyLogMode.RING):
        ring = 1024 if mode.ring else None
        vm = VmConfig(features_of("6.12"), mode, vcpus=2, ring_entries=ring)
        simulate(Scenario(vm, slot, Sequential(), iterations=1, runs_while_disabling=not mode.ring))


def warm() -> None:
    """Run every compiled function of the machine and of the engine once, two compilers side by side.

    A compiler makes millions of objects that live as long as it does: looking for garbage is a tenth of its time.
    """
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn"), initializer=gc.disable) as compilers:
        accesses, walks = compilers.submit(warm_accesses), compilers.submit(machine.warm_walks)
        walks.result()
        rest = compilers.submit(machine.warm)
        accesses.result()
        rest.result()
    machine.warm()
    warm_accesses()
