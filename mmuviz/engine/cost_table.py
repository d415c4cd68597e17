"""What each step costs on a host: counted instructions of the kernel, times what the host makes of one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmuviz.costs.counted import OFF
from mmuviz.costs.hosts import HostProfile
from mmuviz.costs.ledger import lookup
from mmuviz.engine import clock as layout
from mmuviz.ground.pages import PAGE_BYTES
from mmuviz.mmu.config import Mmu, VmConfig
from mmuviz.mmu.state import I64

PS_PER_NS = 10**3
LINE_BYTES = 64
LINES_PER_TABLE = PAGE_BYTES // LINE_BYTES
SPTES_PER_LINE = LINE_BYTES // 8


class CostTable(NamedTuple):
    """CostTable of one VM on one host, in ps unless the name says otherwise.

    Attributes:
        guest: int64[layout.PRICES], of what vCPUs do.
        slow: int64[vcpus], each vCPU's time against a core of its own, 1/1024.
        host: the profile.
        config: the VM.
    """

    guest: I64
    slow: I64
    host: HostProfile
    config: VmConfig

    def walk(self, name: str) -> int:
        """One counted path of an ioctl."""
        return int(instructions(self.config, name) * self.host["walk_ps"])


def instructions(config: VmConfig, name: str) -> float:
    """Instructions of a counted path on the VM's kernel."""
    return lookup(name, config.kernel.release, OFF).value


def placed(vcpus: int, host: HostProfile) -> tuple[I64, float, int]:
    """Where the scheduler puts the vCPUs: cores of the first socket, of the second, then their other threads.

    Args:
        vcpus: threads that never sleep.
        host: its topology.

    Returns:
        int64[vcpus] time against a core of one's own in 1/1024, the share of pairs of vCPUs that are on
        different sockets, and the most vCPUs on one socket.
    """
    cores, first = host["cores"], host["socket_cores"]
    core = np.arange(vcpus) % cores
    alone = np.bincount(core, minlength=cores)[core] == 1
    slow = np.where(alone, layout.FULL_SPEED, layout.FULL_SPEED * host["smt_percent"] // 100).astype(np.int64)
    near = int((core < first).sum()) if first < cores else vcpus
    far = vcpus - near
    crossing = 2 * near * far / (vcpus * (vcpus - 1)) if vcpus > 1 else 0.0
    return slow, crossing, max(near, far)


def cost_table(config: VmConfig, host: HostProfile, *, tlb: bool = True) -> CostTable:
    """Work out every price.

    Args:
        config: the VM.
        host: where it runs.
        tlb: whether a split costs the guest a deeper walk on every TLB miss.

    Returns:
        The prices.
    """
    slow, crossing, crowd = placed(config.vcpus, host)
    price = np.zeros(layout.PRICES, dtype=np.int64)
    path = host["path_ps"]
    switch = host["world_switch_ns"] * PS_PER_NS

    def fault(name: str) -> int:
        return int(switch + instructions(config, name) * path)

    def work(name: str) -> int:
        return int(instructions(config, name) * path)

    touch = max(host["read_ns"] * PS_PER_NS, crowd * host["touch_ps"])
    deeper = host["walk_deeper_ns"] * PS_PER_NS if tlb else 0
    price[[layout.READ_4K, layout.WRITE_4K]] = touch
    price[[layout.READ_HUGE, layout.WRITE_HUGE]] = max(touch - deeper, PS_PER_NS)
    price[layout.FAST] = fault("fault_fast")
    price[layout.FIX] = fault("fault_slow")
    price[layout.MAP_4K] = fault("fault_map_4k_of_huge") + work("fault_host_1g")
    price[layout.MAP_HUGE] = fault("fault_map_2m")
    price[layout.SPURIOUS] = fault("fault_fast")
    if config.kernel.fault_splits_in_place and config.mmu in (Mmu.TDP, Mmu.NESTED):
        price[layout.SPLIT_2M] = work("fault_split_2m")
        price[layout.SPLIT_1G] = work("fault_split_1g")
    price[layout.ZAP_2M] = work("fault_zap_2m")
    price[layout.ZAP_1G] = work("fault_zap_1g")
    price[layout.TABLE_LINK] = work("fault_table")
    price[layout.REFILL] = max(work("cache_refill"), 0)
    price[layout.DIRTY_LOGGED] = host["dirty_log_ns"] * PS_PER_NS
    price[layout.PML_FULL] = fault("pml_full")
    price[layout.PML_ENTRY] = work("pml_entry")
    price[layout.LINE] = host["line_ns"] * PS_PER_NS
    price[layout.HANDOFF] = (host["handoff_ns"] + int(crossing * host["cross_ns"])) * PS_PER_NS
    price[layout.FLUSH_BASE] = host["flush_ns"] * PS_PER_NS
    price[layout.FLUSH_VCPU] = host["ack_ns"] * PS_PER_NS
    price[layout.KICK] = host["kick_ns"] * PS_PER_NS
    price[layout.TLBI] = host["tlbi_ns"] * PS_PER_NS
    price[layout.LOCAL_TLBI] = host["local_tlbi_ns"] * PS_PER_NS
    price[layout.USERSPACE] = host["userspace_ns"] * PS_PER_NS
    if config.mmu in (Mmu.DIRECT_SHADOW, Mmu.SHADOW_PAGING, Mmu.NESTED):
        whole = price[layout.MAP_4K]
        hold = host["hold_ns" if config.mmu is Mmu.DIRECT_SHADOW else "hold_paging_ns"] * PS_PER_NS
        price[layout.BEFORE_LOCK] = max(whole - hold, switch)
        price[layout.MAP_4K] = price[layout.FIX] = price[layout.SPURIOUS] = hold
        price[layout.MAP_HUGE] = hold
    return CostTable(price, slow, host, config)


def misses(prices: CostTable, lines: int, footprint_bytes: int) -> int:
    """Time for cache lines that a walk meets again only after the cache has lost them, ps.

    Args:
        prices: of the VM.
        lines: read, or written back.
        footprint_bytes: what the whole walk touches; in a cache of that size nothing is lost.

    Returns:
        0 where it fits; else the share that does not fit is missed.
    """
    cache = prices.host["cache_mib"] << 20
    if footprint_bytes <= cache:
        return 0
    return lines * prices.host["miss_ps"] * (footprint_bytes - cache) // footprint_bytes


def table_lines(leaves: int) -> int:
    """Cache lines that so many neighbouring SPTEs lie in."""
    return -(-leaves // SPTES_PER_LINE)
