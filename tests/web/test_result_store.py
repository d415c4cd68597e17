"""Results on disk: under a limit, and never a wrong one."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from mmuviz.core.errors import InputError
from mmuviz.engine.choices.scenario import Focus, Scenario
from mmuviz.engine.run import run
from mmuviz.recording import gzip_file
from mmuviz.recording.file import from_bytes
from mmuviz.web import result_store
from mmuviz.web.result_store import KEPT, ResultStore, key_of


def scenario(seed: int = 0, **fields: object) -> Scenario:
    return Scenario.model_validate({"memory": [{"size": "2 MiB"}], "workload": {"seed": seed}, **fields})


def put(store: ResultStore, seed: int) -> tuple[str, str]:
    one = scenario(seed)
    key = key_of(one, None)
    return key, store.put(key, run(one))


def test_a_recording_is_found_by_what_was_run_and_by_its_hash(tmp_path: Path) -> None:
    store, recording = ResultStore(tmp_path), run(scenario())
    key = key_of(scenario(), None)
    assert store.get(key) is None
    assert store.data(recording.hash) is None
    assert store.put(key, recording) == recording.hash == store.get(key)
    # Another process that has the same folder.
    found = ResultStore(tmp_path).data(recording.hash)
    assert found is not None
    assert from_bytes(found.data) == recording


def test_keys_differ_where_recordings_may(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [
        key_of(scenario(), None),
        key_of(scenario(seed=1), None),
        key_of(scenario(), Focus(first_gfn=1 << 20, pages=1)),
        key_of(scenario(title="another"), None),
        key_of(scenario(host={"overrides": {"read_ns": 90}}), None),
    ]
    assert len(set(keys)) == len(keys)
    # What run() takes where no Focus is given is the same run.
    assert key_of(scenario(), Focus(first_gfn=1 << 20, pages=512)) == keys[0]
    monkeypatch.setattr(result_store, "program_stamp", lambda: "another program")
    assert key_of(scenario(), None) not in keys


def test_a_recording_of_another_run_is_not_taken(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    with pytest.raises(ValueError, match="is not one of the run"):
        store.put(key_of(scenario(1), None), run(scenario(2)))
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_never_given_and_go_away(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    key, hash_ = put(store, 1)
    path = next(tmp_path.iterdir())
    good = path.read_bytes()
    content = gzip_file.decompress(good)
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    draw = random.Random(5)  # noqa: S311 - nothing secret
    damages = [b"", good[:100], good[:-1], good + b"x", b"no gzip", gzip_file.compress(bytes(changed))]
    for _ in range(20):
        flipped = bytearray(good)
        flipped[draw.randrange(12, len(good))] ^= 1 << draw.randrange(8)
        damages.append(bytes(flipped))
    for damage in damages:
        path.write_bytes(damage)
        assert store.data(hash_) is None
        assert not path.exists()
        path.write_bytes(damage)
        assert store.get(key) is None
        assert not path.exists()


def test_a_whole_recording_under_another_name_is_never_given(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    key, hash_ = put(store, 1)
    other, _ = put(store, 2)
    data = next(tmp_path.glob(f"{key}.*")).read_bytes()
    for wrong_key, wrong_hash in (("0" * 64, hash_), (key, "0" * 64), (other, hash_)):
        wrong = tmp_path / f"{wrong_key}.{wrong_hash}.mmuviz"
        wrong.write_bytes(data)
        assert store.data("0" * 64) is None
        assert store.get(wrong_key) == {key: hash_, other: run(scenario(2)).hash}.get(wrong_key)
        found = store.data(hash_)
        assert found is not None
        assert from_bytes(found.data) == run(scenario(1))
    assert store.get("0" * 64) is None


def test_a_limit_is_kept_and_the_longest_unused_go_first(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    made = [put(store, seed) for seed in range(KEPT + 3)]
    for age, (key, hash_) in enumerate(reversed(made)):
        os.utime(tmp_path / f"{key}.{hash_}.mmuviz", (time.time() - 10 * age,) * 2)
    assert store.data(made[0][1]) is not None  # used again
    store.limit_bytes = sum(each.stat().st_size for each in tmp_path.iterdir()) - 1
    store.evict()
    assert [store.has(*each) for each in made] == [True, False, *[True] * (KEPT + 1)]
    store.limit_bytes = 1
    put(store, 99)
    assert len(list(tmp_path.iterdir())) == KEPT


def test_a_tiny_limit_forgets_and_never_mistakes(tmp_path: Path) -> None:
    store = ResultStore(tmp_path, limit_bytes=1)
    hashes = {}
    for seed in range(12):
        key, hashes[seed] = put(store, seed)
        assert store.get(key) == hashes[seed]  # its asker is about to fetch it
    given = 0
    for seed, hash_ in hashes.items():
        found = store.data(hash_)
        given += found is not None
        assert found is None or from_bytes(found.data) == run(scenario(seed))
    assert given == KEPT


def test_what_a_crash_left_half_written_goes_after_a_while(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    old, new = (tmp_path / f".{name}.mmuviz.x" for name in ("old", "new"))
    for each in (old, new):
        each.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    put(store, 1)
    assert (old.exists(), new.exists()) == (False, True)


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="MMUVIZ_RESULTS_DIR: cannot make"):
        ResultStore(tmp_path / "file" / "below")
    monkeypatch.setenv("MMUVIZ_RESULTS_DIR", str(tmp_path / "named"))
    assert ResultStore().folder == tmp_path / "named"
    monkeypatch.delenv("MMUVIZ_RESULTS_DIR")
    monkeypatch.setenv("MMUVIZ_CACHE_DIR", str(tmp_path / "cache"))
    assert ResultStore().folder == tmp_path / "cache" / "mmuviz" / "results"
