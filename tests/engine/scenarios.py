"""Small Scenarios of every kind for tests of the engine."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.choices.scenario import Scenario
from tests.engine.runs import GIB, MIB

KERNELS: Final = ("5.17", "6.1", "6.2", "6.12", "6.18")
MMUS: Final = ("tdp", "direct_shadow", "shadow_paging", "nested", "stage2")
BITMAP_MODES: Final = ("legacy", "manual", "manual_initially_set")
RING_MODES: Final = ("ring", "ring_initially_set")
WITHOUT_EAGER: Final = ("5.17",)
WITH_CHUNKS: Final = ("6.12", "6.18")
HUGE: Final = 2 * MIB

Document = dict[str, Any]


@st.composite
def vms(draw: st.DrawFn) -> Document:
    mmu = draw(st.sampled_from([*MMUS, "tdp", "tdp"]))
    kernel = draw(st.sampled_from(KERNELS))
    vendor = "arm64" if mmu == "stage2" else draw(st.sampled_from(["intel", "amd"]))
    rings = mmu in ("tdp", "direct_shadow") or (mmu == "stage2" and kernel not in ("5.17", "6.1"))
    mode = draw(st.sampled_from([*BITMAP_MODES, *RING_MODES] if rings else BITMAP_MODES))
    vm: Document = {"kernel": kernel, "mmu": mmu, "vendor": vendor, "vcpus": draw(st.integers(1, 5))}
    vm["dirty_log_mode"] = mode
    if mode in RING_MODES:
        vm["ring_entries"] = 1024
    if vendor == "intel" and mmu in ("tdp", "direct_shadow"):
        vm["pml"] = draw(st.booleans())
    if mmu == "stage2":
        vm["split_chunk"] = draw(st.sampled_from([0, HUGE])) if kernel in WITH_CHUNKS else 0
    elif kernel not in WITHOUT_EAGER:
        vm["eager_page_split"] = draw(st.booleans())
    return vm


@st.composite
def workloads(draw: st.DrawFn, *, few: bool, shared: bool) -> Document:
    """What the guest does; `few` accesses where memory is large."""
    patterns = ["uniform_random", "hot_set", "zipf", "strided"]
    pattern = draw(st.sampled_from(patterns if few else [*patterns, "sequential", "sequential", "read_write_mix"]))
    found: Document = {
        "pattern": pattern,
        "write_percent": draw(st.sampled_from([0, 5, 50, 100, 100])),
        "shared": shared,
        "rate_hz": draw(st.sampled_from([0, 0, 10_000_000])),
        "exit_rate_hz": draw(st.sampled_from([0, 0, 100_000])),
        "seed": draw(st.integers(1, 99)),
    }
    if pattern == "strided":
        found["stride"] = PAGE_BYTES * draw(st.sampled_from([1027, 4096] if few else [3, 64, 512]))
    if pattern in ("uniform_random", "hot_set", "zipf"):
        found["accesses"] = 200
    if pattern == "hot_set":
        found |= {"hot_percent": draw(st.sampled_from([1, 10])), "hot_access_percent": draw(st.sampled_from([50, 99]))}
    return found


@st.composite
def slots(draw: st.DrawFn, vcpus: int, *, large: bool, near: bool) -> list[Document]:
    """One to three memslots, `near` each other or not; the second may be unlogged, the third is a ROM."""
    backing = "hugetlb_1g" if large else draw(st.sampled_from(["4k", "hugetlb_2m", "thp"]))
    odd = draw(st.sampled_from([0, 0, 5, 300])) * PAGE_BYTES
    base = draw(st.sampled_from([0, GIB, 4 * GIB]))
    if large:
        first: Document = {"base": base, "size": GIB, "backing": backing}
    else:
        first = {"base": base + odd, "size": HUGE * draw(st.integers(vcpus, 7)), "backing": backing}
        if draw(st.booleans()):  # else the slot lies askew of its host memory, and has no huge pages
            first["hva_offset"] = odd
        if backing == "thp":
            first["host_populated"] = draw(st.booleans())
    found = [first]
    end = int(first["base"] + first["size"])
    if draw(st.booleans()):
        gap = draw(st.sampled_from([0, 3 * PAGE_BYTES, HUGE, *([] if near else [GIB])]))
        size = draw(st.sampled_from([7 * PAGE_BYTES, HUGE + 3 * PAGE_BYTES, 2 * HUGE]))
        second = {"base": end + gap, "size": size, "backing": draw(st.sampled_from(["4k", "thp"]))}
        found.append({**second, "logged": draw(st.booleans())})
        end += gap + size
        if draw(st.booleans()):
            found.append({"base": end, "size": 16 * PAGE_BYTES, "backing": "4k", "read_only": True})
    return found


@st.composite
def live_drivers(draw: st.DrawFn, mode: str) -> Document:
    """Drivers whose guest never stops."""
    lead, tail = draw(st.sampled_from([0, 50_000])), draw(st.sampled_from([0, 150_000]))
    if draw(st.booleans()):
        return {"kind": "enable_only", "lead": lead, "tail": tail}
    driver: Document = {
        "kind": "live_rounds",
        "lead": lead,
        "tail": tail,
        "rounds": draw(st.integers(1, 2)),
        "interval": draw(st.sampled_from([40_000, 150_000])),
        "disable": draw(st.booleans()),
    }
    if mode in ("manual", "manual_initially_set"):
        driver["clear_chunk"] = draw(st.sampled_from([0, 256 << 10, 4 * MIB]))
    return driver


@st.composite
def drivers(draw: st.DrawFn, vm: Document, *, live: bool) -> Document:
    mode, mmu = vm["dirty_log_mode"], vm["mmu"]
    if live:
        driver = draw(live_drivers(mode))
    else:
        kinds = ["dirty_log_perf_test", "dirty_log_perf_test", "without_logging"]
        # A dummy vCPU can fault only where guest memory is mapped directly.
        kind = draw(st.sampled_from([*kinds, "pre_split"] if mmu in ("tdp", "direct_shadow") else kinds))
        driver = {"kind": kind, "iterations": draw(st.integers(1, 2))}
        if kind == "dirty_log_perf_test":
            driver["runs_while_disabling"] = draw(st.booleans())
    if driver["kind"] != "without_logging":
        driver["big_lock"] = draw(st.booleans())
        if mode in RING_MODES:
            driver["reap_interval"] = draw(st.sampled_from([0, 30_000]))
    return driver


@st.composite
def scenarios(draw: st.DrawFn, *, large: bool | None = None, live: bool | None = None, near: bool = False) -> Scenario:
    """A Scenario.

    Args:
        draw: of the strategy.
        large: whether its memory is 1G pages; None for some that are.
        live: whether its guest never stops; None for some that do not.
        near: whether its memslots lie within a few MiB, all in one Focus.
    """
    vm = draw(vms())
    if large is None:
        large = draw(st.sampled_from([False, False, False, True]))
    if live is None:
        live = draw(st.booleans())
    shared = draw(st.booleans())
    workload: Document = draw(workloads(few=large, shared=shared))
    if live and draw(st.integers(0, 4)) == 0:
        phases = [{**workload, "duration": 30_000}, draw(workloads(few=large, shared=draw(st.booleans())))]
        plain = [{name: value for name, value in phase.items() if name != "accesses"} for phase in phases]
        workload = {"pattern": "phases", "phases": plain}
    return Scenario.model_validate(
        {
            "vm": vm,
            "memory": draw(slots(vm["vcpus"], large=large, near=near)),
            "workload": workload,
            "driver": draw(drivers(vm, live=live)),
        }
    )
