"""What the page offers: the pairs that must be there, their names, the files behind them and their weight."""

import gc
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import brotli  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import pytest

from mmuviz.costs.hosts import PROFILES
from mmuviz.ground.pages import PAGES_PER_1G
from mmuviz.recording.columns import FAULT, SPLIT, Config
from mmuviz.recording.pair import Pair, differences, encode_pair, split_pair
from mmuviz.recording.totals import accesses_by_op, events_by_op, splits_by_place
from mmuviz.studies.catalogue import CATALOGUE, DEFAULT, HOST, MADE, SUFFIX, Entry, build, menu_title, timings
from mmuviz.studies.large import PAGES, VCPUS, WRITES_PER_VCPU, large_guest

pytestmark = pytest.mark.xdist_group("catalogue")

KIB, MIB = 1000, 1_000_000
QUALITY = 5
ENTRIES = {entry.name: entry for entry in CATALOGUE}
IN_TIME = [entry for entry in CATALOGUE if not entry.recorded and entry.left != "large"]
RECORDED = [entry for entry in CATALOGUE if entry.recorded]


@pytest.fixture(scope="module")
def shipped(repository: Path) -> Path:
    return repository / "mmuviz" / "data" / "recordings"


@cache
def built(name: str) -> Pair:
    return build(ENTRIES[name])


def test_names_stand_in_an_address_as_they_are_and_are_unique() -> None:
    assert len(ENTRIES) == len(CATALOGUE)
    for name in ENTRIES:
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name), name
    assert DEFAULT in ENTRIES


def test_menu_titles_are_unique() -> None:
    titles = [menu_title(entry) for entry in CATALOGUE]
    assert len(set(titles)) == len(titles), sorted(title for title in titles if titles.count(title) > 1)
    assert all(re.fullmatch(r"[^|{}]+: [^|{}]+ \| [^|{}]+", title) for title in titles)


def test_a_group_stands_in_one_place() -> None:
    groups = [entry.group for entry in CATALOGUE]
    assert len(set(groups)) == 1 + sum(before != after for before, after in pairwise(groups))


@pytest.mark.parametrize("entry", RECORDED, ids=lambda entry: entry.name)
def test_each_pair_differs_in_one_choice_that_its_title_names(entry: Entry) -> None:
    pair = built(entry.name)
    assert pair.name == entry.name
    assert differences(pair.left, pair.right) == [pair.differs]
    left, right = menu_title(entry).split(": ")[1].split(" | ")
    assert left != right
    header, _ = split_pair(encode_pair(pair))
    assert header["name"] == entry.name
    # The menu names it without a run; the page, from the run, must call it the same.
    assert menu_title(entry).startswith(header["title"] + ": ")
    for pane, side in zip(header["panes"], (left, right), strict=True):
        assert pane["title"].lower().startswith(side.lower())


def of(**wanted: object) -> list[Pair]:
    """Recorded pairs whose sides are what is wanted: fields of Config, backing, differs, kernels."""
    found = []
    for entry in RECORDED:
        pair = built(entry.name)
        kernels = tuple(".".join(side.kernel.split(".")[:2]) for side in pair.sides)
        facts = {"differs": pair.differs, "kernels": kernels, "backing": pair.left.slot.backing}
        # Of the choice that differs the right side tells.
        facts |= pair.right.config._asdict()
        if all(facts[name] == value for name, value in wanted.items()):
            found.append(pair)
    return found


@pytest.mark.parametrize("mode", ["legacy", "manual", "manual_initially_set", "ring", "ring_initially_set"])
def test_lazy_beside_eager_in_every_dirty_log_mode(mode: str) -> None:
    assert of(differs="eager_page_split", dirty_log_mode=mode, tdp_mmu=True)


@pytest.mark.parametrize("backing", ["4k", "thp", "hugetlb_2m", "hugetlb_1g"])
def test_lazy_beside_eager_on_every_backing(backing: str) -> None:
    for pair in of(differs="eager_page_split", backing=backing):
        assert [side.config.eager_page_split for side in pair.sides] == [False, True]
    assert of(differs="eager_page_split", backing=backing, tdp_mmu=True)


def test_6_1_beside_6_12_where_lazy_splitting_changed() -> None:
    pairs = of(differs="kernel", kernels=("6.1", "6.12"), eager_page_split=False)
    assert {pair.left.slot.backing for pair in pairs} >= {"hugetlb_2m", "hugetlb_1g"}
    for pair in pairs:
        assert not splits_by_place(pair.left)
        assert set(splits_by_place(pair.right)) == {"fault"}


def test_6_12_beside_6_18_where_disable_changed() -> None:
    pairs = [pair for pair in of(kernels=("6.12", "6.18")) if any(op.kind == "disable" for op in pair.left.ops)]
    assert pairs
    for pair in pairs:
        ends = [index for index, op in enumerate(pair.left.ops) if op.kind == "disable"]
        huge = [[int(side.op_columns.pages_2m[index]) for index in ends] for side in pair.sides]
        assert not any(huge[0])  # zapped: nothing is mapped until the next touch
        assert all(huge[1])


def test_the_lost_dirty_page_is_there() -> None:
    pair = built("lost-dirty-page")
    asked = [index for index, op in enumerate(pair.left.ops) if op.kind == "get"]
    answers = [int(side.ranges_of_op(asked[-1]).pages.sum()) for side in pair.sides]
    assert answers[1] - answers[0] == 1
    assert pair.left.slot.base_gfn % 64  # what it takes


def test_hardware_and_the_shadow_mmu_are_there() -> None:
    assert [side.config.pml for pair in of(differs="pml") for side in pair.sides] == [False, True]
    assert of(tdp_mmu=False)
    assert of(vcpus=4)


def test_every_shipped_file_is_shown_and_every_shown_file_is_shipped(shipped: Path) -> None:
    used = {name + SUFFIX for entry in RECORDED for name in (entry.left, entry.right)}
    assert {path.name for path in shipped.iterdir()} == used | {"README.md"}


def test_shipped_files_are_the_recordings_that_the_model_is_held_to(shipped: Path, repository: Path) -> None:
    for path in shipped.glob(f"*{SUFFIX}"):
        assert path.read_bytes() == (repository / "tests" / "recordings" / path.name).read_bytes(), path.name


def test_the_first_pair_is_light() -> None:
    data = encode_pair(built(DEFAULT))
    assert len(brotli.compress(data, quality=QUALITY)) <= 200 * KIB


def test_building_again_gives_the_same_bytes() -> None:
    entry = ENTRIES["four-vcpus"]  # vCPUs take turns; nothing may depend on chance
    assert encode_pair(build(entry)) == encode_pair(built(entry.name))


@pytest.mark.parametrize("entry", IN_TIME, ids=lambda entry: entry.name)
def test_what_is_made_differs_in_one_choice_and_is_light(entry: Entry) -> None:
    pair = build(entry)
    assert differences(pair.left, pair.right) == ["eager_page_split"]
    assert menu_title(entry).startswith(split_pair(encode_pair(pair))[0]["title"] + ": ")
    assert len(brotli.compress(encode_pair(pair), quality=QUALITY)) <= 20 * KIB
    assert "model alone" in pair.left.note  # nobody takes it for a recording


def test_recordings_of_real_kvm_have_no_time_and_all_else_has() -> None:
    assert all(timings(entry) is None for entry in RECORDED)
    assert {entry.left for entry in CATALOGUE} - {entry.left for entry in RECORDED} == set(MADE)
    assert HOST in PROFILES
    # The default stays a recording; the first story in time stands beside it.
    assert ENTRIES[DEFAULT].recorded
    assert [entry.recorded for entry in CATALOGUE if entry.group == ENTRIES[DEFAULT].group] == [True, False, False]


def test_lazy_stalls_and_eager_pays_in_an_ioctl() -> None:
    for entry, ioctl in zip(IN_TIME, ("enable", "enable", "clear"), strict=True):
        both = timings(entry)
        assert both is not None
        lazy, eager = both
        assert lazy.host == HOST
        assert lazy.total_stall_ms > 20 * eager.total_stall_ms
        assert eager.ioctl_total_ms(ioctl) > 10 * lazy.ioctl_total_ms(ioctl)
        assert lazy.slowdown > eager.slowdown > 1


def test_the_large_guest_is_asked_for_in_the_same_words_each_time() -> None:
    assert large_guest(eager_page_split=True) == large_guest(eager_page_split=True)
    lazy, eager = (large_guest(eager_page_split=eager) for eager in (False, True))
    assert lazy["ops"] == eager["ops"]
    assert lazy["config"] | {"eager_page_split": True} == eager["config"]


@pytest.fixture(scope="module")
def large() -> Iterator[Pair]:
    yield build(ENTRIES["1.5tib"])
    gc.collect()


def test_the_large_guest_is_1_5_tib_of_1g_pages(large: Pair) -> None:
    gib = 1536
    assert large.left.slot.pages * 4096 == 3 << 39
    assert large.left.slot.pages == PAGES == gib * PAGES_PER_1G
    assert large.left.slot.backing == "hugetlb_1g"
    assert {side.config for side in large.sides} == {
        Config("manual", eager, tdp_mmu=True, vcpus=4, ring_entries=0, vendor="intel", pml=True)
        for eager in (False, True)
    }
    for side in large.sides:
        assert side.op_columns.pages_1g[1] == gib  # populated
        # No page is written that is not told of, and each vCPU writes its share in both rounds.
        writes = [index for index, op in enumerate(side.ops) if op.kind == "write"][1:]
        assert accesses_by_op(side)[writes].tolist() == [WRITES_PER_VCPU] * VCPUS * 2
    # Eagerly all is 4K after enable: 1 table a 1G page and 512 below it, beside those that stood.
    enable = [op.kind for op in large.left.ops].index("enable")
    columns = large.right.op_columns
    assert columns.pages_4k[enable] == large.right.slot.pages
    assert columns.table_pages[enable] - columns.table_pages[enable - 1] == gib * 513
    assert splits_by_place(large.right) == {"enable": gib * 513}
    assert events_by_op(large.right, FAULT)[enable + 1 :].sum() == 0  # PML logs what is split and armed
    assert events_by_op(large.left, SPLIT)[enable] == 0


def test_the_large_pair_tells_of_what_was_written(large: Pair) -> None:
    for side in large.sides:
        written: list[int] = []
        for index, op in enumerate(side.ops):
            if op.kind == "write" and side.op_columns.logging[index]:
                page, stride, accesses = side.touches_of_op(index)
                written += [
                    int(first + step * each)
                    for first, step, count in zip(page, stride, accesses, strict=True)
                    for each in range(count)
                ]
            if op.kind == "get":
                first, pages = side.ranges_of_op(index)
                told = np.concatenate([np.arange(at, at + count) for at, count in zip(first, pages, strict=True)])
                assert told.tolist() == sorted(set(written))
                written = []


def test_the_large_pair_is_at_most_5_mb_on_the_wire(large: Pair) -> None:
    data = encode_pair(large)
    assert len(brotli.compress(data, quality=QUALITY)) <= 5 * MIB
