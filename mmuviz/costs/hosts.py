"""Host profiles: the constants that convert counted instructions to time on a host.

A profile is a host with the published tables that were measured on it. Constants that were fitted to these tables are
marked; the others are facts about the hardware or assumptions. No constant is specific to a row of a table, a number of
vCPUs or a share of writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FITTED: Final = "fitted"
ASSUMED: Final = "assumption"
X86: Final = "x86"
ARM64: Final = "arm64"


@dataclass(frozen=True)
class Constant:
    """A constant of a host.

    Attributes:
        name: its name in MEANING.
        unit: ps, ns, percent or a count.
        value: its value in that unit.
        low: lowest plausible value.
        high: highest plausible value.
        basis: "fitted", "assumption", or the address of its source.
        description: the quantity, and the origin of its value.
    """

    name: str
    unit: str
    value: int
    low: int
    high: int
    basis: str
    description: str


# name, unit, low, high, description; the value of each is in a profile.
MEANING: Final[dict[str, tuple[str, int, int, str]]] = {
    "path_ps": ("ps", 80, 600, "an instruction on the fault path: cold code and data, an exit before it"),
    "walk_ps": ("ps", 60, 400, "an instruction of an ioctl that walks tables or bitmaps: a hot loop"),
    "world_switch_ns": ("ns", 200, 2500, "VM exit and entry beyond their instructions"),
    "line_ns": ("ns", 40, 400, "mmu_lock's cache line and the VM's counters at one core for one fault"),
    "hold_ns": ("ns", 100, 1500, "a fault under mmu_lock held for write, uncontended"),
    "hold_paging_ns": ("ns", 100, 1500, "the same where guest page tables are shadowed (ept=N, or an L2)"),
    "handoff_ns": ("ns", 0, 1000, "a lock passes to a waiter on the same socket, where three or more wait"),
    "handoff_few_ns": ("ns", 0, 500, "the same where one or two wait, who watch the lock itself"),
    "cross_ns": ("ns", 0, 1500, "what lock and data cost more when they come from the other socket"),
    "guest_walk_ns": (
        "ns",
        0,
        1000,
        "walking the guest's page tables before mmu_lock (ept=N, or an L2)",
    ),
    "smt_percent": ("percent", 100, 200, "time of a thread whose core's other thread runs too, against alone"),
    "spin_percent": (
        "percent",
        100,
        300,
        "time of an ioctl's instructions while a vCPU spins on the core's other thread; 100 where walk_ps holds it",
    ),
    "read_ns": ("ns", 2, 200, "first access to a 4K page: TLB and cache miss, several under way at once"),
    "touch_ps": ("ps", 100, 5000, "memory bandwidth: a socket serves one such access after the other"),
    "dirty_log_ns": ("ns", 20, 500, "processor sets a dirty bit and writes the PML entry"),
    "page_alloc_ns": (
        "ns",
        100,
        5000,
        "a page of the dirty bitmap, or of userspace's buffer for it, is faulted in, allocated and zeroed",
    ),
    "zero_ps": (
        "ps",
        20_000,
        2_000_000,
        "zeroing a 4K page that the host allocates: the machine's memory zeroes one after the other",
    ),
    "copy_ps": (
        "ps",
        1_000,
        100_000,
        "a GET copies a cache line of the dirty bitmap, which other cores wrote last, to userspace",
    ),
    "miss_ps": (
        "ps",
        2000,
        150000,
        "a cache line of tables or rmap that left the last-level cache: read or written back",
    ),
    "cache_mib": ("MiB", 8, 512, "what a walk may touch without missing the last-level cache"),
    "cpus": ("count", 1, 1024, "hardware threads"),
    "cores": ("count", 1, 1024, "cores"),
    "socket_cores": ("count", 1, 512, "cores that threads fill before they go to another socket"),
    "sockets": ("count", 1, 16, "sockets; the last one takes all cores that are left"),
    "share_ms": ("ms", 0, 5000, "time until the scheduler moves a thread that shares its CPU with a spinning one"),
    "rmap_head_ps": ("ps", 500, 20000, "the shadow MMU walks past one gfn's rmap head"),
    "rmap_arm_ps": ("ps", 5000, 80000, "the shadow MMU arms one 4K SPTE found by its rmap, dirty bit or write access"),
    "rmap_add_ps": ("ps", 1000, 50000, "a split adds one child to its gfn's rmap"),
    "rmap_busy_percent": (
        "percent",
        0,
        100,
        "of rmap_arm_ps and rmap_add_ps, what is instructions and no cache miss",
    ),
    "flush_ns": ("ns", 100, 20000, "a remote TLB flush: the call, before the first acknowledgement"),
    "ack_ns": ("ns", 10, 5000, "a remote TLB flush: each vCPU that acknowledges it"),
    "kick_ns": ("ns", 200, 20000, "a running vCPU is kicked out of the guest and refills its TLB"),
    "tlbi_ns": ("ns", 100, 10000, "arm64: one TLBI broadcast and its DSB; the machine does one at a time"),
    "local_tlbi_ns": ("ns", 20, 2000, "arm64: one TLBI of the own CPU alone, and its DSB"),
    "recover_ns": ("ns", 1000, 100000, "disable makes one huge page again in place, beyond its instructions"),
    "topup_ns": ("ns", 0, 100000, "a call fills VM-wide split caches and frees them again (shadow-eager-v1)"),
    "pre_split_ns": ("ns", 10, 2000, "the pre-split of 2020: one page faulted by a dummy vCPU"),
    "zero_check_ns": ("ns", 20, 1000, "QEMU finds that a page to be sent is not all zeros: cache misses"),
    "zero_page_ns": ("ns", 50, 2000, "QEMU finds that a page to be sent is all zeros: it reads the whole page"),
    "sync_word_ps": (
        "ps",
        500,
        10_000,
        "a sync of userspace looks at 64 pages: once in each bitmap that it got, once in each RAM block",
    ),
    "sync_dirty_ns": ("ns", 10, 500, "the same 64 pages if one was written: atomic operations on userspace's bitmaps"),
    "device_state_ns": (
        "ns",
        2_000_000,
        200_000_000,
        "downtime for the states of all devices: saved, sent and loaded, and the vCPUs started again",
    ),
    "multifd_page_ns": ("ns", 10, 1000, "QEMU's migration thread hands a page to a channel of multifd"),
    "postcopy_fault_ns": (
        "ns",
        20_000,
        2_000_000,
        "post-copy: a fault at the destination, userfaultfd and a round trip, without the page's own time",
    ),
    "send_page_ns": (
        "ns",
        300,
        10000,
        "QEMU's thread copies a 4K page into its socket; 2,500 is 13 Gbit/s",
    ),
    "userspace_ns": ("ns", 500, 100000, "an exit to userspace: two switches, and the handler under its big lock"),
    "walk_deeper_ns": ("ns", 0, 50, "a TLB miss walks one level more below a split huge page"),
    "stlb_entries": (
        "count",
        64,
        8192,
        "second-level TLB of a core: entries for 4K and 2M (Skylake and Cascade Lake; Intel's optimization manual)",
    ),
    "stlb_1g_entries": ("count", 0, 4096, "the same: entries for 1G"),
}
"""Name -> unit, low, high and description of every constant of a profile."""

TYPICAL: Final[dict[str, int]] = {
    "path_ps": 250,
    "walk_ps": 183,
    "world_switch_ns": 540,
    "line_ns": 200,
    "hold_ns": 220,
    "hold_paging_ns": 330,
    "handoff_ns": 420,
    "handoff_few_ns": 180,
    "cross_ns": 660,
    "guest_walk_ns": 200,
    "smt_percent": 150,
    "spin_percent": 100,
    "read_ns": 13,
    "touch_ps": 1160,
    "dirty_log_ns": 200,
    "page_alloc_ns": 900,
    "zero_ps": 457_000,
    "copy_ps": 12_000,
    "miss_ps": 33_800,
    "cache_mib": 64,
    "cpus": 96,
    "cores": 48,
    "socket_cores": 24,
    "sockets": 2,
    "share_ms": 436,
    "rmap_head_ps": 3_000,
    "rmap_arm_ps": 26_700,
    "rmap_add_ps": 11_000,
    "rmap_busy_percent": 25,
    "flush_ns": 2_000,
    "ack_ns": 250,
    "kick_ns": 2_000,
    "tlbi_ns": 1_230,
    "local_tlbi_ns": 100,
    "recover_ns": 20_000,
    "topup_ns": 27_500,
    "pre_split_ns": 440,
    "zero_check_ns": 150,
    "zero_page_ns": 400,
    "sync_word_ps": 2_000,
    "sync_dirty_ns": 40,
    "device_state_ns": 20_000_000,
    "multifd_page_ns": 100,
    "postcopy_fault_ns": 150_000,
    "send_page_ns": 2_500,
    "userspace_ns": 5_000,
    "walk_deeper_ns": 4,
    "stlb_entries": 1_536,
    "stlb_1g_entries": 16,
}


@dataclass(frozen=True)
class HostProfile:
    """A host, and the published tables to which its constants were fitted.

    Attributes:
        name: name of the profile.
        description: the host and the tables.
        fitted: names of the constants that were fitted to the tables; all others are facts or assumptions.
        values: every constant of MEANING.
        rows_used: ids, or beginnings of ids, of the published points that the fit used.
        arch: x86 or arm64.
        extrapolated: whether it is larger than any measured host; `description` names the scaled constants.
    """

    name: str
    description: str
    fitted: tuple[str, ...]
    values: dict[str, int]
    rows_used: tuple[str, ...] = ()
    arch: str = X86
    extrapolated: bool = False

    def __getitem__(self, name: str) -> int:
        """Return the value of a constant."""
        return self.values[name]

    def constants(self) -> list[Constant]:
        """Return all constants, for the ledger."""
        rows = []
        for name, (unit, low, high, description) in MEANING.items():
            basis = FITTED if name in self.fitted else ASSUMED
            rows.append(Constant(name, unit, self.values[name], low, high, basis, description))
        return rows


def _profile(
    name: str, description: str, fitted: dict[str, int], rows: tuple[str, ...], arch: str = X86, **known: int
) -> HostProfile:
    return HostProfile(name, description, tuple(fitted), {**TYPICAL, **known, **fitted}, rows, arch)


FAR_PERCENT: Final = 150
"""Time of cross-socket traffic on eight sockets, in percent of that on two: most sockets are two hops apart."""
SCALED: Final = ("cross_ns", "line_ns", "ack_ns")


def _of_416(profile: HostProfile) -> HostProfile:
    """Scale a profile to 416 hardware threads; no host of this size was measured."""
    description = (
        f"extrapolated: {profile.name} scaled to 416 hardware threads, 208 cores in 8 sockets of 26; nothing of it is "
        "measured. cpus, cores, socket_cores and sockets are that shape, an assumption. cross_ns is half as long "
        "again, since most sockets are two hops apart, an assumption. line_ns is half as long again, since the lock's "
        "cache line makes the same way, an assumption. ack_ns is half as long again, since an acknowledgement does, "
        "an assumption. zero_ps is a quarter, since four times as many sockets have memory, an assumption. "
        "All other constants are those of the host that was measured: an assumption too"
    )
    shape = {"cpus": 416, "cores": 208, "socket_cores": 26, "sockets": 8}
    far = {name: profile[name] * FAR_PERCENT // 100 for name in SCALED}
    far["zero_ps"] = profile["zero_ps"] * profile["sockets"] // shape["sockets"]
    fitted = tuple(name for name in profile.fitted if name not in far)
    values = {**profile.values, **shape, **far}
    return HostProfile(
        f"{profile.name}_416", description, fitted, values, profile.rows_used, profile.arch, extrapolated=True
    )


MEASURED: Final[dict[str, HostProfile]] = {
    each.name: each
    for each in (
        _profile(
            "tdp_eager",
            "host of the TDP MMU's eager split series (Dec 2021); not named there, taken as two sockets, 96 threads",
            {
                "path_ps": 250,
                "world_switch_ns": 540,
                "walk_ps": 183,
                "miss_ps": 33_800,
                "line_ns": 215,
                "page_alloc_ns": 900,
            },
            ("tdp96-initset-iteration1", "tdp96-legacy"),
        ),
        _profile(
            "split_on_fault",
            "host of the split-on-fault commit (Nov 2022); not named there, taken as two sockets, 96 threads",
            {
                "path_ps": 250,
                "world_switch_ns": 540,
                "line_ns": 200,
                "smt_percent": 150,
                "read_ns": 13,
                "touch_ps": 1160,
                "dirty_log_ns": 200,
                "share_ms": 436,
            },
            ("fault-w100", "fault-w5-2v", "fault-w5-16v", "fault-w5-96v"),
        ),
        _profile(
            "shadow_eager",
            "host of the shadow MMU's eager split series v1 and v3 (Feb to Apr 2022); not named there",
            {
                "hold_ns": 220,
                "hold_paging_ns": 350,
                "handoff_ns": 420,
                "cross_ns": 660,
                "rmap_head_ps": 3_000,
                "rmap_arm_ps": 26_700,
                "rmap_add_ps": 11_000,
                "topup_ns": 27_500,
            },
            ("shadow-v3", "shadow-v1-tdpN-iteration1_clear"),
            spin_percent=206,
            cache_mib=512,
        ),
        _profile(
            "nested_eager",
            "host of the nested eager split series v4 to v6 (Apr to May 2022); not named there",
            {
                "hold_paging_ns": 310,
                "rmap_head_ps": 2_500,
                "rmap_arm_ps": 14_600,
                "rmap_add_ps": 9_700,
                "rmap_busy_percent": 25,
                "guest_walk_ns": 200,
                "spin_percent": 206,
                "socket_cores": 10,
            },
            ("nested-v4-w100", "nested-v4-enable", "nested-v4-iteration2"),
            cache_mib=512,
        ),
        _profile(
            "skylake_2021",
            "Intel Skylake of the series on disabling (Nov 2021); taken as two sockets, 96 threads. What zeroing and "
            "GET's copy take was fitted here, and every other profile takes it over",
            {"zero_ps": 457_000, "copy_ps": 12_000, "touch_ps": 2040, "line_ns": 290},
            (
                "gardon21-tdp-populate",
                "gardon21-tdp-iteration2_get",
                "gardon21-tdp-iteration1_dirty",
                "gardon21-tdp-iteration2_dirty",
            ),
        ),
        _profile(
            "ampere_one",
            "AmpereOne, 192 cores without SMT: arm64 eager split, RFC and v1 (Nov 2022 to Jan 2023)",
            {"world_switch_ns": 1300, "path_ps": 500, "tlbi_ns": 1230, "line_ns": 180, "read_ns": 16},
            ("arm-v1",),
            ARM64,
            cpus=192,
            cores=192,
            socket_cores=192,
            smt_percent=100,
            touch_ps=100,
        ),
        _profile(
            "disabling",
            "host of the huge page recovery series (Aug 2024); not named there",
            {"ack_ns": 1240, "recover_ns": 27_200},
            ("disable-disable",),
        ),
        _profile(
            "kunpeng_920",
            "Kunpeng 920, 2.6 GHz: initially-all-set on arm64 (2020)",
            {"walk_ps": 84, "page_alloc_ns": 850, "miss_ps": 8_000},
            ("initset-arm-4K", "initset-arm-2M-before"),
            ARM64,
            cpus=128,
            cores=128,
            socket_cores=64,
        ),
        _profile(
            "xeon_6152",
            "Xeon Gold 6152, 2.1 GHz: initially-all-set on x86 (2020)",
            {"rmap_head_ps": 9_750},
            ("initset-x86-before",),
        ),
        _profile(
            "xeon_6161",
            "Xeon Gold 6161, 2.2 GHz: the pre-split of 2020",
            {"pre_split_ns": 446},
            ("zhou-512G",),
        ),
    )
}
"""The hosts of published tables."""

PROFILES: Final[dict[str, HostProfile]] = MEASURED | {
    each.name: each for each in map(_of_416, (MEASURED["tdp_eager"], MEASURED["split_on_fault"]))
}
"""All profiles, by name; extrapolated ones are marked."""
