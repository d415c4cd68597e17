"""Limits of a recording: its JSON, its fields, its sizes. A violation is reported in one line."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmuviz.core.errors import InputError, MmuvizError
from mmuviz.mmu import replay
from mmuviz.mmu.kvm_recording import MAX_ACCESSES, parse, read_document
from mmuviz.mmu.replay import replay_document
from mmuviz.studies.replay import replay_command
from mmuviz.studies.verify import verify_command
from tests.mmu.test_errors import change, small


def refusal(path: tuple[Any, ...], value: object) -> str:
    with pytest.raises(MmuvizError) as refused:
        replay_document(change(path, value))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
    return str(refused.value)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="is a pipe; give a regular file"):
        read_document(pipe)


def test_what_is_no_regular_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; give a regular file"):
        read_document(tmp_path)
    with pytest.raises(InputError, match="is a device; give a regular file"):
        read_document(Path("/dev/zero"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_file_is_opened_once(pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "good"
    path.write_bytes(pack(json.dumps(small()).encode()))
    opened: list[Path] = []
    really = os.open

    def note(name: Path, flags: int) -> int:
        opened.append(name)
        return really(name, flags)

    monkeypatch.setattr(os, "open", note)
    assert read_document(path) == small()
    assert opened == [path]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"kernel": "6.12"', '"kernel": "5.15", "kernel": "6.12"', "'kernel' stands twice"),
        ('"vcpu": 1', '"vcpu": 0, "vcpu": 1', "'vcpu' stands twice"),
        ('"vcpu": 1', '"vcpu": NaN', "holds NaN"),
        ('"vcpu": 1', '"vcpu": -Infinity', "holds -Infinity"),
        ('"op": "get"', '"op": "get", "after": {"counters": 1e999}', "the number 1e999 is too large"),
    ],
)
def test_json_that_says_two_things_or_nothing(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(small()).replace(old, new, 1))
    out = io.StringIO()
    assert replay_command([path], out) == 1
    (line,) = out.getvalue().splitlines()
    assert said in json.loads(line)["error"]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("speed",), 3, "recording: 'speed' is unknown; fields are config, kernel"),
        (("note",), 3, "note=3 must be str"),
        (("config", "ring_entries"), "junk", "ring_entries='junk' must be int"),
        (("config", "ring_entries"), True, "ring_entries=True must be int"),
        (("ops", 3, "pages"), [1, -5], f"page -5 must be a whole number from 0 to {(1 << 40) - 1}"),
        (("ops", 3, "pages"), [1 << 40], f"page {1 << 40} must be a whole number"),
        (("ops", 1, "pages", "count"), MAX_ACCESSES + 1, f"count={MAX_ACCESSES + 1} must be 0 to {MAX_ACCESSES}"),
        (("ops", 1, "pages", "start"), 1 << 40, f"start={1 << 40} must be"),
        (("ops", 1, "vcpu"), 1 << 63, f"vcpu={1 << 63} must be 0 to 1"),
        (("ops", 1, "vcpu"), 10**4200, "must be 0 to 1"),
        (("ops", 0, "pages"), 10**4200, "must be 1 to 2147483647"),
        (("config", "vcpus"), 10**4200, "must be 1 to 4096"),
        (("ops", 0, "hva_offset_pages"), 1 << 18, "hva_offset_pages=262144 must be 0 to 262143"),
        (("ops", 0, "hva_offset_pages"), -1, "hva_offset_pages=-1 must be 0 to 262143"),
    ],
)
def test_a_value_its_rule_and_its_remedy(path: tuple[Any, ...], value: object, said: str) -> None:
    assert said in refusal(path, value)


def test_a_ring_size_may_stand_where_there_is_no_ring() -> None:
    for entries in (None, 16_384):
        assert parse(change(("config", "ring_entries"), entries)).config.ring_entries is None


def test_the_accesses_of_all_vcpus_count_together() -> None:
    fine = {"op": "parallel_write", "start": 0, "stride": 0, "count": MAX_ACCESSES // 2, "how": "same"}
    parse(change(("ops", 4), fine))
    said = refusal(("ops", 4), {**fine, "count": MAX_ACCESSES // 2 + 1})
    assert f"must be 0 to {MAX_ACCESSES // 2} for each of 2 vCPUs; make several ops" in said


def test_a_list_of_pages_has_the_same_bound() -> None:
    assert "make several ops" in refusal(("ops", 3, "pages"), [0] * (MAX_ACCESSES + 1))


def test_a_nested_value_is_abbreviated() -> None:
    nested: Any = []
    for _ in range(900):
        nested = [nested]
    assert len(refusal(("ops", 1, "vcpu"), nested)) < 120


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b" " * (33 << 20)))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputError, match="more than 32 MiB of JSON; a recording must have less: give"):
        read_document(path)


def test_a_guest_of_many_terabytes_is_allowed() -> None:
    slot = {**small()["ops"][0], "pages": (1 << 31) - 1}
    after = replay_document({**small(), "ops": [slot, {"op": "enable"}, {"op": "get"}, {"op": "delslot"}]})["ops"][2][
        "after"
    ]
    assert after["dirty_ranges"] == []


def test_memory_that_runs_out_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    path = tmp_path / "good.json"
    path.write_text(json.dumps(small()))
    monkeypatch.setattr(replay, "Vm", no_memory)
    out = io.StringIO()
    assert replay_command([path], out) == 1
    assert json.loads(out.getvalue())["error"].startswith("needs more memory than this computer has; give fewer")
    out = io.StringIO()
    assert verify_command([path], out) == 1
    assert out.getvalue().splitlines()[0].startswith(f"{path}: needs more memory than this computer has; give fewer")
