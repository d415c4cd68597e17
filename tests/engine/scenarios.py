"""Small scenarios of every kind for tests of the engine."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mmuviz.engine.scenario import Driver, Scenario
from mmuviz.ground.pages import PAGES_PER_2M
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, Mmu, VmConfig
from mmuviz.mmu.features import features_of
from mmuviz.workloads.pattern import Pattern
from mmuviz.workloads.sequential import Sequential
from mmuviz.workloads.strided import Strided
from mmuviz.workloads.uniform_random import UniformRandom

MODES = (DirtyLogMode.LEGACY, DirtyLogMode.MANUAL, DirtyLogMode.MANUAL_INITIALLY_SET)
RING_ENTRIES = 1024


@st.composite
def workloads(draw: st.DrawFn, *, shared: bool | None = None) -> Pattern:
    kind = draw(st.sampled_from([Sequential, Strided, UniformRandom]))
    fields: dict[str, Any] = {
        "write_permille": draw(st.sampled_from([0, 50, 500, 1000])),
        "shared": draw(st.booleans()) if shared is None else shared,
        "rate_hz": draw(st.sampled_from([0, 0, 10_000_000])),
        "exit_rate_hz": draw(st.sampled_from([0, 0, 100_000])),
        "seed": draw(st.integers(1, 99)),
    }
    if kind is Strided:
        return Strided(stride_pages=draw(st.sampled_from([3, 64, 512])), **fields)
    if kind is UniformRandom:
        return UniformRandom(per_pass=200, **fields)
    return Sequential(**fields)


@st.composite
def scenarios(draw: st.DrawFn, *, shared: bool | None = None) -> Scenario:
    mmu = draw(st.sampled_from(Mmu))
    kernel = features_of(draw(st.sampled_from(["5.17", "6.1", "6.2", "6.12", "6.18"])))
    eager = kernel.eager_page_split and mmu is not Mmu.STAGE2 and draw(st.booleans())
    vcpus = draw(st.integers(1, 5))
    chunk = PAGES_PER_2M * 4096 if mmu is Mmu.STAGE2 and kernel.arm64_eager_page_split and draw(st.booleans()) else 0
    rings = mmu in (Mmu.TDP, Mmu.DIRECT_SHADOW)
    mode = draw(st.sampled_from([*MODES, DirtyLogMode.RING] if rings else MODES))
    vm = VmConfig(
        kernel,
        mode,
        ring_entries=RING_ENTRIES if mode.ring else None,
        eager_page_split=eager,
        mmu=mmu,
        vcpus=vcpus,
        pml=mmu not in (Mmu.STAGE2, Mmu.SHADOW_PAGING) and draw(st.booleans()),
        split_chunk_bytes=chunk,
    )
    # A dummy vCPU can fault only where guest memory is mapped directly.
    drivers = list(Driver) if mmu in (Mmu.TDP, Mmu.DIRECT_SHADOW) else [Driver.ENABLE_ONLY, Driver.WITHOUT_LOGGING]
    driver = draw(st.sampled_from([Driver.DIRTY_LOG_PERF_TEST, *drivers]))
    backing = draw(st.sampled_from([Backing.PAGES_4K, Backing.HUGETLB_2M]))
    slot = Memslot(0, PAGES_PER_2M * draw(st.integers(vcpus, 8)), backing)
    return Scenario(
        vm,
        slot,
        draw(workloads(shared=shared)),
        iterations=draw(st.integers(1, 2)),
        runs_while_disabling=draw(st.booleans()),
        driver=driver,
        lead_ms=draw(st.integers(0, 1)),
        tail_ms=draw(st.integers(0, 1)),
        big_lock=draw(st.booleans()),
    )
