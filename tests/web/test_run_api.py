"""The addresses of runs: what is answered, to anything."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from mmuviz.core.errors import InputError
from mmuviz.engine.run import run
from mmuviz.studies.alignment import remark_of
from mmuviz.studies.requests import request_of
from mmuviz.web import run_api
from mmuviz.web.run_limits import Limits, limits_of_settings, store_of_settings
from tests.studies.test_requests import BODIES
from tests.web.run_site import Engine, Site, body, until

# What is answered


def test_a_quick_result_is_answered_at_once_and_is_what_run_gives(site: Site) -> None:
    asked = body(1, "lazy", "eager_at_enable")
    answer = site.post(asked)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    request, found = request_of(asked), answer.get_json()
    assert found["scenario"] == request.base.as_document()
    assert found["published"] == [[], []]
    assert found["remarks"] == [{"short": "", "text": ""}] * 2
    names = [("lazy", "Lazy after CLEAR"), ("eager_at_enable", "Eager at enable")]
    for each, scenario, (policy, short) in zip(found["runs"], request.scenarios, names, strict=True):
        expected = run(scenario)
        assert each == {
            "label": policy,
            "short": short,
            "policy": policy,
            "digest": scenario.digest(),
            "hash": expected.hash,
            "url": f"/api/recording/{expected.hash}.bin",
        }
        fetched = site.client().get(each["url"], headers={"Accept-Encoding": "gzip, br"})
        assert fetched.status_code == 200
        assert fetched.headers["Content-Encoding"] == "gzip"
        assert "immutable" in fetched.headers["Cache-Control"]
        assert "Accept-Encoding" in fetched.headers["Vary"]
        assert gzip.decompress(fetched.data) == expected.content()
        plain = site.client().get(each["url"])
        assert "Content-Encoding" not in plain.headers
        assert plain.data == expected.content()
        again = site.client().get(each["url"], headers={"If-None-Match": fetched.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
    assert len(site.engine.begun) == 2
    assert site.post(asked).get_json() == found
    assert len(site.engine.begun) == 2


def test_memory_that_kvm_maps_by_4k_is_remarked(site: Site) -> None:
    asked = body()
    asked["set"]["memory[0].base"] = "1 MiB"
    (found,) = site.post(asked).get_json()["remarks"]
    assert found == remark_of(request_of(asked).scenarios[0])._asdict()
    assert found["short"].startswith("memory[0] mapped by 4K")


def test_a_focus_is_another_run(site: Site) -> None:
    plain = site.post(body()).get_json()["runs"][0]
    focused = site.post({**body(), "focus": {"first_gfn": 1 << 20, "pages": 1}}).get_json()["runs"][0]
    assert plain["hash"] != focused["hash"]
    assert plain["digest"] == focused["digest"]


def test_a_long_run_is_a_job_with_estimate_progress_and_result(held: Site) -> None:
    answer = held.post(body(1, "lazy", "eager_at_enable"))
    assert answer.status_code == 202
    found = answer.get_json()
    assert set(found) == {"job", "estimate", "place", "runs", "scenario", "published", "remarks", "file"}
    assert set(found["estimate"]) == {"seconds", "memory_bytes", "accesses", "description"}
    assert found["estimate"]["accesses"] > 0
    until(lambda: held.job(found["job"])["simulated_ns"] == 1_000_000)
    job = held.job(found["job"], worker=1)
    assert set(job) == {"state", "place", "share", "eta_s", "simulated_ns", "runs", "message"}
    assert (job["state"], job["place"], job["message"]) == ("running", 0, "")
    assert 0 < job["share"] < 1
    assert job["eta_s"] > 0
    assert [each["hash"] for each in job["runs"]] == [None, None]
    held.engine.go.set()
    done = held.until(found["job"], "done", worker=1)
    assert (done["share"], done["eta_s"]) == (1.0, 0.0)
    assert done["runs"] == held.post(body(1, "lazy", "eager_at_enable"), worker=1).get_json()["runs"]


def test_a_bad_field_is_400_with_field_and_one_line(site: Site) -> None:
    answer = site.post({"base": "running-guest", "set": {"vm.vcpus": 0}})
    assert answer.status_code == 400
    assert answer.get_json()["field"] == "vm.vcpus"
    assert "must be" in answer.get_json()["message"]


def test_a_run_over_the_limit_is_refused_with_its_estimate(tmp_path: Path) -> None:
    tight = Site(tmp_path, Engine(), Limits(seconds=1e-6))
    found = tight.post(body())
    assert found.status_code == 400
    message = found.get_json()["message"]
    for part in ("lazy needs about", "accesses", "GiB of memory and", " s, over the limit of", "give less memory"):
        assert part in message
    assert not tight.engine.begun


def test_unknown_jobs_and_recordings_are_404(site: Site) -> None:
    for path in ("/api/jobs/x", f"/api/jobs/{'0' * 32}", "/api/recording/x.bin", f"/api/recording/{'0' * 64}.bin"):
        answer = site.client().get(path)
        assert answer.status_code == 404
        assert answer.get_json()["message"]
    assert site.client().delete(f"/api/jobs/{'0' * 32}").status_code == 404


BAD = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[" * 60_000,
    b'{"base": "running-guest", "base": "running-guest"}',
    b'{"base": "running-guest", "set": {"vm.vcpus": NaN}}',
    b'{"base": "running-guest", "set": {"vm.vcpus": 1e999}}',
    b'{"base": "running-guest", "set": {"vm.vcpus": ' + b"9" * 5000 + b"}}",
    b'{"base": "\\ud800"}',
    b'{"\\ud800": 1}',
    b'{"base": "running-guest", "set": {"\\u0000": 1}}',
    b'{"base": "running-guest", "set": {"driver.ops": ' + b"[" * 900 + b"]" * 900 + b"}}",
    b"null",
    b"3",
    b'"running-guest"',
]


@pytest.mark.parametrize("data", BAD, ids=[str(each[:40]) for each in BAD])
def test_malformed_bodies_are_400(site: Site, data: bytes) -> None:
    _check_refusal(site.client().post("/api/runs", data=data, content_type="application/json"))


def _check_refusal(answer: TestResponse) -> None:
    assert answer.status_code == 400
    found = answer.get_json()
    assert set(found) == {"field", "message"}
    assert found["message"]
    assert found["message"].isprintable()
    assert found["field"].isprintable()


def test_a_whole_body_of_names_is_answered(site: Site) -> None:
    """Each name is looked at once: comparing each with those before it would take seconds."""
    names = [f"{each:x}" for each in range(29_000)]
    data = ("{" + ",".join(f'"{name}":1' for name in (*names, names[-1])) + "}").encode()
    assert run_api.MOST_BODY_BYTES * 9 // 10 < len(data) <= run_api.MOST_BODY_BYTES
    answer = site.client().post("/api/runs", data=data, content_type="application/json")
    _check_refusal(answer)
    assert answer.get_json()["message"] == f"'{names[-1]}' is there twice; give it once"


def test_a_number_of_many_digits_is_refused_in_our_words(site: Site) -> None:
    data = b'{"base": "running-guest", "set": {"vm.vcpus": ' + b"9" * 200_000 + b"}}"
    message = site.client().post("/api/runs", data=data, content_type="application/json").get_json()["message"]
    assert message == "the request has a number of 200000 digits; give at most 200"


def test_only_json_of_a_limited_size_is_read(site: Site) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        _check_refusal(site.client().post("/api/runs", data=json.dumps(body()), content_type=kind))
    large = site.client().post("/api/runs", data=b" " * (257 << 10), content_type="application/json")
    assert large.status_code == 413
    assert "256 KiB" in large.get_json()["message"]


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A site that runs nothing: every valid request is over its limit."""
    return Site(tmp_path_factory.mktemp("results"), Engine(), Limits(seconds=-1.0)).client()


@given(BODIES.map(json.dumps).map(str.encode) | st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_body_is_refused_in_one_line(refusing: FlaskClient, data: bytes) -> None:
    _check_refusal(refusing.post("/api/runs", data=data, content_type="application/json"))


def test_settings_are_read_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits_of_settings() == Limits(seconds=300, memory_bytes=4 << 30, at_once=2)
    monkeypatch.setenv("MMUVIZ_RUN_SECONDS", "20")
    monkeypatch.setenv("MMUVIZ_RUN_MEMORY", "1 GiB")
    monkeypatch.setenv("MMUVIZ_RESULTS_DIR", str(tmp_path))
    monkeypatch.setenv("MMUVIZ_RESULTS_SIZE", "10 MiB")
    assert limits_of_settings()[:2] == (20, 1 << 30)
    assert (store_of_settings().folder, store_of_settings().limit_bytes) == (tmp_path, 10 << 20)
    for name in ("MMUVIZ_RUN_SECONDS", "MMUVIZ_RUN_MEMORY"):
        monkeypatch.setenv(name, "much")
        with pytest.raises(InputError, match=f"{name}='much' must be a number"):
            limits_of_settings()
        monkeypatch.delenv(name)


# Files that are opened


def test_a_file_is_answered_as_a_request_and_saved_as_a_file(site: Site) -> None:
    asked = body(1, "lazy", "eager_at_enable")
    saved = site.post(asked).get_json()["file"]
    answer = site.client().post("/api/scenario-file", json={"text": json.dumps(saved)})
    assert answer.status_code == 200
    found = answer.get_json()
    again = {name: found[name] for name in ("base", "set", "policies")}
    assert [each.digest() for each in request_of(again).scenarios] == [
        each.digest() for each in request_of(asked).scenarios
    ]
    assert request_of({"document": saved}).scenarios == request_of(asked).scenarios
    assert site.post({"document": saved}).get_json()["runs"] == site.post(asked).get_json()["runs"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("vm.vcpus = ", "is not TOML"),
        ('{"vm": {"vcpus": 0}}', "vm.vcpus=0 must be"),
        ('{"nothing": 1}', "nothing is no field"),
        ('variants = [{policy = "best"}]', "='best' must be one of lazy, "),
        ('driver = {kind = "listed_ops", recording = "/etc/passwd"}', "must be the name of a packaged recording"),
        ("a." * 20 + "b = 1", "dotted name"),
        ("\ud800", "UTF-8"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(site: Site, text: str, rule: str) -> None:
    answer = site.client().post("/api/scenario-file", json={"text": text})
    _check_refusal(answer)
    assert rule in answer.get_json()["message"]


def test_a_huge_file_is_refused_by_its_size(site: Site) -> None:
    answer = site.client().post("/api/scenario-file", json={"text": "x" * (257 << 10)})
    assert answer.status_code == 413
    assert "256 KiB" in answer.get_json()["message"]
    _check_refusal(site.client().post("/api/scenario-file", json=["text"]))
