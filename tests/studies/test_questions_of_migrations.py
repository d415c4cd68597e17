"""Questions that people asked in public about syncs and whole migrations: each gets its right answer.

As in test_questions.py, expected values are rules of KVM and QEMU and published figures, never the model's own.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.exports.advice_text import price_text
from mmuviz.exports.tlb_reach import reach_bytes
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import SIZES
from mmuviz.studies.convergence import converges, leftover_of
from mmuviz.studies.overrides import overridden
from mmuviz.studies.remedies import AUTO_CONVERGE, BANDWIDTH, DOWNTIME_LIMIT, MULTIFD, POSTCOPY
from mmuviz.studies.smaller_guest import smaller as divided
from tests.studies.question_runs import answers, calls_of, changed, ioctl, scenarios, smaller
from tests.studies.test_remedies import found_by

GIB = 1 << 30
PAGES_A_GIB = GIB // 4096
RESERVED = 64
"""Entries of a ring that KVM keeps free for a vCPU; with PML 512 more. virt/kvm/dirty_ring.c"""


def test_13_clear_takes_about_40_percent_less_from_6_4_on() -> None:
    """To arm an entry took about 55 ns before 6.4, and 40 % less from then on: 14 and 9 ms a GiB."""
    before, after = smaller("clear-160-gib", memory=[{"size": "16 GiB", "backing": "hugetlb_1g"}])
    ms_a_gib = [ioctl(made, "clear")["total_ns"] / 16e6 for made in (before, after)]
    assert ms_a_gib[1] / ms_a_gib[0] == pytest.approx(0.6, abs=0.05)
    assert ms_a_gib == pytest.approx([PAGES_A_GIB * 55e-6, 0.6 * PAGES_A_GIB * 55e-6], rel=0.15)
    for made, ms in zip((before, after), ms_a_gib, strict=True):
        assert 1 < 160 * ms / 1000 < 10, "seconds for 160 GiB"
        assert ioctl(made, "clear")["longest_hold_ns"] > 0.99 * ioctl(made, "clear")["longest_ns"]


@pytest.mark.parametrize("kernel", ["6.1", "6.2", "6.4"])
def test_13_every_vcpu_whose_fault_needs_the_lock_waits_for_the_clear(kernel: str) -> None:
    """Lazily, faults of pages that are not mapped (6.1) or not split yet (6.2 on) take mmu_lock for read."""
    driver = {"kind": "live_rounds", "lead": "20 ms", "rounds": 2, "interval": "300 ms", "tail": "100 ms"}
    made = changed(
        scenarios("clear-160-gib")[0],
        vm__kernel=kernel,
        vm__eager_page_split=False,
        memory=[{"size": "64 GiB", "backing": "hugetlb_1g"}],
        workload={"pattern": "uniform_random", "rate_hz": 30_000},
        driver=driver,
    )
    clear = ioctl(made, "clear")
    assert clear["longest_hold_ns"] > 5e6
    assert clear["longest_hold_ns"] * 0.95 < made.totals["stall_max_ns"] < clear["longest_hold_ns"] * 1.05
    for wait_ps in made.vcpus.stall_lock_wait_ps.tolist():
        assert wait_ps > 900 * clear["longest_hold_ns"], "less than a tenth of it passed before its next such fault"


def test_14_a_manual_get_copies_and_a_legacy_get_protects_as_well() -> None:
    manual, legacy, ring = smaller("sync-of-1-tib", memory=[{"size": "64 GiB", "backing": "hugetlb_1g"}])
    assert ioctl(legacy, "get")["total_ns"] > ioctl(manual, "get")["total_ns"]
    assert ioctl(manual, "get")["longest_hold_ns"] == 0
    assert ioctl(legacy, "get")["longest_hold_ns"] > 0.98 * ioctl(legacy, "get")["longest_ns"]
    assert ioctl(ring, "get")["calls"] == 0
    # KVM keeps each bitmap twice, a bit a page each: 32 MiB a TiB are copied.
    assert manual.totals["memory_bytes"]["bitmaps"] * 1024 // 64 == 2 * (32 << 20)
    assert ring.totals["memory_bytes"]["bitmaps"] == 0
    assert ring.totals["memory_bytes"]["rings"] == 8 * 4096 * 16


def test_14_a_bitmap_costs_by_the_guest_and_a_ring_by_what_was_written() -> None:
    guest, twice = (
        smaller("sync-of-1-tib", memory=[{"size": size, "backing": "hugetlb_1g"}]) for size in ("64 GiB", "128 GiB")
    )
    assert ioctl(twice[0], "get")["total_ns"] == pytest.approx(2 * ioctl(guest[0], "get")["total_ns"], rel=0.05)
    assert ioctl(twice[2], "reset")["total_ns"] == pytest.approx(ioctl(guest[2], "reset")["total_ns"], rel=0.05)
    half = changed(scenarios("sync-of-1-tib")[2], memory=[{"size": "64 GiB"}], workload__rate_hz=25_000)
    written = [made.totals["dirty_reported_pages"] for made in (half, guest[2])]
    assert written[0] / written[1] == pytest.approx(0.5, abs=0.06)
    resets = [ioctl(made, "reset")["total_ns"] for made in (half, guest[2])]
    assert resets[0] / resets[1] == pytest.approx(written[0] / written[1], rel=0.05)


def test_14_a_full_ring_has_all_but_the_reserved_entries() -> None:
    """50,000 writes a second and vCPU fill 4,096 entries again and again, and 65,536 not once."""
    memory = [{"size": "64 GiB", "backing": "hugetlb_1g"}]
    small, large = (
        changed(scenarios("sync-of-1-tib")[2], memory=memory, vm__ring_entries=entries) for entries in (4096, 65536)
    )
    fulls = int(small.bins.ring_full_exits.sum())
    assert int(large.bins.ring_full_exits.sum()) == 0
    assert ioctl(large, "reset")["calls"] == 2
    room = 4096 - RESERVED
    assert 8 * room * 0.9 < max(calls_of(small, "reset")["reported_pages"]) <= 8 * room
    # The first vCPU whose ring is full has all rings harvested; so do the two rounds.
    assert fulls == pytest.approx(small.totals["dirty_reported_pages"] / (8 * room) - 2, abs=2)
    assert small.totals["stall_ns"]["ring_full"] > 0 == large.totals["stall_ns"]["ring_full"]


def test_14_a_legacy_get_of_all_that_was_written_takes_hundreds_of_ms() -> None:
    """Of 1000 GB it says "several hundred ms to a few seconds": so it is where 16 GiB of it, or more, were written."""
    driver = {"kind": "dirty_log_perf_test", "iterations": 1}
    memory = [{"size": "16 GiB", "backing": "hugetlb_1g"}]
    made = changed(scenarios("sync-of-1-tib")[1], memory=memory, workload={"pattern": "sequential"}, driver=driver)
    assert made.totals["dirty_reported_pages"] == 16 * PAGES_A_GIB
    assert 0.1 < ioctl(made, "get")["longest_hold_ns"] / 1e9 < 1


def test_16_what_is_left_stays_over_bandwidth_times_downtime_limit() -> None:
    short, long = answers("never-converges")
    assert not converges(short)
    left = leftover_of(short)
    assert left.left_bytes / GIB == pytest.approx(5.4, rel=0.05), "nine tenths of 6 GiB after each pass"
    assert left.may_bytes / GIB == pytest.approx(1.85 * 0.3, rel=0.05)
    # So it is at every sync behind a pass, not at the last one alone.
    rounds = short.rounds
    assert len(rounds.remaining_pages) == 5
    assert np.all(rounds.remaining_pages[1:] * 4096 / GIB == pytest.approx(5.4, rel=0.05))
    assert np.all(rounds.threshold_bytes / GIB == pytest.approx(1.85 * 0.3, rel=0.05))
    assert converges(long)
    # The rest is sent while the guest stands still: 5.4 GiB at 1.85 GiB/s, and the states of its devices.
    assert long.totals["migration"]["downtime_ns"] / 1e9 == pytest.approx(5.4 / 1.85, rel=0.15)


def test_16_each_change_that_helps_has_its_price() -> None:
    """The same with 1/16 of the memory and of the limit, so that a pass leaves as many times what may be left."""
    part = divided(scenarios("never-converges")[0], 16)
    assert part is not None
    scenario = Scenario.model_validate(overridden(part.given(), {"workload.rate_hz": 500_000}))
    made = run(scenario)
    left = leftover_of(made)
    assert not converges(made)
    assert left.left_bytes / left.may_bytes == pytest.approx(5.4 / (1.85 * 0.3), rel=0.1)
    helps = found_by(scenario, made)
    assert set(helps) >= {DOWNTIME_LIMIT, AUTO_CONVERGE, POSTCOPY}
    assert {BANDWIDTH, MULTIFD} & set(helps)
    # 5.4/16 GiB at 1.85 GiB/s take 0.18 s, and a limit of 0.3 s is the smallest that is tried.
    assert helps[DOWNTIME_LIMIT].works
    assert helps[DOWNTIME_LIMIT].change == "300 ms"
    assert helps[POSTCOPY].works
    for name, each in helps.items():
        assert each.recording is not None or each.why
        if each.works:
            assert each.recording is not None
            assert converges(each.recording) or name == POSTCOPY
            assert price_text(name, each.recording), name


def test_17_a_ring_costs_by_what_is_written_and_a_bitmap_by_the_guest() -> None:
    def syncs(rate_hz: int) -> tuple[int, int]:
        ring, _, bitmap, _ = smaller("ring-or-bitmap", workload__rate_hz=rate_hz)
        return ioctl(ring, "reset")["total_ns"], ioctl(bitmap, "get")["total_ns"] + ioctl(bitmap, "clear")["total_ns"]

    few, many = syncs(1000), syncs(200_000)
    assert few[0] < few[1], "few writes: the ring is shorter"
    assert many[0] > many[1], "many: the bitmap is; they cross in between"
    ring = answers("ring-or-bitmap")[0]
    assert int(ring.bins.ring_full_exits.sum()) > 0
    assert all(int(made.bins.ring_full_exits.sum()) == 0 for made in answers("ring-or-bitmap")[2:])


MIGRATED = {"memory": [{"size": "12 GiB", "backing": "thp"}], "driver__downtime_limit": "150 ms"}
"""Half the guest of 24 GiB, and half of its limit: a pass takes half as long, and writes each page as often."""


def test_17_at_800_mb_s_a_bitmap_migrates_faster() -> None:
    """24 GiB at 800 MB/s of random writes took 73 s by ring and 55 s by bitmap (ring-24G, bitmap-24G)."""
    ring, bitmap, _ = (changed(each, **MIGRATED) for each in scenarios("ring-or-bitmap-migration"))
    assert converges(ring)
    assert converges(bitmap)
    took = [made.totals["migration"]["total_ns"] for made in (ring, bitmap)]
    assert took[0] / took[1] == pytest.approx(73 / 55, rel=0.1)
    assert int(ring.bins.ring_full_exits.sum()) > 0
    # A ring reports what was written before it was sent; a CLEAR just before sending spares that.
    assert ring.totals["migration"]["resent_pages"] > bitmap.totals["migration"]["resent_pages"] * 1.2


def test_17_a_ring_is_no_slower_until_it_is_full_before_it_is_harvested() -> None:
    """QEMU harvests every second, so rings fill from as many writes a second and vCPU as they have room: 3,520."""
    room = 4096 - RESERVED - 512
    for rate_hz, full in ((room // 2, False), (2 * room, True)):
        runs = [changed(each, workload__rate_hz=rate_hz, **MIGRATED) for each in scenarios("ring-or-bitmap-migration")]
        ring, _, legacy = runs
        assert (int(ring.bins.ring_full_exits.sum()) > 0) == full
        took = [made.totals["migration"]["total_ns"] for made in runs]
        assert 1 <= took[0] / took[1] < (1.15 if full else 1.03), "bits all set initially are never slower here"
        # The legacy log reports the same pages as a ring: only their cost differs.
        assert took[0] / took[2] == pytest.approx(1, abs=0.02)
        ring_stall, legacy_stall = (made.totals["stall_total_ns"] for made in (ring, legacy))
        assert (ring_stall > legacy_stall) == full, "they cross where rings begin to be full"


def test_21_on_kernels_that_zap_each_page_faults_again_and_is_sent_again() -> None:
    """A zapped huge page leaves one 4K page mapped; each other one faults once, reads too, and is dirty then."""
    large, middle, small, splits = answers("huge-or-small-backing")
    pages = 2 * PAGES_A_GIB
    assert (large.totals["zaps"], middle.totals["zaps"], small.totals["zaps"], splits.totals["zaps"]) == (2, 1024, 0, 0)
    not_present = [made.totals["faults"]["not_present"] for made in answers("huge-or-small-backing")]
    assert not_present == [pages - 2, pages - 1024, 0, 0]
    # A pass takes 1.7 s, in which 4 million accesses a second touch each page some ten times, one in a hundred writing.
    written = pages * (1 - math.exp(-0.01 * 4e6 * 1.73 / pages))
    for made in (small, splits):
        assert made.totals["migration"]["resent_pages"] < written
    for made in (large, middle):
        assert made.totals["migration"]["resent_pages"] > 0.9 * pages
    # So that all of memory is sent twice, over a link that sends it in 1.72 s.
    took = [made.totals["migration"]["total_ns"] / 1e9 for made in answers("huge-or-small-backing")]
    once = 2 * GIB / 1.25e9
    assert took[0] > 2 * once
    assert 2 * once * 0.95 < took[1] < 2.4 * once
    assert took[2] == pytest.approx(took[3], rel=0.05)
    assert once < took[2] < 1.2 * once


def test_21_the_further_stalls_last_until_all_is_touched_again() -> None:
    """Of n pages touched at random 99 % were touched after n * ln(100) accesses."""
    large, _, small, splits = answers("huge-or-small-backing")
    assert large.totals["stall_ns"]["exit_and_fault"] > 10 * small.totals["stall_ns"]["exit_and_fault"]
    assert splits.totals["stall_total_ns"] < 3 * small.totals["stall_total_ns"], "split in place, only writes fault"
    # The second GiB is zapped last, and two vCPUs, each with half of it, make a million accesses a second.
    begun = np.flatnonzero(large.bins.zaps)[-1]
    after = np.cumsum(large.bins.faults_not_present[begun:])
    lasted = int(np.searchsorted(after, 0.99 * after[-1])) * large.header.bin_ps / 1e12
    expected = PAGES_A_GIB / 2 * math.log(100) / 1e6
    assert 0.9 * expected < lasted < 1.1 * expected + large.totals["stall_worst_vcpu_ns"] / 1e9


def test_22_a_smaller_chunk_is_a_shorter_clear_and_more_calls() -> None:
    small, large = smaller("clear-in-chunks", memory=[{"size": "8 GiB", "backing": "hugetlb_1g"}])
    assert ioctl(small, "clear")["calls"] == 2 * 8
    assert ioctl(small, "clear")["longest_ns"] < ioctl(large, "clear")["longest_ns"]


def test_22_a_clear_is_as_long_as_its_chunk_is_large() -> None:
    """Its first CLEAR splits a chunk: 16 times as much in 1 GiB as in 64 MiB, and four times as much in 4 GiB."""
    runs = answers("clear-bitmap-shift")
    longest = [ioctl(made, "clear")["longest_ns"] for made in runs]
    assert longest[2] / longest[1] == pytest.approx(16, rel=0.1)
    assert longest[3] / longest[2] == pytest.approx(4, rel=0.1)
    assert longest[1] / longest[0] < 32, "a chunk of 2 MiB also takes what every call takes"
    # Splitting takes 9 to 20 ms a GiB, by host.
    assert 8e6 < longest[2] < 20e6
    assert all(made.totals["splits"]["clear"] == 4 * 513 for made in runs), "the same work"


def test_22_there_is_a_call_for_each_chunk_that_is_sent_from() -> None:
    """QEMU clears a chunk before it sends its first page, at most once between two syncs."""
    for made, shift in zip(answers("clear-bitmap-shift"), (9, 14, 18, 20), strict=True):
        chunks = 4 * PAGES_A_GIB >> shift
        iterations = calls_of(made, "clear")["iteration"]
        calls = [iterations.count(each) for each in sorted(set(iterations))]
        assert max(calls) <= chunks
        # The first pass begins with all memory to be sent, of which up to 300 ms of the link may be left.
        assert calls[0] >= math.floor(chunks * (1 - 0.3 * 25e9 / 8 / (4 * GIB)))
        # Each that changed something flushes the TLBs of all vCPUs once.
        assert sum(calls_of(made, "clear")["tlb_flushes"]) <= ioctl(made, "clear")["calls"]
    flushed = [made.totals["stall_ns"]["tlb_flush"] for made in answers("clear-bitmap-shift")]
    assert flushed == sorted(flushed, reverse=True)
    assert flushed[0] > 100 * flushed[3]


def test_23_a_guest_whose_logging_stays_on_is_mapped_by_4k_and_slower() -> None:
    logged, plain = answers("after-a-failed-migration")
    assert logged.totals["leaves"] == {"4k": 4 * PAGES_A_GIB, "2m": 0, "1g": 0}
    assert plain.totals["leaves"]["4k"] == 0
    assert logged.totals["accesses"] / logged.totals["end_ns"] < plain.totals["accesses"] / plain.totals["end_ns"]

    def reach(made: Recording) -> int:
        host, last = made.header.host, {size: int(made.bins[f"pages_{size}"][-1]) for size in SIZES}
        return reach_bytes(last, host.stlb_entries, host.stlb_1g_entries)

    assert reach(logged) * 512 == reach(plain), "each entry maps 4K and not 2M"
    # And every first write behind a GET faults: about half of the accesses to 4 GiB write.
    assert logged.totals["faults"]["fast"] > 4 * PAGES_A_GIB
    assert not any(plain.totals["faults"][path] for path in ("fast", "slow_protected", "spurious"))


def test_23_with_logging_disabled_huge_pages_return_when_they_are_touched() -> None:
    """6.12 zaps the 1G pages, and each is faulted in again; 6.18 makes them again in place, and nothing faults."""
    zaps, recovers = answers("disable-and-recover")
    populated = 16
    assert calls_of(zaps, "disable")["zaps"] == [16]
    assert zaps.totals["faults"]["not_present"] == populated + 16
    assert recovers.totals["faults"]["not_present"] == populated
    for made in (zaps, recovers):
        assert made.totals["leaves"] == {"4k": 0, "2m": 0, "1g": 16}
