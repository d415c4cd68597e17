"""The summary and the comparison: the answers as text, in 80 columns."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.exports.comparison_table import comparison_table
from mmuviz.exports.setup_text import common_text
from mmuviz.exports.summary import summary_of
from mmuviz.exports.tlb_reach import reach_bytes
from mmuviz.recording.recording import Recording
from tests.recording.made_recordings import made_recording, recordings


def spoken(text: str) -> str:
    """The text without its line breaks."""
    return " ".join(text.split())


@settings(max_examples=30)
@given(recordings())
def test_it_is_80_columns_of_plain_text(recording: Recording) -> None:
    for line in summary_of(recording).splitlines():
        assert len(line) <= 80
        assert line.isprintable()


def test_it_answers_what_people_ask() -> None:
    """By hand from the totals of seed 0: 364,297 ns of stall, 126,663 of them for TLB flushes, and so on."""
    text = spoken(summary_of(made_recording()))
    for said in (
        "12 ms of simulated time, 2 vCPUs, 6.39 MiB of guest memory, kernel 6.12, host made",
        "Stall of vCPUs 364 µs in all, worst vCPU 206 µs",
        "a single stall p50 8 ns and p99 108 µs of faults, longest of any cause 108 µs",
        "tlb flush 127 µs (34.8%)",
        "Slower writes 121 µs more in writes that the processor logs by itself (PML); no stall",
        "GET 2 581 µs 565 µs 283 µs",
        "2.32 MiB added at the most since logging was enabled (36.2% of guest memory)",
        "11 not present, 13 fast_page_fault(), 15 write-protected, slow path, 12 spurious",
        "305 at enable, 320 in CLEAR, 304 in faults, 333 in pre-split",
        "Guest progress 51,000 accesses, 4.25 million/s",
        "Times modelled on a host that is made up.",
    ):
        assert said in text


def test_it_says_what_was_run() -> None:
    vm = {"vendor": "intel", "mmu": "tdp", "pml": False, "dirty_log_mode": "manual", "eager_page_split": True}
    scenario = {"vm": vm, "memory": [{}, {}], "workload": {"pattern": "zipf"}, "driver": {"kind": "live_rounds"}}
    text = spoken(summary_of(made_recording(scenario=scenario)))
    assert "6.39 MiB of guest memory in 2 memslots, kernel 6.12, intel without PML, MMU tdp, manual, eager" in text
    assert "eager splitting, workload zipf, driver live_rounds, host made" in text
    arm64 = {"vendor": "arm64", "mmu": "stage2", "split_chunk": 2 << 20, "eager_page_split": False}
    assert "arm64, MMU stage2, eager splitting by 2 MiB, host made" in spoken(
        summary_of(made_recording(scenario={"vm": arm64}))
    )


def test_what_runs_have_in_common() -> None:
    made = [made_recording(scenario={"vm": {"eager_page_split": eager}}) for eager in (False, True)]
    assert common_text(made) == ["2 vCPUs", "6.39 MiB of guest memory", "kernel 6.12", "host made"]
    assert "lazy splitting" in common_text(made[:1])


def test_progress_is_compared_with_a_guest_without_logging() -> None:
    """51,000 accesses against 50,000 in the same time."""
    plain = made_recording(2)
    assert plain.totals["accesses"] == 50_000
    assert "102% of the 4.17 million/s without logging" in spoken(summary_of(made_recording(), plain))


@pytest.mark.parametrize(
    ("leaves", "reach"),
    [
        ({"4k": 10, "2m": 0, "1g": 0}, 10 << 12),
        ({"4k": 9999, "2m": 0, "1g": 0}, 1536 << 12),
        ({"4k": 9999, "2m": 1000, "1g": 0}, (1000 << 21) + (536 << 12)),
        ({"4k": 9999, "2m": 9999, "1g": 99}, (1536 << 21) + (16 << 30)),
    ],
)
def test_reach_of_the_tlb(leaves: dict[str, int], reach: int) -> None:
    assert reach_bytes(leaves, 1536, 16) == reach


@settings(max_examples=20)
@given(st.lists(recordings(), min_size=1, max_size=4))
def test_four_variants_fit_in_80_columns(made: list[Recording]) -> None:
    labels = [f"a label that is longer than its column {place}" for place in range(len(made))]
    for line in comparison_table(made, labels).splitlines():
        assert len(line) <= 80
        assert line.isprintable()
        assert line == line.rstrip()


def test_differences_are_against_the_first() -> None:
    """364,297 ns against 347,141 is 5 % less; the same run has no difference."""
    made = [made_recording(), made_recording(2), made_recording()]
    lines = {line[:20].strip(): line[20:].split() for line in comparison_table(made, ["lazy", "b", "c"]).splitlines()}
    assert lines["stall, all vCPUs"] == ["364", "µs", "347", "µs", "-5%", "364", "µs"]
    assert lines["userspace lock"][2:5] == ["11.5", "µs", "x20"]


def test_who_is_best_is_said() -> None:
    made = [made_recording(), made_recording(2), made_recording()]
    text = comparison_table(made, ["lazy", "eager", "again"])
    assert "Least stall of all vCPUs: eager (347 µs)" in text
    assert "Most guest progress: lazy, again (4.25 million/s)" in text
    assert "Least page-table memory added: all the same (2.32 MiB)" in text
