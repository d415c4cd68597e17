"""Costs of each entry of the machine's work on a host: counted instructions times the host's time for one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from mmuviz.core.pages import PAGES_PER_2M, SPTE_ENT_PER_PAGE
from mmuviz.costs.counted import OFF
from mmuviz.costs.hosts import HostProfile
from mmuviz.costs.ledger import SCALE, lookup
from mmuviz.engine import clock as layout
from mmuviz.mmu import work
from mmuviz.mmu.config import Mmu, VmConfig
from mmuviz.mmu.locks import Lock, Path, lock_of
from mmuviz.mmu.state import I64

PS_PER_NS: Final = 10**3
EXITS: Final = (*range(work.WORK_PATHS_END), work.WORK_PML_FULL, work.WORK_RUN)
"""Entries with a VM exit or an entry of the guest: the host's world switch is added."""
NOT_OVERRIDDEN: Final[Mapping[str, int]] = MappingProxyType({})


ZEROED: Final = {work.WORK_HOST_FAULT_4K: 1, work.WORK_HOST_FAULT_2M: PAGES_PER_2M}
"""Entries of a host page that is zeroed, and its 4K pages: the longer of its instructions and its zeroing counts."""


class CostTable(NamedTuple):
    """Costs of one VM on one host, in ps unless the name says otherwise.

    Attributes:
        guest: int64[layout.PRICES + WORK_ENTRIES]: prices of vCPUs, then of the machine's work in a fault.
        steps: int64[WORK_ENTRIES], prices of the machine's work in an ioctl, in hundredths of a ps.
        with_spinner: int64[WORK_ENTRIES], the same while the core's other thread is a spinning vCPU.
        slowdown_1024: int64[vcpus], each vCPU's time relative to a core of its own, 1/1024.
        host: the profile.
        config: the VM's configuration.
    """

    guest: I64
    steps: I64
    with_spinner: I64
    slowdown_1024: I64
    host: HostProfile
    config: VmConfig

    @property
    def topup_ps(self) -> int:
        """Filling a VM-wide split cache that a call frees again (shadow-eager-v1), at full speed."""
        return self.host["topup_ns"] * PS_PER_NS if self.config.kernel.split_caches_last_a_call else 0

    def step(self, entry: int) -> int:
        """Price of one unit of an entry in an ioctl, ps."""
        return int(self.steps[entry]) // SCALE


def hundredths_of(config: VmConfig, instructions: Mapping[str, int]) -> I64:
    """Instructions of one unit of each entry on the VM's kernel, in hundredths.

    Args:
        config: the VM's configuration.
        instructions: overridden entries of the ledger, by name.

    Returns:
        int64[WORK_ENTRIES]; 0 for entries that only the host profile prices.
    """
    release = config.kernel.release
    found = np.array([lookup(name, release, OFF).hundredths if name else 0 for name in work.WORK_NAMES], dtype=np.int64)
    for name, value in instructions.items():
        # The shadow MMU's walks are separate entries with the same names.
        found[[entry for entry, each in enumerate(work.WORK_NAMES) if each == name]] = value * SCALE
    return found


def fault_costs(hundredths: I64, host: HostProfile) -> I64:
    """Prices of entries in a fault: cold code, a world switch per exit, and for a host page at least its zeroing.

    Args:
        hundredths: from hundredths_of().
        host: the host profile.

    Returns:
        int64[WORK_ENTRIES], ps.
    """
    found = hundredths * host["path_ps"] // SCALE
    found[list(EXITS)] += host["world_switch_ns"] * PS_PER_NS
    for entry, pages in ZEROED.items():
        found[entry] = max(found[entry], pages * host["zero_ps"])
    return found


def step_costs(hundredths: I64, host: HostProfile) -> I64:
    """Prices of entries in an ioctl: a hot loop, and the host's additions.

    A page of the bitmap takes the longer of its instructions and of the host's time to allocate and
    zero it. The shadow MMU walks by reverse maps, which were not counted: the host's constants are used.

    Args:
        hundredths: from hundredths_of().
        host: the host profile.

    Returns:
        int64[WORK_ENTRIES], hundredths of a ps.
    """
    found = hundredths * host["walk_ps"]
    for entry, pages in ZEROED.items():
        found[entry] = max(found[entry], pages * host["zero_ps"] * SCALE)
    page = work.WORK_BITMAP_PAGE
    found[page] = max(found[page], host["page_alloc_ns"] * PS_PER_NS * SCALE)
    found[work.WORK_GET_LINE] = host["copy_ps"] * SCALE
    found[work.WORK_GET_BUFFER] = host["page_alloc_ns"] * PS_PER_NS * SCALE
    found[work.WORK_RECOVERED] = host["recover_ns"] * PS_PER_NS * SCALE
    found[[work.WORK_RMAP_WALKED, work.WORK_RMAP_HEADS]] = host["rmap_head_ps"] * SCALE
    _price_rmaps(found, host)
    return found


def with_spinner(steps: I64, hundredths: I64, host: HostProfile) -> I64:
    """Prices of entries in an ioctl while the calling thread shares its core with a spinning vCPU thread.

    vCPUs of dirty_log_perf_test spin in userspace from the end of a pass to the beginning of the next one. That
    slows down instructions, and the walk past rmap heads, which is nothing else. It does not slow down the time of
    memory: lines of the bitmap, and all but host["rmap_busy_percent"] of arming and adding by reverse maps.

    Args:
        steps: from step_costs().
        hundredths: from hundredths_of().
        host: the host profile.

    Returns:
        int64[WORK_ENTRIES], hundredths of a ps.
    """
    busy = np.minimum(steps, hundredths * host["walk_ps"])
    heads = [work.WORK_RMAP_WALKED, work.WORK_RMAP_HEADS]
    busy[heads] = steps[heads]
    share, shadow = host["rmap_busy_percent"], work.WORK_SHADOW
    armed = [each + shadow for each in ARMED]
    busy[armed] = steps[armed] * share // 100
    busy[SHADOW_SPLITS] += SPTE_ENT_PER_PAGE * host["rmap_add_ps"] * SCALE * share // 100
    slower: I64 = steps + busy * (host["spin_percent"] - 100) // 100
    return slower


def _price_rmaps(found: I64, host: HostProfile) -> None:
    """Price walks of the shadow MMU: a word or an entry costs its heads, a leaf its arming, a split 512 children."""
    shadow = work.WORK_SHADOW
    found[work.WORK_VISIT_HUGE + shadow : work.WORK_SPLIT_ENABLE_2M + shadow] = 0
    found[work.WORK_CLEAR_WALK_DOWN + shadow :] = 0
    found[[each + shadow for each in ARMED]] = host["rmap_arm_ps"] * SCALE
    found[SHADOW_SPLITS] += SPTE_ENT_PER_PAGE * host["rmap_add_ps"] * SCALE


WORDS: Final = (work.WORK_GET_WORD, work.WORK_CLEAR_WORD, work.WORK_CLEAR_INITSET_WORD, work.WORK_RING_WORD)
ARMED: Final = (work.WORK_PROTECT_4K, *(word + work.PAGE for word in WORDS))
"""Entries of a 4K leaf that is armed."""
SHADOW_SPLITS: Final = slice(
    work.WORK_SPLIT_ENABLE_2M + work.WORK_SHADOW, work.WORK_SPLIT_CLEAR_1G + work.WORK_SHADOW + 1
)


def vcpu_placement(vcpus: int, host: HostProfile) -> tuple[I64, float, int]:
    """Placement of vCPUs by the scheduler: cores of the first socket, of the next ones, then their other threads.

    Args:
        vcpus: threads that never sleep.
        host: the host profile, for its topology.

    Returns:
        int64[vcpus] time relative to a core of its own in 1/1024, the share of pairs of vCPUs that are on
        different sockets, and the most vCPUs on one socket.
    """
    cores, first = host["cores"], host["socket_cores"]
    core = np.arange(vcpus) % cores
    alone = np.bincount(core, minlength=cores)[core] == 1
    slowdown_1024 = np.where(alone, layout.FULL_SPEED, layout.FULL_SPEED * host["smt_percent"] // 100).astype(np.int64)
    crowds = np.bincount(np.minimum(core // first, host["sockets"] - 1))
    together = int((crowds * (crowds - 1)).sum())
    crossing = 1 - together / (vcpus * (vcpus - 1)) if vcpus > 1 else 0.0
    return slowdown_1024, crossing, int(crowds.max())


def cost_table(
    config: VmConfig, host: HostProfile, instructions: Mapping[str, int] = NOT_OVERRIDDEN, *, tlb: bool = True
) -> CostTable:
    """Compute every price.

    Args:
        config: the VM's configuration.
        host: the host profile.
        instructions: overridden entries of the ledger, by name.
        tlb: whether a split costs the guest a deeper walk on every TLB miss.

    Returns:
        The prices.
    """
    slowdown_1024, crossing, crowd = vcpu_placement(config.vcpus, host)
    hundredths = hundredths_of(config, instructions)
    steps, faults = step_costs(hundredths, host), fault_costs(hundredths, host)
    price = np.zeros(layout.PRICES, dtype=np.int64)
    # The guest's loop continues while its misses are under way: an access takes the longer of the two.
    touch = max(host["read_ns"] * PS_PER_NS, crowd * host["touch_ps"])
    deeper = host["walk_deeper_ns"] * PS_PER_NS if tlb else 0
    read, write = (int(steps[entry]) // SCALE for entry in (work.WORK_GUEST_READ, work.WORK_GUEST_WRITE))
    huge = max(touch - deeper, PS_PER_NS)
    price[[layout.READ_4K, layout.READ_HUGE]] = max(touch, read), max(huge, read)
    price[[layout.WRITE_4K, layout.WRITE_HUGE]] = max(touch, write), max(huge, write)
    price[layout.FAST] = faults[work.WORK_FAULT_FAST]
    price[layout.SPURIOUS] = faults[work.WORK_FAULT_SLOW]
    price[layout.ENTER] = faults[work.WORK_RUN]
    for entry, name in NANOSECONDS.items():
        price[entry] = host[name] * PS_PER_NS
    price[layout.ZERO] = host["zero_ps"]
    for entry, name in ((layout.HANDOFF, "handoff_ns"), (layout.HANDOFF_FEW, "handoff_few_ns")):
        price[entry] = (host[name] + int(crossing * host["cross_ns"])) * PS_PER_NS
    if config.mmu in (Mmu.DIRECT_SHADOW, Mmu.SHADOW_PAGING, Mmu.NESTED):
        # The part of a slow fault under mmu_lock takes the time of the host's own constant.
        whole = faults[work.WORK_FAULT_MAP_4K_OF_HUGE] + faults[work.WORK_FAULT_HOST_1G]
        direct = config.mmu is Mmu.DIRECT_SHADOW
        hold = host["hold_ns" if direct else "hold_paging_ns"] * PS_PER_NS
        price[layout.BEFORE_LOCK] = max(whole - hold, host["world_switch_ns"] * PS_PER_NS)
        if not direct:  # the guest's own tables are walked first: walk_addr()
            price[layout.BEFORE_LOCK] += host["guest_walk_ns"] * PS_PER_NS
        price[[layout.HOLD, layout.SPURIOUS]] = hold
    elif lock_of(Path.FAULT, config) is Lock.WRITE:  # on arm64, all but the world switch is under mmu_lock
        price[layout.BEFORE_LOCK] = host["world_switch_ns"] * PS_PER_NS
    spun = with_spinner(steps, hundredths, host)
    return CostTable(np.concatenate([price, faults]), steps, spun, slowdown_1024, host, config)


NANOSECONDS: Final = {
    layout.DIRTY_LOGGED: "dirty_log_ns",
    layout.LINE: "line_ns",
    layout.FLUSH_BASE: "flush_ns",
    layout.FLUSH_VCPU: "ack_ns",
    layout.KICK: "kick_ns",
    layout.TLBI: "tlbi_ns",
    layout.LOCAL_TLBI: "local_tlbi_ns",
    layout.USERSPACE: "userspace_ns",
}
"""Prices that are a constant of the host."""
