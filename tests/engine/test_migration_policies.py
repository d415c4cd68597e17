"""No policy of a migration changes what the guest writes, and every page is sent after its last write."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.qemu.calls import Call, GetDirtyLog, SetMemslot, Steps, StopVm
from mmuviz.engine.qemu.page_set import Pages
from mmuviz.engine.run import run
from mmuviz.mmu.state import I64
from mmuviz.workloads import stream as columns
from tests.engine.migrations import MIB, PAGES, RINGS, SLOW, Migrated, migrated, migration


class Seen:
    """The reported pages, and the position of each vCPU when logging is enabled and when the guest is stopped."""

    def __init__(self) -> None:
        self.reported: set[int] = set()
        self.enabled: list[int] = []
        self.stopped: list[int] = []

    def steps(self, made: Migrated, steps: Steps) -> Steps:
        answer: Any = None
        while True:
            try:
                call: Call = steps.send(answer)
            except StopIteration:
                return
            answer = yield call
            positions = made.session.machine.clock.stream[:, columns.POSITION].tolist()
            if isinstance(call, SetMemslot):
                self.enabled = positions
            if isinstance(call, StopVm):
                self.stopped = positions
            if isinstance(call, GetDirtyLog):
                assert isinstance(answer, Pages)
                self.reported |= set(np.flatnonzero(answer.bits).tolist())

    def rings(self, made: Migrated) -> AbstractContextManager[object]:
        """Note pages that other threads of QEMU harvest: the reaper each second, and a vCPU whose ring is full."""
        ioctls = made.session.ioctls
        collect = ioctls.collect_rings

        def collected(vcpu: int | None = None) -> list[tuple[int, I64]]:
            found = collect(vcpu)
            for _, pages in found:
                self.reported |= set(pages.tolist())
            return found

        return patch.object(ioctls, "collect_rings", collected)


POLICIES: tuple[dict[str, dict[str, Any]], ...] = (
    {"vm": {"dirty_log_mode": "manual"}},
    {"vm": {"dirty_log_mode": "manual", "eager_page_split": False}},
    {"vm": {"dirty_log_mode": "manual", "kernel": "6.1", "eager_page_split": False}},
    {"vm": {"dirty_log_mode": "legacy", "vendor": "intel"}},
    {"vm": {"dirty_log_mode": "manual"}, "driver": {"smm": True, "multifd_channels": 2}},
    {"vm": RINGS},
    {"vm": {**RINGS, "vendor": "intel", "eager_page_split": False}, "driver": {"smm": True}},
    {"vm": RINGS, "driver": {"dirty_limit": MIB, "longest": "8 s"}},
    {"vm": {"dirty_log_mode": "manual"}, "driver": SLOW},
    {"vm": {"dirty_log_mode": "manual"}, "driver": {"postcopy_after": "300 ms"}},
)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(POLICIES), st.integers(0, 99), st.sampled_from([2000, 20_000]))
def test_no_policy_changes_what_the_guest_writes(policy: dict[str, Any], seed: int, rate_hz: int) -> None:
    """The reported pages follow from the workload's rule, up to the position at which each vCPU was stopped."""
    workload = {"rate_hz": rate_hz, "hot_percent": 50, "seed": seed}
    made, seen = migrated(migration(workload=workload, **policy)), Seen()
    with seen.rings(made):
        made.play(lambda steps: seen.steps(made, steps))
    stopped = seen.stopped or made.session.machine.clock.stream[:, columns.POSITION].tolist()
    since_enable, since_lead = made.pages_by_rule(seen.enabled, stopped), made.pages_by_rule([0, 0], stopped)
    if not seen.stopped:  # it was cancelled: what was written since the last sync is not reported
        assert seen.reported <= since_lead
        return
    assert since_enable <= seen.reported <= since_lead


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(POLICIES), st.integers(100, 20_000), st.sampled_from(["thp", "4k"]))
def test_every_page_is_sent_after_its_last_write(policy: dict[str, Any], rate_hz: int, backing: str) -> None:
    """One vCPU writes page after page; the destination has the content of each page when the guest is stopped."""
    parts = {**policy, "vm": {**policy["vm"], "vcpus": 1}, "workload": {"pattern": "sequential", "rate_hz": rate_hz}}
    driver = {"downtime_limit": "3 s", **policy.get("driver", {})}
    made = migrated(migration(memory=[{"size": PAGES * 4096, "backing": backing}], **{**parts, "driver": driver}))
    copy = np.full(PAGES, -1)
    why = made.play(lambda steps: made.copied(steps, copy))
    assert why is None
    assert np.array_equal(copy, made.writes_so_far())


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(POLICIES), st.integers(0, 99), st.sampled_from([2000, 20_000]))
def test_no_page_of_aligned_memslots_is_lost(policy: dict[str, Any], seed: int, rate_hz: int) -> None:
    """Counted here although no mask can reach across a 2M boundary."""
    workload = {"rate_hz": rate_hz, "hot_percent": 50, "seed": seed}
    with patch("mmuviz.engine.sending.can_lose_pages", lambda _: True):
        made = run(migration(workload=workload, **policy))
    ended = made.header.migration
    assert ended is not None
    assert ended.lost_pages == (0 if ended.outcome == "completed" else None)


HEAD: Final = 543
"""Pages of the first memslot: page 1023 of the RAM block is the first page of a 2M region of guest memory."""
STALE: Final = 1023
"""Of the 64 pages that a word of the second memslot stands for, the first 32 are at the end of a 2M region."""


def adjacent(second: int = 5 << 30, **vm: Any) -> Scenario:  # noqa: ANN401  # fields of vm
    """Two memslots of one RAM block that begin 32 pages after 4 GiB and after another place."""
    first, shift = (4 << 30) + 32 * 4096, 32 * 4096
    second += shift
    memory = [
        {"base": first, "size": HEAD * 4096, "backing": "thp", "hva_offset": shift},
        {"base": second, "size": (PAGES - HEAD) * 4096, "backing": "thp", "hva_offset": shift},
    ]
    config = {"vcpus": 1, "vendor": "amd", "dirty_log_mode": "manual_initially_set", **vm}
    parts = {"vm": config, "memory": memory, "workload": {"pattern": "sequential", "rate_hz": 20_000}}
    return migration(**parts, driver={"downtime_limit": "300 ms", "clear_bitmap_shift": 6})


def test_a_gap_between_memslots_needs_no_memory() -> None:
    """A bit for each page of 128 TiB would take 4 GiB."""
    near, far = (run(adjacent(second, kernel="6.1", eager_page_split=False)) for second in (5 << 30, 1 << 46))
    assert far.totals["migration"] == near.totals["migration"]


@pytest.mark.parametrize(
    ("kernel", "eager", "loses"),
    [("6.1", False, True), ("6.12", False, True), ("6.1", True, True), ("6.12", True, False)],
)
def test_pages_that_kvm_loses_are_counted(kernel: str, eager: bool, loses: bool) -> None:  # noqa: FBT001  # a parameter
    """The eager split of 6.8 and later includes the mask's last page, so that no huge page is left writable."""
    made = migrated(adjacent(kernel=kernel, eager_page_split=eager))
    copy = np.full(PAGES, -1)
    why = made.play(lambda steps: made.copied(steps, copy))
    assert why is None
    stale = np.flatnonzero(copy != made.writes_so_far()).tolist()
    (ended,) = made.session.rounds.ended
    assert ended.lost_pages == len(stale)
    assert (STALE in stale) == bool(stale) == loses
