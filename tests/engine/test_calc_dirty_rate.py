"""calc-dirty-rate as a driver: what it reports is what the guest wrote in its window, and QEMU's figure follows."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.core.errors import InputError
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.exports.dirty_rate_text import dirty_rate_lines, dirty_rate_of
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS

PAGE_BYTES: Final = 4096
MIB: Final = 1 << 20


def measured(rate_hz: int, calc_ms: int = 100, pages: int = 8192, vcpus: int = 2, **vm: Any) -> Recording:  # noqa: ANN401  # fields
    """A guest whose vCPUs write their pages in order, at a rate."""
    document = {
        "vm": {"vcpus": vcpus, "vendor": "amd", **vm},
        "memory": [{"size": pages * PAGE_BYTES}],
        "workload": {"pattern": "sequential", "rate_hz": rate_hz},
        "driver": {"kind": "calc_dirty_rate", "calc_time": calc_ms * 10**6, "lead": 1_000_000},
    }
    return run(Scenario.model_validate(document))


@given(
    st.integers(100, 20_000),
    st.integers(50, 200),
    st.integers(1, 3),
    st.sampled_from(["legacy", "manual", "manual_initially_set"]),
)
def test_different_pages_written_in_the_window_are_reported(rate_hz: int, calc_ms: int, vcpus: int, mode: str) -> None:
    pages = 1536 * vcpus
    found = dirty_rate_of(measured(rate_hz, calc_ms, pages, vcpus, dirty_log_mode=mode))
    # Each vCPU writes its part in order and begins again, so that all writes of one sweep are to different pages.
    writes = rate_hz * calc_ms / 1000
    expected = min(writes, pages // vcpus) * vcpus
    # One more or less at each end of the window; and a stall in the window, or a CLEAR, shifts what falls into it.
    assert found["pages"] == pytest.approx(expected, rel=0.05, abs=2 * vcpus)
    assert found["pages"] <= pages


@given(st.integers(100, 50_000), st.integers(50, 150))
def test_qemu_prints_whole_mib_of_them_a_second_rounded_down(rate_hz: int, calc_ms: int) -> None:
    made = measured(rate_hz, calc_ms)
    found = dirty_rate_of(made)
    gets = (made.calls.kind == CALL_KINDS.index("get")) & (made.calls.iteration == 1)
    assert found["pages"] == made.calls.reported_pages[gets].sum()
    whole_mib = found["pages"] * PAGE_BYTES // MIB
    assert found["qemu_mb_per_s"] == whole_mib * 1000 // (found["window_ns"] // 10**6)
    assert found["window_ns"] // 10**6 == calc_ms
    assert found["pages_per_s"] * found["guest_ns"] == pytest.approx(found["pages"] * 10**9)


def test_the_calls_are_qemus() -> None:
    made = measured(1000)
    kinds = [CALL_KINDS[kind] for kind in made.calls.kind.tolist()]
    ioctls = [kind for kind in kinds if kind in ("enable", "get", "clear", "disable")]
    assert ioctls == ["enable", "get", "clear", "get", "disable"]
    assert np.all(made.bins.dirty_pages[-1:] == 0)


def test_the_text_says_the_rate_and_what_qemu_prints() -> None:
    made = measured(1000)
    lines = dict(dirty_rate_lines(made))
    assert "pages" in lines["Dirty rate"]
    assert f"{dirty_rate_of(made)['qemu_mb_per_s']} MB/s" in lines["  calc-dirty-rate"]


def test_a_ring_is_refused() -> None:
    with pytest.raises(InputError, match="dirty_log_mode=ring; choose"):
        measured(1000, dirty_log_mode="ring")
