"""Bad input: the errno that KVM gives, one clear line, and nothing half done."""

from __future__ import annotations

import copy
import errno
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmuviz.cli import main
from mmuviz.core.errors import InputError, KvmError, MmuvizError
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, VmConfig
from mmuviz.mmu.features import features_of
from mmuviz.mmu.kvm_recording import parse
from mmuviz.mmu.replay import replay_document, replay_of
from mmuviz.mmu.vm import Vm
from tests.mmu.machines import REGION_1G, gfns, machine, with_slot
from tests.mmu.recording_files import FOLDER, read

Document = dict[str, Any]
GOOD = FOLDER / "G_clear_firstpage_of_2M_eager__6.12.json.gz"


def small() -> Document:
    """A valid recording without answers that uses every field."""
    slot = {"op": "slot", "backing": "thp", "base_gfn": REGION_1G, "pages": 1000}
    return {
        "schema": "kvm-recording/1",
        "name": "small",
        "kernel": "6.12",
        "config": {
            "dirty_log_mode": "manual",
            "eager_page_split": True,
            "tdp_mmu": True,
            "vcpus": 2,
            "ring_entries": 4096,
            "vendor": "intel",
            "pml": True,
        },
        "ops": [
            {**slot, "hva_offset_pages": 0, "host_populated": False},
            {"op": "write", "vcpu": 1, "pages": {"start": 0, "stride": 1, "count": 600}},
            {"op": "enable"},
            {"op": "read", "vcpu": 0, "pages": [1, 2, 999]},
            {"op": "parallel_write", "start": 0, "stride": 3, "count": 50, "how": "interleave"},
            {"op": "get"},
            {"op": "clear", "first_page": 64, "num_pages": 128, "bits": "list", "list": [64, 70]},
            {"op": "clear", "first_page": 0, "num_pages": 1000, "bits": "last"},
            {"op": "set_eager_page_split", "value": False},
            {"op": "dontneed", "start": 3, "count": 5},
            {"op": "hostwrite", "start": 4, "stride": 1, "count": 2},
            {"op": "disable"},
            {"op": "delslot"},
        ],
    }


def logged(mode: DirtyLogMode = DirtyLogMode.MANUAL) -> Vm:
    """A VM with a logged, partly written slot of 1000 pages."""
    vm = with_slot(machine("6.12", mode, vcpus=2), Backing.THP, 1000)
    vm.run(0, gfns(REGION_1G, 700), write=True)
    vm.enable_dirty_logging(0)
    vm.run(1, gfns(REGION_1G + 100, 50), write=True)
    return vm


WORD = np.ones(1, dtype=np.int64)
RING = DirtyLogMode.RING
Call = Callable[[Vm], object]
REFUSED: list[tuple[str, DirtyLogMode, Call, int | None]] = [
    ("clear first_page", DirtyLogMode.MANUAL, lambda vm: vm.clear_dirty_log(0, 32, 64, WORD), errno.EINVAL),
    ("clear num_pages", DirtyLogMode.MANUAL, lambda vm: vm.clear_dirty_log(0, 0, 63, WORD), errno.EINVAL),
    ("clear past the end", DirtyLogMode.MANUAL, lambda vm: vm.clear_dirty_log(0, 960, 64, WORD), errno.EINVAL),
    ("clear far past", DirtyLogMode.MANUAL, lambda vm: vm.clear_dirty_log(0, 1 << 62, 64, WORD), errno.EINVAL),
    ("clear before", DirtyLogMode.MANUAL, lambda vm: vm.clear_dirty_log(0, -64, 64, WORD), errno.EINVAL),
    ("get without logging", DirtyLogMode.MANUAL, lambda vm: vm.get_dirty_log(1), errno.ENOENT),
    ("clear without logging", DirtyLogMode.MANUAL, lambda vm: vm.clear_dirty_log(1, 0, 64, WORD), errno.ENOENT),
    ("get absent", DirtyLogMode.MANUAL, lambda vm: vm.get_dirty_log(9), errno.ENOENT),
    ("get bad id", DirtyLogMode.MANUAL, lambda vm: vm.get_dirty_log(1 << 20), errno.EINVAL),
    ("get with a ring", RING, lambda vm: vm.get_dirty_log(0), errno.ENXIO),
    ("clear with a ring", RING, lambda vm: vm.clear_dirty_log(0, 0, 64, WORD), errno.ENXIO),
    ("reset without", DirtyLogMode.MANUAL, lambda vm: vm.reset_dirty_rings(), errno.EINVAL),
    ("collect without", DirtyLogMode.MANUAL, lambda vm: vm.collect_dirty_rings(), errno.EINVAL),
    ("overlap", RING, lambda vm: vm.add_memslot(2, Memslot(REGION_1G + 999, 5, Backing.THP)), errno.EEXIST),
    ("resize", RING, lambda vm: vm.add_memslot(0, Memslot(REGION_1G, 5, Backing.THP)), errno.EINVAL),
    ("bad slot id", RING, lambda vm: vm.add_memslot(-1, Memslot(9, 5, Backing.THP)), errno.EINVAL),
    ("delete missing", RING, lambda vm: vm.delete_memslot(7), errno.EINVAL),
    ("gfn outside", RING, lambda vm: vm.run(0, gfns(REGION_1G, 1001), write=True), errno.EINVAL),
    ("no such vcpu", RING, lambda vm: vm.run(2, gfns(REGION_1G, 1), write=True), errno.EINVAL),
    ("dontneed outside", RING, lambda vm: vm.madvise_dontneed(0, 999, 2), None),
    ("hostwrite outside", RING, lambda vm: vm.host_write(0, gfns(998, 3)), None),
]


@pytest.mark.parametrize(("mode", "call", "number"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_refused_call_changes_nothing(mode: DirtyLogMode, call: Call, number: int | None) -> None:
    vm = logged(mode)
    vm.add_memslot(1, Memslot(3 * REGION_1G, 64, Backing.PAGES_4K))
    before = [np.array(array) for array in vm.state]
    with pytest.raises(MmuvizError) as refused:
        call(vm)
    assert (refused.value.errno if isinstance(refused.value, KvmError) else None) == number
    assert "\n" not in str(refused.value)
    for old, now in zip(before, vm.state, strict=True):
        assert np.array_equal(old, np.asarray(now))


@pytest.mark.parametrize(
    ("entries", "pml", "number"),
    [
        (None, False, errno.EINVAL),
        (0, False, errno.EINVAL),
        (-4096, False, errno.EINVAL),
        (1000, False, errno.EINVAL),  # no power of two
        (128, False, errno.EINVAL),  # half a page
        (256, True, errno.EINVAL),  # under the reserve of 64 + 512
        (512, True, errno.EINVAL),
        (131_072, False, errno.E2BIG),
        (256, False, None),
        (1024, True, None),
        (65_536, False, None),
    ],
)
def test_ring_sizes(entries: int | None, pml: bool, number: int | None) -> None:  # noqa: FBT001  # parametrized
    def make() -> VmConfig:
        return VmConfig(features_of("6.12"), RING, ring_entries=entries, pml=pml)

    if number is None:
        assert make().ring_limit == (entries or 0) - 64 - (512 if pml else 0)
        return
    with pytest.raises(KvmError, match="ring_entries=") as refused:
        make()
    assert refused.value.errno == number


def test_eager_before_5_18_names_5_18() -> None:
    for kernel in ("5.15", "5.17"):
        with pytest.raises(InputError, match=r"first exists in 5\.18"):
            VmConfig(features_of(kernel), eager_page_split=True)
        vm = machine(kernel)
        with pytest.raises(InputError, match=r"first exists in 5\.18"):
            vm.set_eager_page_split(value=True)


def change(path: tuple[Any, ...], value: object) -> Document:
    document = small()
    holder: Any = document
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return document


HUGE = 1 << 62
BAD: list[tuple[str, tuple[Any, ...], object, str]] = [
    ("schema", ("schema",), "kvm-recording/2", "schema="),
    ("old kernel", ("kernel",), "5.14", "5.15 or later"),
    ("no kernel", ("kernel",), "abc", "two numbers"),
    ("kernel number", ("kernel",), 6.12, "kernel=6.12 must be str"),
    ("unknown op", ("ops", 2, "op"), "dance", "op='dance' must be one of"),
    ("unknown field", ("ops", 2, "speed"), 3, "'speed' is unknown"),
    ("unknown config", ("config", "speed"), 3, "'speed' is unknown"),
    ("mode", ("config", "dirty_log_mode"), "fast", "dirty_log_mode='fast' must be one of"),
    ("amd pml", ("config", "vendor"), "amd", "AMD has no PML"),
    ("no ops", ("ops",), {}, "ops={} must be list"),
    ("an op of no form", ("ops", 1), 7, "op 1 must be an object"),
    ("no slot", ("ops", 0), {"op": "enable"}, "a slot op must come first"),
    ("page outside", ("ops", 3, "pages"), [1000], "page 1000"),
    ("page negative", ("ops", 3, "pages"), [-1], "op 3"),
    ("page bool", ("ops", 3, "pages"), [True], "op 3"),
    ("page float", ("ops", 3, "pages"), [1.0], "op 3"),
    ("page nan", ("ops", 3, "pages"), [float("nan")], "op 3"),
    ("stride out", ("ops", 1, "pages", "stride"), 2, "op 1"),
    ("count huge", ("ops", 1, "pages", "count"), HUGE, "count="),
    ("stride huge", ("ops", 1, "pages", "stride"), HUGE, "op 1"),
    ("vcpu", ("ops", 1, "vcpu"), 2, "vcpu=2 must be 0 to 1"),
    ("vcpu bool", ("ops", 1, "vcpu"), True, "vcpu=True must be int"),
    ("vcpus none", ("config", "vcpus"), 0, "vcpus=0"),
    ("vcpus huge", ("config", "vcpus"), HUGE, "vcpus="),
    ("pages none", ("ops", 0, "pages"), 0, "pages=0"),
    ("pages huge", ("ops", 0, "pages"), HUGE, "pages="),
    ("base huge", ("ops", 0, "base_gfn"), HUGE, "base_gfn="),
    ("base negative", ("ops", 0, "base_gfn"), -1, "base_gfn=-1"),
    ("hva huge", ("ops", 0, "hva_offset_pages"), HUGE, "hva_offset_pages="),
    ("control overlap", ("ops", 0, "base_gfn"), 3, "EEXIST"),
    ("clear misaligned", ("ops", 6, "first_page"), 65, "EINVAL"),
    ("clear negative", ("ops", 6, "num_pages"), -64, "EINVAL"),
    ("clear huge", ("ops", 6, "num_pages"), HUGE, "op 6"),
    ("how", ("ops", 4, "how"), "apart", "how='apart' must be one of"),
    ("dontneed outside", ("ops", 9, "count"), 1000, "dontneed"),
    ("get unlogged", ("ops", 2), {"op": "disable"}, "ENOENT"),
    ("ring op", ("ops", 5), {"op": "ring_reset"}, "EINVAL"),
    ("second slot", ("ops", 2), small()["ops"][0], "EINVAL"),
]


@pytest.mark.parametrize(("path", "value", "said"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_document_is_refused_in_one_line(path: tuple[Any, ...], value: object, said: str) -> None:
    with pytest.raises(MmuvizError) as refused:
        replay_document(change(path, value))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_the_small_document_is_good() -> None:
    assert all("after" in op for op in replay_document(small())["ops"])


def bad_files(folder: Path) -> list[Path]:
    good = GOOD.read_bytes()
    contents = {
        "truncated.json.gz": good[: len(good) // 2],
        "corrupt.json.gz": good[:60] + bytes(byte ^ 255 for byte in good[60:90]) + good[90:],
        "crc.json.gz": good[:-8] + b"\0" * 8,
        "empty.json": b"",
        "empty.json.gz": gzip.compress(b""),
        "words.json": b"no json",
        "list.json": b"[1, 2]",
        "deep.json": b"[" * 200_000 + b"]" * 200_000,
        "latin.json": b'{"name": "\xff"}',
        "schema.json": b'{"schema": "else"}',
        "digits.json": b'{"schema": ' + b"9" * 10_000 + b"}",
        "nan.json": json.dumps(change(("ops", 1, "vcpu"), float("nan"))).encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [*(folder / name for name in contents), folder / "absent.json", folder]


def test_replay_goes_on_after_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = bad_files(tmp_path)
    paths = [str(GOOD), *(str(path) for path in bad), str(GOOD)]
    assert main(["replay", *paths]) == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert len(lines) == len(paths)
    answers = [op["after"]["counters"] for op in read(GOOD)["ops"]]
    for line in (lines[0], lines[-1]):
        assert [op["after"]["counters"] for op in line["ops"]] == answers
    for path, line in zip(bad, lines[1:-1], strict=True):
        assert set(line) == {"file", "error"}
        assert line["file"] == str(path)
        assert line["error"]
        assert "\n" not in line["error"]
        assert "Traceback" not in line["error"]


def test_verify_goes_on_after_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = bad_files(tmp_path)[:-1]
    assert main(["verify", str(GOOD), *(str(path) for path in bad), str(GOOD)]) == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert lines[-1] == f"2 of {len(bad) + 2} recordings exact"
    assert [line.split(": ")[0] for line in lines[:-1]] == [str(path) for path in bad]


def test_replay_needs_no_answers() -> None:
    document = read(GOOD)
    bare = {**document, "ops": [{key: op[key] for key in op if key != "after"} for op in document["ops"]]}
    assert replay_document(bare) == replay_document(document)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


numbers = st.sampled_from((-1, 0, 1, 2, 63, 64, 65, 511, 512, 1000, 1 << 31, 1 << 40, 1 << 62, 1 << 70, -(1 << 63)))
names = st.sampled_from(("all", "list", "last", "ring", "legacy", "hugetlb_1g", "4k", "get", "slot", "6.1", "7.3", ""))
scalars = st.none() | st.booleans() | numbers | st.integers() | st.floats() | names | st.text(max_size=4)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@settings(
    max_examples=400, derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.lists(st.tuples(st.sampled_from(places(small())), anything | scalars), min_size=1, max_size=2))
def test_replay_raises_nothing_but_its_own_errors(changes: list[tuple[tuple[Any, ...], object]]) -> None:
    document = small()
    for path, value in changes:
        holder: Any = document
        try:
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = copy.deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took this place away
    try:
        for _ in replay_of(parse(document)).steps():
            pass
    except MmuvizError as error:
        assert "\n" not in str(error)  # noqa: PT017  # no raise is right as well
