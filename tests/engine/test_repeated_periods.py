"""Periods that are run at once: the same as one by one, and only where nothing sets them apart."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.engine import clock as layout
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.clock import Clock, new_clock
from mmuviz.engine.repeated_periods import note_times, period_ps
from mmuviz.workloads import stream as columns
from tests.engine.runs import MIB, differing, one_by_one_without_focus, ran, without_focus

VCPUS: Final = 4
CORES: Final = 2
LENGTH_PS: Final = 700


@st.composite
def guests(draw: st.DrawFn) -> Scenario:
    """Guests whose vCPUs write page after page of their own, as many pages as make long rows of equal periods."""
    vcpus = draw(st.integers(1, 9))
    vm = {
        "kernel": draw(st.sampled_from(["5.17", "6.1", "6.12"])),
        "dirty_log_mode": draw(st.sampled_from(["legacy", "manual", "manual_initially_set"])),
        "vendor": draw(st.sampled_from(["intel", "amd"])),
        "vcpus": vcpus,
    }
    sizes = [2 * MIB * draw(st.integers(vcpus, 3 * vcpus)) + 4096 * draw(st.sampled_from([0, 5, 300]))]
    if draw(st.booleans()):
        sizes.append(draw(st.sampled_from([28672, 6 * MIB])))
    backing = draw(st.sampled_from(["4k", "hugetlb_2m", "thp"]))
    memory = [{"base": at << 30, "size": size, "backing": "thp"} for at, size in enumerate(sizes)]
    memory[0]["backing"] = backing if backing != "hugetlb_2m" or sizes[0] % (2 * MIB) == 0 else "thp"
    memory[0]["host_populated"] = draw(st.booleans()) if memory[0]["backing"] == "thp" else True
    return Scenario.model_validate(
        {
            "vm": vm,
            "memory": memory,
            "workload": {"exit_rate_hz": draw(st.sampled_from([0, 0, 20_000]))},
            "driver": {"kind": "dirty_log_perf_test", "iterations": draw(st.integers(1, 2))},
            "host": {"profile": draw(st.sampled_from(["tdp_eager", "split_on_fault"]))},
        }
    )


@settings(max_examples=25)
@given(guests())
def test_periods_at_once_are_periods_one_by_one(scenario: Scenario) -> None:
    ahead = ran(scenario, prepare=without_focus).recording
    plain = ran(scenario, prepare=one_by_one_without_focus).recording
    assert differing(ahead, plain) == []
    assert ahead.hash == plain.hash


def after_a_period() -> Clock:
    """Four vCPUs on two cores, a period after note_times(): everything is as much later."""
    clock = new_clock(
        np.zeros((VCPUS, columns.COLUMNS), dtype=np.int64),
        np.zeros((1, 2), dtype=np.int64),
        np.zeros(layout.PRICES, dtype=np.int64),
        np.full(VCPUS, layout.FULL_SPEED, dtype=np.int64),
        CORES,
        0,
    )
    clock.heap[:] = np.arange(VCPUS)
    clock.regs[layout.HEAP_SIZE] = VCPUS
    clock.now[:] = [10, 20, 30, 40]
    clock.line_arrival[:] = [12, 25]
    clock.regs[layout.LINE_FREE], clock.regs[layout.LINE_OWNER] = 60, 1
    note_times(clock)
    clock.now[:] += LENGTH_PS
    clock.line_arrival[:] += LENGTH_PS
    clock.regs[layout.LINE_FREE] += LENGTH_PS
    return clock


def test_a_period_is_one_where_everything_is_as_much_later() -> None:
    assert period_ps(after_a_period(), 0) == LENGTH_PS


@pytest.mark.parametrize("vcpu", range(VCPUS))
def test_a_vcpu_that_came_closer_ends_the_repetition(vcpu: int) -> None:
    clock = after_a_period()
    clock.now[vcpu] -= 1
    assert period_ps(clock, 1 if vcpu == 0 else 0) == 0


@pytest.mark.parametrize("core", range(CORES))
def test_a_line_that_comes_later_ends_the_repetition(core: int) -> None:
    clock = after_a_period()
    clock.line_arrival[core] += 1
    assert period_ps(clock, 0) == 0


@pytest.mark.parametrize("entry", [layout.LINE_FREE, layout.LINE_OWNER])
def test_a_line_with_somebody_else_ends_the_repetition(entry: int) -> None:
    clock = after_a_period()
    clock.regs[entry] -= 1
    assert period_ps(clock, 0) == 0
