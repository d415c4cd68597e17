"""The address at which a page asks what a migration comes to."""

from __future__ import annotations

import pytest

from mmuviz.engine.run import run
from mmuviz.exports.migration_answer import migration_answer
from mmuviz.studies.evidence import packaged_evidence
from mmuviz.studies.requests import request_of
from tests.web.run_site import Site

ASKED = {
    "base": "running-guest",
    "set": {
        "memory[0].size": "16 MiB",
        "memory[0].backing": "thp",
        "workload.rate_hz": 1000,
        "driver.kind": "qemu_precopy",
        "driver.bandwidth": "1 Gbit/s",
    },
    "policies": ["lazy"],
}


def test_it_answers_what_python_says_of_the_recording(site: Site) -> None:
    hash_ = site.post(ASKED).get_json()["runs"][0]["hash"]
    answer = site.client().get(f"/api/migration/{hash_}.json")
    assert answer.status_code == 200
    made = run(request_of(ASKED).scenarios[0])
    assert answer.get_json() == migration_answer(made, packaged_evidence()["uncertainty"])


@pytest.mark.parametrize("name", ["0" * 64, "x", "..%2f..%2fetc"])
def test_a_recording_that_is_not_kept_is_refused_in_a_line(site: Site, name: str) -> None:
    answer = site.client().get(f"/api/migration/{name}.json")
    assert answer.status_code == 404
