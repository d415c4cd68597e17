"""Requests: what they become, and at which field they are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.fields import field_rows
from mmuviz.studies.packaged_scenarios import DEFAULT, ORDER
from mmuviz.studies.policies import POLICIES
from mmuviz.studies.requests import Request, RequestError, costs_of, request_of
from mmuviz.studies.scenario_files import read_scenario


def ask(base: object = DEFAULT, **fields: object) -> Request:
    return request_of({"base": base, **fields})


def refused(body: object) -> tuple[str, str]:
    with pytest.raises(RequestError) as caught:
        request_of(body)
    message = str(caught.value)
    assert message
    assert message.isprintable()
    assert caught.value.field.isprintable()
    return caught.value.field, message


@pytest.mark.parametrize("name", ORDER)
def test_an_entry_without_changes_is_what_the_catalogue_runs(name: str) -> None:
    found, listed = ask(name), read_scenario(name)
    if isinstance(listed, Comparison):
        assert (found.base, found.scenarios, found.labels) == (listed.base, listed.scenarios, listed.labels)
        assert found.comparison is not None
    else:
        assert (found.base, found.scenarios, found.comparison) == (listed, (listed,), None)
    assert len(found.policies) == len(found.scenarios)


def test_what_is_set_holds_in_every_run() -> None:
    found = ask(set={"vm.vcpus": 8, "memory[0].size": "8 GiB", "workload": {"write_percent": 50}, "vm.kernel": "6.1"})
    for each in (found.base, *found.scenarios):
        assert (each.vm.vcpus, each.memory[0].size) == (8, 8 << 30)
        assert each.as_document()["workload"]["write_percent"] == 50
        assert str(each.vm.kernel) == "6.1"
    assert found.labels == ("manual_lazy", "eager_at_enable")
    typed = ask(set={"vm.vcpus": "8", "memory[0].size": "8 GiB", "workload.write_percent": "50", "vm.kernel": "6.1"})
    assert typed.scenarios == found.scenarios


def test_policies_take_the_place_of_the_entry_s_variants() -> None:
    names = ["lazy", "ring_eager", "legacy_lazy", "eager_in_clear"]
    assert ask(policies=names).labels == tuple(names)
    assert ask(policies=names).scenarios == Comparison.of(ask().base, names).scenarios
    one = ask(policies=["ring_lazy"])
    assert (one.labels, one.policies, one.comparison) == (("ring_lazy",), ("ring_lazy",), None)
    assert one.scenarios == (one.base,)


def test_a_field_that_only_some_policies_have_may_be_set() -> None:
    found = ask(policies=["manual_lazy", "ring_lazy"], set={"vm.ring_entries": 1024})
    assert [each.vm.ring_entries for each in found.scenarios] == [None, 1024]
    assert refused({"base": DEFAULT, "set": {"vm.ring_entries": 1024}})[0] == "vm.ring_entries"


def test_a_focus_is_read_and_must_hold_a_page() -> None:
    focus = ask(focus={"first_gfn": 1 << 20, "pages": 512}).focus
    assert focus is not None
    assert (focus.first_gfn, focus.pages) == (1 << 20, 512)
    assert ask(focus=None).focus is None
    field, message = refused({"base": DEFAULT, "focus": {"first_gfn": 0, "pages": 512}})
    assert field == "focus"
    assert "holds no page of guest memory" in message


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ([], "", "is no request"),
        ({}, "base", "base is missing"),
        ({"base": "running-gest"}, "base", "did you mean running-guest?"),
        ({"base": "/etc/passwd"}, "base", "is no entry of the catalogue; did you mean"),
        ({"base": 3}, "base", f"did you mean {DEFAULT}?"),
        ({"base": DEFAULT, "sets": {}}, "", "'sets' is no field of a request; did you mean set?"),
        ({"base": DEFAULT, "set": []}, "set", "must be an object"),
        ({"base": DEFAULT, "set": {"vm.vcpus": 0}}, "vm.vcpus", "vm.vcpus=0 must be"),
        ({"base": DEFAULT, "set": {"vm.vcpus": 4000}}, "vm.vcpus", "vm.vcpus=4000 must be"),
        ({"base": DEFAULT, "set": {"memory[0].size": "1 parsec"}}, "memory[0].size", "must be a number with a unit"),
        ({"base": DEFAULT, "set": {"memory[7].size": "1 GiB"}}, "memory[7].size", "memory[7] is not there"),
        ({"base": DEFAULT, "set": {"vm.kernal": "6.1"}}, "vm.kernal", "did you mean kernel?"),
        ({"base": DEFAULT, "set": {"vm..x": 1}}, "vm..x", "must be names with dots between"),
        ({"base": DEFAULT, "set": {"variants": []}}, "variants", "policies says what is compared"),
        ({"base": DEFAULT, "set": {"policy": "lasy"}}, "policy", "did you mean lazy?"),
        ({"base": DEFAULT, "set": {"vm.dirty_log_mode": "ring"}}, "vm.dirty_log_mode", "would change nothing"),
        ({"base": DEFAULT, "set": {"policy": "lazy"}}, "policy", "would change nothing"),
        ({"base": "disable-and-recover", "set": {"vm.kernel": "6.6"}}, "vm.kernel", "would change nothing"),
        ({"base": DEFAULT, "policies": "lazy"}, "policies", "must be a list of 1 to 4 names"),
        ({"base": DEFAULT, "policies": []}, "policies", "must be a list of 1 to 4 names"),
        ({"base": DEFAULT, "policies": list(POLICIES)[:5]}, "policies", "policies has 5 names; it must be "),
        ({"base": DEFAULT, "policies": ["lasy"]}, "policies", "ring_eager; did you mean lazy?"),
        ({"base": DEFAULT, "policies": ["lazy", "lazy"]}, "policies", "policies[1]='lazy' is there before"),
        ({"base": DEFAULT, "focus": {"first_gfn": 1 << 20, "pages": 0}}, "focus.pages", "must be"),
        ({"base": DEFAULT, "focus": 3}, "focus", "must be an object"),
        ({"base": DEFAULT, "set": {"title": "\ud800"}}, "set", "must be UTF-8"),
        ({"base": DEFAULT, "set": {"workload.write_percent": float("nan")}}, "set", "must be finite"),
    ],
)
def test_a_bad_request_is_refused_at_its_field(body: object, field: str, said: str) -> None:
    found = refused(body)
    assert found[0] == field
    assert said in found[1]


def test_no_file_of_the_server_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    for name in (str(secret), "/dev/stdin", "../secret.json"):
        for change in (
            {"driver.recording": name},
            {"driver": {"kind": "listed_ops", "recording": name}},
            {"driver.kind": "listed_ops", "driver.recording": name},
        ):
            field, message = refused({"base": DEFAULT, "set": change})
            assert field == "driver.recording"
            assert "must be the name of a packaged recording" in message
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    assert "nested deeper" in refused({"base": DEFAULT, "set": {"driver.ops": deep}})[1]


def test_a_kernel_that_has_no_such_policy_is_refused_at_what_was_set() -> None:
    field, message = refused({"base": DEFAULT, "policies": ["lazy", "ring_lazy"], "set": {"vm.kernel": "5.4"}})
    assert field in ("vm.kernel", "policies")
    assert "5.4" in message


def test_a_run_over_the_limit_is_refused_with_its_estimate() -> None:
    huge = ask(set={"memory": [{"size": "6 TiB"}] * 3})
    with pytest.raises(RequestError, match=r"manual_lazy needs about .* over the limit of 4 GiB of memory") as caught:
        costs_of(huge)
    assert caught.value.field == ""
    with pytest.raises(RequestError, match=r"GiB of memory and .* s, over the limit of 10 ms"):
        costs_of(ask(), most_seconds=0.01)
    assert len(costs_of(ask())) == 2


NAMES = [row.field.replace("[]", "[0]") for row in field_rows()]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
VALUES = JSON | st.sampled_from(["6.12", "4 GiB", "20 ms", "arm64", "amd", "zipf", "ring", "thp", "1e999", "[[", "1.5"])
SETS = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=20), VALUES, max_size=4)
BODIES = JSON | st.fixed_dictionaries(
    {"base": st.sampled_from(ORDER) | JSON},
    optional={
        "set": SETS | JSON,
        "policies": st.none() | st.lists(st.sampled_from(sorted(POLICIES)), max_size=5) | JSON,
        "focus": st.none()
        | st.fixed_dictionaries({"first_gfn": st.integers(0, 1 << 40), "pages": st.integers(0, 1 << 20)})
        | JSON,
    },
)


@given(BODIES)
def test_any_body_is_a_request_or_is_refused_in_one_line(body: object) -> None:
    found = None
    try:
        found = request_of(body)
    except RequestError:
        refused(body)
    if found is not None:
        assert 1 <= len(found.scenarios) <= 4
        assert len(set(found.labels)) == len(found.labels) == len(found.scenarios)
        for each in found.scenarios:
            assert Scenario.model_validate(each.as_document()).digest() == each.digest()


@pytest.mark.parametrize(
    "fields", [{"workload.pattern": "trace", "workload.file": "/etc/passwd"}, {"workload.file": "x"}]
)
def test_a_request_names_no_file_of_a_trace(fields: dict[str, str]) -> None:
    field, message = refused({"base": "running-guest", "set": fields})
    assert field == "workload.pattern"
    assert "reads a file of the machine that runs it" in message
    assert "passwd" not in message
