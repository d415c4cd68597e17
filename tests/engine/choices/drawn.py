"""Documents of any Scenario, as a file contains them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Document = dict[str, Any]
SIZES = ("2 MiB", "64 MiB", "1 GiB", "1.5 TiB", 4096 * 1000)
TIMES = ("1 ms", "20 ms", "1.5 s", 1000)
SHARED: Document = {
    "write_percent": st.sampled_from([0, 0.5, 50, 100]),
    "rate_hz": st.sampled_from([0, 1000, 5_000_000]),
    "shared": st.booleans(),
    "seed": st.integers(0, (1 << 31) - 1),
    "exit_rate_hz": st.sampled_from([0, 1000]),
}
PATTERNS: dict[str, Document] = {
    "sequential": SHARED,
    "strided": {**SHARED, "stride": st.sampled_from(["4 KiB", "2 MiB"])},
    "read_write_mix": SHARED,
    "uniform_random": {**SHARED, "accesses": st.integers(0, 1000)},
    "hot_set": {
        **SHARED,
        "hot_percent": st.sampled_from([0, 0.9766, 5, 100]),
        "hot_access_percent": st.sampled_from([0, 99.5, 100]),
        "accesses": st.integers(0, 1000),
    },
    "zipf": {**SHARED, "exponent": st.sampled_from([0, 0.99, 1, 1.2, 4]), "accesses": st.integers(0, 1000)},
    "idle": {},
}
RUNS_ON: dict[str, Document] = {
    "enable_only": {"lead": st.sampled_from(TIMES), "tail": st.sampled_from(TIMES), "big_lock": st.booleans()},
    "live_rounds": {
        "lead": st.sampled_from(TIMES),
        "rounds": st.integers(1, 3),
        "interval": st.sampled_from(TIMES),
        "tail": st.sampled_from(TIMES),
        "disable": st.booleans(),
    },
}
PASSES: dict[str, Document] = {
    "dirty_log_perf_test": {"iterations": st.integers(1, 3), "runs_while_disabling": st.booleans()},
    "without_logging": {"iterations": st.integers(1, 3)},
}


@st.composite
def some(draw: st.DrawFn, fields: Document) -> Document:
    """Any of the fields, each left out or drawn."""
    return {name: draw(values) for name, values in fields.items() if draw(st.booleans())}


@st.composite
def vms(draw: st.DrawFn) -> Document:
    vendor = draw(st.sampled_from(["intel", "amd", "arm64"]))
    kernel = draw(st.sampled_from(["5.15", "5.18", "6.1", "6.2", "6.12", "6.18"]))
    vm: Document = {"vendor": vendor, "kernel": kernel, "vcpus": draw(st.integers(1, 96))}
    modes = ["legacy", "manual", "manual_initially_set"]
    if vendor == "arm64":
        if kernel in ("6.12", "6.18"):
            vm["split_chunk"] = draw(st.sampled_from([0, "2 MiB", "1 GiB"]))
    else:
        vm["mmu"] = draw(st.sampled_from(["tdp", "direct_shadow", "shadow_paging", "nested"]))
        modes += ["ring", "ring_initially_set"]
        if kernel != "5.15" and draw(st.booleans()):
            vm["eager_page_split"] = draw(st.booleans())
        if vendor == "intel" and vm["mmu"] in ("tdp", "direct_shadow") and draw(st.booleans()):
            vm["pml"] = draw(st.booleans())
    vm["dirty_log_mode"] = draw(st.sampled_from(modes))
    if vm["dirty_log_mode"].startswith("ring") and draw(st.booleans()):
        vm["ring_entries"] = draw(st.sampled_from([1024, 4096, 65_536]))
    return vm


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A document that is valid, with any of its fields left out."""
    slot = {
        "backing": st.sampled_from(["4k", "thp", "hugetlb_2m", "hugetlb_1g"]),
        "hva_offset": st.sampled_from([0, "4 KiB", "2 MiB"]),
        "host_populated": st.booleans(),
    }
    memory = [{"size": draw(st.sampled_from(SIZES)), **draw(some(slot))} for _ in range(draw(st.integers(1, 3)))]
    pattern = draw(st.sampled_from(sorted(PATTERNS)))
    workload = {"pattern": pattern, **draw(some(PATTERNS[pattern]))}
    drivers = {**RUNS_ON, **PASSES}
    kind = draw(st.sampled_from(sorted(drivers)))
    if kind in RUNS_ON and draw(st.booleans()):
        first = {"duration": draw(st.sampled_from(TIMES)), "pattern": "idle"}
        plain = [{name: value for name, value in phase.items() if name != "accesses"} for phase in (first, workload)]
        workload = {"pattern": "phases", "phases": plain}
    found: Document = {"memory": memory, "workload": workload, "driver": {"kind": kind, **draw(some(drivers[kind]))}}
    if draw(st.booleans()):
        found["title"] = draw(st.text(max_size=20))
    if draw(st.booleans()):
        found["vm"] = draw(vms())
    if draw(st.booleans()):
        found["host"] = {"overrides": draw(st.sampled_from([{}, {"read_ns": 20}, {"get": 1000}]))}
    return found
