"""Opened files: the requests made from them give exactly the same runs."""

from __future__ import annotations

import gzip
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.core.errors import MmuvizError
from mmuviz.studies.opened_files import MOST_CHANGES, opened
from mmuviz.studies.packaged_scenarios import ORDER
from mmuviz.studies.policies import POLICIES
from mmuviz.studies.requests import RequestError, request_of

SLOTS = [{"base": f"{4 + at} GiB", "size": "1 GiB"} for at in range(3)]


def asked(text: str) -> dict[str, Any]:
    """The request that a file becomes."""
    found = opened(text)
    if found.base is None:
        return {"document": found.document}
    return {"base": found.base, "set": found.set, "policies": found.policies}


def file_of(body: object) -> str:
    """Return the scenario file that the page saves."""
    found = request_of(body)
    variants = {} if found.comparison is None else {"variants": [dict(each) for each in found.comparison.variants]}
    return json.dumps({**found.base.given(), **variants})


def digests(body: object) -> list[str]:
    return [each.digest() for each in request_of(body).scenarios]


@pytest.mark.parametrize("name", ORDER)
def test_an_entry_s_own_file_is_the_entry(name: str) -> None:
    text = (files("mmuviz") / "data" / "scenarios" / f"{name}.toml").read_text()
    for each in (text, file_of({"base": name})):
        found = opened(each)
        assert (found.base, found.set, found.policies) == (name, {}, None)
        assert found.title == request_of({"base": name}).base.title


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "vm.vcpus": st.integers(1, 8),
        "vm.kernel": st.sampled_from(["6.1", "6.12"]),
        "memory[0].size": st.sampled_from(["2 GiB", "64 GiB"]),
        "workload.pattern": st.sampled_from(["uniform_random", "zipf", "strided"]),
        "workload.write_percent": st.integers(0, 100),
        "driver.tail": st.sampled_from(["10 ms", "2 s"]),
    },
)


@settings(max_examples=25)
@given(
    st.sampled_from(["running-guest", "small-writer", "rfc-memslot", "amd-without-pml"]),
    CHANGES,
    st.none() | st.lists(st.sampled_from(sorted(POLICIES)), min_size=1, max_size=4, unique=True),
)
def test_a_saved_file_gives_the_same_runs(base: str, changes: dict[str, Any], policies: list[str] | None) -> None:
    body = {"base": base, "set": changes, "policies": policies}
    try:
        expected = digests(body)
    except MmuvizError:
        return
    found = asked(file_of(body))
    assert digests(found) == expected
    assert len(found.get("set", {})) <= MOST_CHANGES


def test_what_is_near_no_entry_stays_a_document() -> None:
    text = json.dumps({"memory": SLOTS, "variants": [{"policy": "lazy"}, {"policy": "lazy", "vm.kernel": "6.1"}]})
    found = opened(text)
    assert (found.base, found.set, found.policies) == (None, {}, None)
    assert len(request_of({"document": found.document}).scenarios) == 2


def test_a_recording_of_real_kvm_is_a_scenario(repository: Path) -> None:
    path = min(
        (repository / "tests" / "recordings").glob("A_*.json.gz"), key=lambda each: (each.stat().st_size, each.name)
    )
    found = request_of(asked(gzip.decompress(path.read_bytes()).decode()))
    assert [each.driver.kind for each in found.scenarios] == ["listed_ops"]


@pytest.mark.parametrize("variant", [{"driver.recording": "/etc/passwd"}, {"driver": {"recording": "/etc/passwd"}}])
def test_a_variant_reads_no_file_of_this_machine(variant: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="must be the name of a packaged recording"):
        opened(json.dumps({"driver": {"kind": "listed_ops"}, "variants": [{"policy": "lazy"}, variant]}))


@given(st.text(max_size=200) | st.recursive(st.none() | st.text(), st.lists, max_leaves=5).map(json.dumps))
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    said = "opened"
    try:
        opened(text)
    except MmuvizError as error:
        said = str(error)
    assert said
    assert said.isprintable()
