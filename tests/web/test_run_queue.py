"""The queue of runs: equal runs once, two at once, cancelled, started again after a crash, never a wrong result."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmuviz.core.errors import InputError
from mmuviz.engine.run import run
from mmuviz.recording import gzip_file
from mmuviz.recording.file import from_bytes
from mmuviz.recording.recording import Recording
from mmuviz.studies.requests import request_of
from mmuviz.web import run_states
from mmuviz.web.result_store import ResultStore
from mmuviz.web.run_limits import Limits
from mmuviz.web.run_states import SharedQueue
from tests.web.run_site import Engine, Site, body, until

# One computation


def test_ten_equal_requests_at_once_make_one_run(held: Site) -> None:
    with ThreadPoolExecutor(10) as visitors:
        answers = list(visitors.map(lambda number: held.post(body(), worker=number % 2), range(10)))
    jobs = [each.get_json()["job"] for each in answers]
    assert len(set(jobs)) == 10
    held.engine.go.set()
    hashes = {held.until(each, "done")["runs"][0]["hash"] for each in jobs}
    assert len(hashes) == 1
    assert held.engine.begun == [1]


def test_two_runs_at_once_for_all_and_the_rest_see_their_place(held: Site) -> None:
    jobs = [held.post(body(seed), worker=seed % 2).get_json()["job"] for seed in range(5)]
    until(lambda: len(held.engine.begun) == 2)
    found = [held.job(each, worker=1) for each in jobs]
    assert [each["state"] for each in found] == ["running", "running", "queued", "queued", "queued"]
    assert [each["place"] for each in found] == [0, 0, 1, 2, 3]
    assert found[2]["eta_s"] <= found[3]["eta_s"] <= found[4]["eta_s"]
    held.engine.go.set()
    for each in jobs:
        held.until(each, "done")
    assert sorted(held.engine.begun) == [0, 1, 2, 3, 4]
    assert held.engine.most == 2


def test_runs_begin_in_the_order_of_asking(tmp_path: Path) -> None:
    site = Site(tmp_path, Engine(held=True), Limits(at_once=1), workers=2)
    jobs = [site.post(body(seed), worker=seed % 2).get_json()["job"] for seed in (4, 2, 3, 1)]
    site.engine.go.set()
    for each in jobs:
        site.until(each, "done")
    assert site.engine.begun == [4, 2, 3, 1]


def test_a_request_of_four_takes_no_more_than_its_turn(held: Site) -> None:
    four = held.post(body(1, "lazy", "ring_lazy", "legacy_lazy", "manual_lazy")).get_json()["job"]
    one = held.post(body(2)).get_json()
    assert one["place"] == 3
    held.engine.go.set()
    held.until(four, "done")
    held.until(one["job"], "done")
    assert held.engine.most == 2


def test_cancelling_frees_the_place_for_the_next(held: Site) -> None:
    jobs = [held.post(body(seed)).get_json()["job"] for seed in range(4)]
    until(lambda: len(held.engine.begun) == 2)
    answer = held.client(1).delete(f"/api/jobs/{jobs[0]}")
    assert answer.get_json()["state"] == "cancelled"
    until(lambda: sorted(held.engine.begun) == [0, 1, 2])
    assert held.job(jobs[2])["state"] == "running"
    assert held.job(jobs[3])["place"] == 1
    assert held.job(jobs[0])["state"] == "cancelled"
    # One that has not begun never does.
    held.client().delete(f"/api/jobs/{jobs[3]}")
    held.engine.go.set()
    held.until(jobs[2], "done")
    until(lambda: held.engine.now == 0)
    assert sorted(held.engine.begun) == [0, 1, 2]


def test_what_somebody_else_waits_for_goes_on(held: Site) -> None:
    first, second = (held.post(body(1), worker=each).get_json()["job"] for each in range(2))
    until(lambda: held.engine.begun == [1])
    held.client().delete(f"/api/jobs/{first}")
    time.sleep(0.6)
    assert held.job(second)["state"] == "running"
    held.engine.go.set()
    held.until(second, "done")
    assert held.engine.begun == [1]


def test_a_job_that_nobody_asks_about_is_cancelled(held: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_states, "UNASKED_S", 2.0)
    left, asked = (held.post(body(seed)).get_json()["job"] for seed in (1, 2))
    until(lambda: sorted(held.engine.begun) == [1, 2])
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert held.job(asked, worker=1)["state"] == "running"
        time.sleep(0.2)
    assert held.engine.now == 1
    found = held.job(left)
    assert found["state"] == "cancelled"
    assert "nobody asked about it for 2 s" in found["message"]


def test_a_failed_run_says_why_and_may_be_asked_for_again(tmp_path: Path) -> None:
    class Failing(Engine):
        def __call__(self, *_: object, **__: object) -> Recording:
            self.begun.append(0)
            if len(self.begun) == 1:
                raise ZeroDivisionError
            raise InputError("the kernel refuses it")

    site = Site(tmp_path, Failing())
    for message in ("the server failed on this run; the reason is in its log", "the kernel refuses it"):
        job = site.post(body()).get_json()["job"]
        found = site.until(job, "failed")
        assert found["message"] == message
    assert len(site.engine.begun) == 2


def test_a_full_queue_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path, Engine(held=True), Limits(jobs=2, answer_s=0.0))
    for seed in range(2):
        assert site.post(body(seed)).status_code == 202
    refused = site.post(body(2))
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert "2 requests wait already" in refused.get_json()["message"]
    site.engine.go.set()
    until(lambda: site.post(body(2)).status_code != 503)
    until(lambda: site.engine.now == 0 and site.engine.ended >= 2)


def test_runs_that_do_not_fit_into_memory_together_run_one_after_the_other(tmp_path: Path) -> None:
    site = Site(tmp_path, Engine(held=True), Limits(memory_bytes=500 << 20))
    jobs = [site.post(body(seed)).get_json()["job"] for seed in range(2)]
    until(lambda: site.engine.begun == [0])
    time.sleep(0.3)
    assert site.job(jobs[1])["place"] == 1
    site.engine.go.set()
    for each in jobs:
        site.until(each, "done")
    assert site.engine.most == 1


# Results on disk


def test_a_damaged_result_is_computed_again(site: Site, tmp_path: Path) -> None:
    first = site.post(body()).get_json()["runs"][0]
    path = next(tmp_path.glob("*.mmuviz"))
    content = bytearray(gzip_file.decompress(path.read_bytes()))
    content[-100] ^= 1
    for damage in (b"", path.read_bytes()[:-9], gzip_file.compress(bytes(content))):
        path.write_bytes(damage)
        assert site.client().get(first["url"]).status_code == 404
        path.write_bytes(damage)
        assert site.post(body()).get_json()["runs"][0] == first
        assert site.client().get(first["url"]).data == run(request_of(body()).scenarios[0]).content()
    assert site.engine.begun == [1, 1, 1, 1]


def test_a_tiny_limit_never_gives_a_wrong_recording(tmp_path: Path) -> None:
    site = Site(tmp_path, Engine(), workers=2)
    for queue in site.queues:
        queue.store.limit_bytes = 1
    expected = {seed: run(request_of(body(seed)).scenarios[0]) for seed in range(6)}

    def visit(number: int) -> None:
        seed, worker = number % 6, number % 2
        answer = site.post(body(seed), worker)
        document = answer.get_json()
        runs = document["runs"] if answer.status_code == 200 else site.until(document["job"], "done")["runs"]
        assert runs[0]["hash"] == expected[seed].hash
        fetched = site.client(worker).get(runs[0]["url"])
        assert fetched.status_code in (200, 404)
        if fetched.status_code == 200:
            assert from_bytes(gzip_file.compress(fetched.data)) == expected[seed]

    with ThreadPoolExecutor(6) as visitors:
        list(visitors.map(visit, range(36)))
    assert len(list(tmp_path.glob("*.mmuviz"))) <= 6


def test_a_result_that_was_evicted_is_made_again_for_who_still_asks(held: Site, tmp_path: Path) -> None:
    job = held.post(body()).get_json()["job"]
    held.engine.go.set()
    done = held.until(job, "done")
    next(tmp_path.glob("*.mmuviz")).unlink()
    assert held.job(job)["state"] != "failed"
    assert held.until(job, "done")["runs"] == done["runs"]
    assert held.engine.begun == [1, 1]


def test_runs_of_a_process_that_dies_are_taken_over(tmp_path: Path, repository: Path) -> None:
    script = [sys.executable, "-m", "tests.web.run_process", str(tmp_path)]
    with subprocess.Popen(script, cwd=repository, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        site = Site(tmp_path, Engine())
        same = {"base": "running-guest", "policies": ["lazy"], "set": {"workload.seed": 77}}
        job = site.post(same).get_json()["job"]
        assert site.job(job)["state"] == "running"
        assert site.engine.begun == []
        process.kill()
        process.wait()
    site.until(job, "done")
    assert site.engine.begun == [77]


def test_a_disk_that_is_full_blocks_no_place_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, full = Site(tmp_path, Engine(held=True)), [False]
    write, put = SharedQueue._write, ResultStore.put

    def write_or_fail(shared: SharedQueue, path: Path, data: bytes) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(shared, path, data)

    def put_and_fill(store: ResultStore, key: str, recording: Recording) -> str:
        # A run of a site before this one may end late.
        full[0] = full[0] or site.engine.go.is_set()
        return put(store, key, recording)

    monkeypatch.setattr(SharedQueue, "_write", write_or_fail)
    monkeypatch.setattr(ResultStore, "put", put_and_fill)
    job = site.post(body()).get_json()["job"]
    site.engine.go.set()
    until(lambda: site.engine.ended == 1 and site.post(body(2)).status_code == 503)
    assert "No space left on device" in site.post(body(2)).get_json()["message"]
    full[0] = False
    assert site.until(job, "done")["runs"][0]["hash"]
    assert site.engine.begun == [1]


def test_a_state_that_cannot_be_read_is_an_empty_queue(site: Site, tmp_path: Path) -> None:
    site.post(body())
    state = next(tmp_path.glob("queue-*/state.json"))
    for damage in (b"", b"{", b"[]", b'{"runs": 3, "jobs": {}, "order": 0}', b'{"runs": {"x": {}}, "jobs": {}}'):
        state.write_bytes(damage)
        assert site.post(body(len(damage) + 100)).status_code in (200, 202)
    until(lambda: site.engine.now == 0)
