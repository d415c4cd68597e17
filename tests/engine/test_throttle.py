"""Sleeps of vCPUs in any run: neither lookahead nor stops of the engine change them, and they do not overlap."""

from __future__ import annotations

from hypothesis import given, settings

from mmuviz.engine import clock as layout
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.session import Session
from tests.engine.runs import Prepare, differing, one_by_one, ran
from tests.engine.scenarios import scenarios
from tests.engine.test_bins import OF_BINS, check_shares, with_bins

PS_PER_US = 10**6
FIRST, SLEEP, PERIOD = 20 * PS_PER_US, 15 * PS_PER_US, 40 * PS_PER_US
"""Far shorter than QEMU's, so that short runs have many."""


def with_sleeps(*others: Prepare) -> Prepare:
    """All vCPUs are asked to sleep every 40 us from time 20 us on."""

    def prepare(session: Session) -> None:
        begin = session.begin_clock

        def begin_throttled() -> None:
            begin()
            regs = session.machine.clock.regs
            regs[layout.THROTTLE_AT], regs[layout.THROTTLE_SLEEP], regs[layout.THROTTLE_PERIOD] = FIRST, SLEEP, PERIOD

        session.begin_clock = begin_throttled  # type: ignore[method-assign]  # throttled from the start
        for each in others:
            each(session)

    return prepare


@settings(max_examples=25)
@given(scenarios(large=False))
def test_lookahead_changes_nothing_of_a_run_with_sleeps(scenario: Scenario) -> None:
    fast, slow = ran(scenario, prepare=with_sleeps()), ran(scenario, prepare=with_sleeps(one_by_one))
    assert differing(fast.recording, slow.recording) == []


@settings(max_examples=15)
@given(scenarios(large=False))
def test_bins_change_nothing_of_a_run_with_sleeps(scenario: Scenario) -> None:
    narrow = ran(scenario, prepare=with_sleeps()).recording
    shift = narrow.header.bin_ps.bit_length()
    wide = ran(scenario, prepare=with_sleeps(with_bins(shift))).recording
    assert differing(narrow, wide, OF_BINS) == []
    for made in (narrow, wide):
        assert made.bins.throttled_ps.sum() == made.vcpus.throttled_ps.sum()
        check_shares(made)


@settings(max_examples=15)
@given(scenarios(large=False))
def test_no_vcpu_sleeps_longer_than_requested(scenario: Scenario) -> None:
    """A sleep that begins late, after a fault, ends late, and then the next time is passed over."""
    made = ran(scenario, prepare=with_sleeps()).recording
    end_ps = made.header.end_ps
    most = max(end_ps - FIRST + PERIOD, 0) // PERIOD * SLEEP + SLEEP
    assert (made.vcpus.throttled_ps <= most).all()
    assert (made.vcpus.throttled_ps >= 0).all()
