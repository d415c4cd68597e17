"""Every number of the cost model has a parent, a unit and a range; a release takes it from the right kernel."""

from __future__ import annotations

import io
import json

import pytest

from mmuviz.cli import main
from mmuviz.costs import recipe
from mmuviz.costs.counted import AUTO, COUNTED_KERNELS, MITIGATIONS, OFF, Counts, NotCounted, Release, document, rows_of
from mmuviz.costs.estimate import ASSUMPTION, Estimate, assumption
from mmuviz.costs.hosts import MEANING, PROFILES
from mmuviz.costs.ledger import COSTS, ORIGIN, Entry, lookup, rows, stand_in
from mmuviz.costs.listing import costs_command
from mmuviz.mmu.features import CHANGES

ENTRIES = [entry for mitigations in MITIGATIONS for entry in rows(mitigations).values()]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.name}-{entry.kernel[1]}-{entry.mitigations}")
def test_an_entry_is_whole(entry: Entry) -> None:
    assert entry.unit.startswith("instructions/")
    assert entry.description
    assert entry.low <= entry.value <= entry.high
    assert entry.low >= 0 or entry.value < 0
    assert ASSUMPTION in entry.source or entry.source.startswith(f"{ORIGIN}: ")
    assert bool(entry.derived) == (ASSUMPTION in entry.source)
    assert entry.hundredths == round(entry.value * 100)


def test_a_source_names_rows_that_are_there() -> None:
    for entry in ENTRIES:
        for part in entry.source.split("; "):
            if part != ASSUMPTION:
                for label in part.removeprefix(f"{ORIGIN}: ").split(", "):
                    assert label in rows_of((6, 1), OFF)
                    assert label in document()["labels"]


def test_no_counted_label_is_idle() -> None:
    # The rest is there to audit: runs that only the tests hold against our machine, and runs of one bitmap word.
    used = {
        label for entry in ENTRIES for label in entry.source.replace(f"{ORIGIN}: ", "").replace(";", ",").split(", ")
    }
    assert len(set(document()["labels"]) - used) < len(document()["labels"]) / 2


def test_names_are_unique_and_few_cost_less_than_nothing() -> None:
    assert len(COSTS) == len({cost.name for cost in COSTS.values()})
    below = {entry.name for entry in rows(OFF).values() if entry.value < 0}
    # Differences between two counted paths, not paths.
    assert below == {"fault_host_1g", "collapse_host_1g", "zap_host_lru"}


def test_what_was_counted_stands_in_the_ledger() -> None:
    # By hand from the file: one size of the plain guest loop less its 7, and 16 fast faults less one KVM_RUN.
    assert lookup("run", (6, 1)).value == 2760 - 7
    assert lookup("fault_fast", (6, 1)).value == pytest.approx((26417 - 2753) / 16 - 7, abs=0.05)
    assert lookup("get_copy_word", (6, 12)).value == (5193 - 1105) / (4096 - 8)
    assert lookup("cache_refill", (6, 12)).value == 72630 / 36
    assert lookup("split_clear_1g", (6, 18)).value == 66318 - 40111


@pytest.mark.parametrize(
    ("name", "release", "kernel"),
    [
        ("run", (6, 1), (6, 1)),
        ("run", (6, 11), (6, 1)),
        ("run", (5, 15), (6, 1)),
        ("run", (6, 17), (6, 12)),
        ("run", (9, 0), (7, 3)),
        ("get_page", (6, 3), (6, 1)),
        ("get_page", (6, 4), (6, 12)),
        ("fault_map_4k_of_huge", (6, 2), (6, 12)),
        ("fault_split_2m", (6, 2), (6, 12)),
        ("fault_zap_2m", (6, 1), (6, 1)),
        ("zap_table", (6, 5), (6, 1)),
        ("recover_table", (6, 13), (6, 18)),
        ("recover_table", (7, 2), (6, 18)),
    ],
)
def test_a_release_takes_the_nearest_counted_kernel_that_behaves_the_same(
    name: str, release: Release, kernel: Release
) -> None:
    assert lookup(name, release).kernel == kernel


def test_it_says_who_stands_in() -> None:
    assert stand_in("run", (6, 12)) == ""
    assert "6.5 takes get_page from 6.12" in stand_in("get_page", (6, 5))


def test_every_path_has_a_price_on_every_release() -> None:
    for release in (*CHANGES, *COUNTED_KERNELS):
        for name in COSTS:
            assert lookup(name, release).kernel in COUNTED_KERNELS


def test_the_changes_of_paths_are_those_of_the_machine() -> None:
    # Floors keep costs from asking mmu.
    mainline = {change.field: release for release, changes in CHANGES.items() for change in changes}
    assert mainline["fault_splits_in_place"] == recipe.FAULT_SPLITS
    assert mainline["clear_dirty_is_one_and"] == recipe.ONE_AND
    assert mainline["recovers_huge_pages_in_place"] == recipe.RECOVERS
    assert lookup("run", (6, 12), AUTO).value > lookup("run", (6, 12), OFF).value


def test_ranges_add_up_and_hold_the_value() -> None:
    one, other = assumption(10, 8, 13), Estimate(4, 3, 5, ("x",))
    assert one - other == Estimate(6, 3, 10, (ASSUMPTION, "x"))
    assert one + other == Estimate(14, 11, 18, (ASSUMPTION, "x"))
    assert other * -2 == Estimate(-8, -10, -6, ("x",))
    assert other / 2 == Estimate(2, 1.5, 2.5, ("x",))


def test_a_median_slope_does_not_see_a_tick() -> None:
    counts = Counts((6, 18), OFF)
    sizes = dict(counts.row("fast_2m_manual_str64").points)
    assert (sizes[64] - sizes[16]) / 48 > 1790  # a tick lies in it
    assert counts.slope("fast_2m_manual", "fast_2m_manual_str64").value == pytest.approx(1726, abs=1)


def test_what_was_not_counted_is_refused() -> None:
    with pytest.raises(NotCounted):
        Counts((6, 1), OFF).row("nothing")
    with pytest.raises(NotCounted):
        Counts((7, 3), AUTO).value("seq_fast")
    with pytest.raises(NotCounted):
        Counts((6, 1), OFF).slope("clearis_firstword")
    with pytest.raises(KeyError):
        lookup("fault_split_2m", (6, 12), AUTO)


def test_the_command_prints_a_line_a_path_and_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["costs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["path", "kernel", "value", "low", "high", "unit", "source"]
    assert lines[1].split()[:3] == ["run", "6.1", "2,753.00"]
    blank = lines.index("")
    assert blank == 1 + len(rows(OFF))
    assert lines[blank + 1].split() == ["constant", "host", "value", "low", "high", "unit", "source"]
    assert len(lines) == blank + 2 + len(PROFILES) * len(MEANING)
    assert all("fitted to" in line or "assumption" in line for line in lines[blank + 2 :])


def test_the_command_prints_json() -> None:
    out = io.StringIO()
    assert costs_command(out, mitigations=AUTO, json_form=True) == 0
    found = json.loads(out.getvalue())
    fields = {"name", "unit", "value", "low", "high", "source", "kernel", "mitigations", "description", "derived"}
    assert all(fields <= set(each) for each in found)
    paths = [each for each in found if "host" not in each]
    assert len(paths) == len(rows(AUTO))
    assert {each["kernel"] for each in paths} == {"6.1", "6.12"}
    assert len(found) - len(paths) == len(PROFILES) * len(MEANING)
    assert {each["fitted"] for each in found if "host" in each} == {True, False}
