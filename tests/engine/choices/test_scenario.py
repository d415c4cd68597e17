"""A Scenario is a document and back; what it leaves out follows; what is wrong is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.core.errors import InputError
from mmuviz.costs.hosts import PROFILES
from mmuviz.engine.choices.focus import MOST_FOCUS_PAGES
from mmuviz.engine.choices.phases import timeline_of
from mmuviz.engine.choices.scenario import TEXTS, Focus, Scenario
from mmuviz.engine.drivers.enable_only import EnableOnly
from mmuviz.engine.drivers.listed_ops import ListedOps
from mmuviz.engine.drivers.qemu_precopy import QemuPrecopy
from mmuviz.mmu.config import Backing, DirtyLogMode, Mmu
from mmuviz.workloads.hot_set import HotSet
from mmuviz.workloads.zipf import Zipf
from tests.engine.choices.drawn import documents

GUEST: dict[str, Any] = {"memory": [{"size": "4 GiB"}]}
RECORDING = "A_2m_ring_lazy__6.12"


def scenario(**fields: object) -> Scenario:
    return Scenario.model_validate({**GUEST, **fields})


def refused(**fields: object) -> str:
    with pytest.raises(InputError) as caught:
        scenario(**fields)
    line = str(caught.value)
    assert "\n" not in line
    return line


@given(documents())
def test_a_scenario_is_its_document_and_back(document: dict[str, Any]) -> None:
    made = Scenario.model_validate(document)
    complete = made.as_document()
    assert json.loads(json.dumps(complete)) == complete
    again = Scenario.model_validate(complete)
    assert again == made
    assert again.as_document() == complete
    assert again.digest() == made.digest()
    assert hash(again) == hash(made)


@given(documents())
def test_what_was_given_makes_the_same_scenario(document: dict[str, Any]) -> None:
    made = Scenario.model_validate(document)
    given = made.given()
    assert Scenario.model_validate(given) == made
    assert set(given) <= set(document)
    assert "base" not in given["memory"][0]


@given(documents())
def test_the_machine_takes_every_scenario(document: dict[str, Any]) -> None:
    made = Scenario.model_validate(document)
    assert made.vm.config().vcpus == made.vm.vcpus
    assert [slot.memslot().pages for slot in made.memory] == [slot.pages for slot in made.memory]
    for pattern, _ in made.timeline():
        pattern.streams(0, made.ram_pages, made.vm.vcpus)


def test_texts_are_no_part_of_what_is_run() -> None:
    assert scenario(title="a").digest() == scenario(title="b").digest()
    assert set(TEXTS) <= set(Scenario.model_fields)
    assert scenario(vm={"kernel": "6.1"}).digest() != scenario().digest()


@pytest.mark.parametrize(
    ("vm", "pml"),
    [
        ({}, True),
        ({"mmu": "direct_shadow"}, True),
        ({"mmu": "shadow_paging"}, False),
        ({"mmu": "nested"}, False),
        ({"vendor": "amd"}, False),
        ({"vendor": "arm64"}, False),
    ],
)
def test_pml_is_on_where_it_is(vm: dict[str, Any], *, pml: bool) -> None:
    assert scenario(vm=vm).vm.pml is pml
    if not pml:
        assert "vm.pml=true is not there" in refused(vm={**vm, "pml": True})


def test_defaults_that_depend_on_others() -> None:
    assert scenario(vm={"vendor": "arm64"}).vm.mmu == "stage2"
    assert scenario(vm={"mmu": "stage2"}).vm.vendor == "arm64"
    assert scenario(vm={"mmu": "stage2"}).vm.config().mmu is Mmu.STAGE2
    assert scenario(vm={"vendor": "arm64"}).host.profile == "ampere_one"
    assert scenario(vm={"kernel": "5.17"}).vm.eager_page_split is False
    assert scenario(vm={"kernel": "5.18"}).vm.eager_page_split is True
    assert scenario().vm.ring_entries is None
    assert scenario(vm={"dirty_log_mode": "ring"}).vm.ring_entries == 4096
    assert scenario(vm={"kernel": "rfc-2021"}).vm.config().kernel.series == "rfc-2021"
    assert scenario(driver={"kind": "without_logging", "duration": "1 s"}).driver.model_dump()["iterations"] == 0


def test_slots_that_say_no_base_stand_behind_each_other() -> None:
    memory = [{"size": "64 MiB"}, {"size": "2 GiB"}, {"size": "1 GiB", "base": "100 GiB"}, {"size": "4 KiB"}]
    assert [slot.base >> 30 for slot in scenario(memory=memory).memory] == [4, 5, 100, 101]


def test_read_only_slots_are_no_memory_of_the_workload() -> None:
    rom = {"size": "256 KiB", "base": "0xfffc0000", "read_only": True, "logged": False}
    made = scenario(memory=[{"size": "1 GiB", "base": "8 GiB"}, rom, {"size": "3 GiB", "base": 0}])
    assert [slot.base for slot in made.ram] == [0, 8 << 30]
    assert made.ram_pages == 1 << 20


def test_patterns_are_made_from_a_workload() -> None:
    hot = scenario(workload={"pattern": "hot_set", "hot_percent": 0.9766}).workload.pattern_of()
    assert isinstance(hot, HotSet)
    assert hot.hot_ppm == 9766
    zipf = scenario(workload={"pattern": "zipf", "exponent": 1.2}).workload.pattern_of()
    assert isinstance(zipf, Zipf)
    assert zipf.exponent_hundredths == 120


def test_phases_follow_each_other() -> None:
    phases = [{"pattern": "idle", "duration": "10 ms"}, {"pattern": "zipf", "write_percent": 1}]
    made = scenario(workload={"pattern": "phases", "phases": phases}, driver={"kind": "enable_only"})
    assert [duration for _, duration in timeline_of(made.workload)] == [10_000_000, 0]
    assert "needs a guest that never stops" in refused(workload={"pattern": "phases", "phases": phases})
    assert "phases[0].duration=0" in refused(workload={"pattern": "phases", "phases": phases[1:] * 2})
    assert "must be left out" in refused(workload={"pattern": "phases", "phases": phases[:1] * 2})
    passes = [{"pattern": "idle", "duration": "10 ms"}, {"pattern": "zipf", "accesses": 5}]
    assert "phases[1].accesses=5 must be left out" in refused(workload={"pattern": "phases", "phases": passes})


def test_a_recording_decides_the_vm_and_what_is_given_comes_first() -> None:
    driver = {"kind": "listed_ops", "recording": RECORDING}
    made = Scenario.model_validate({"driver": driver})
    assert made.vm.dirty_log_mode is DirtyLogMode.RING
    assert made.vm.vendor == "amd"
    assert made.given() == {"driver": driver, "vm": {}, "workload": {"pattern": "idle"}}
    assert Scenario.model_validate(made.as_document()) == made
    assert Scenario.model_validate({"driver": driver, "vm": {"kernel": "6.18"}}).vm.kernel == "6.18"
    assert made.ops()[0]["op"] == "slot"
    assert not any("after" in op for op in made.ops())


def test_a_recording_of_another_file_is_taken_into_the_scenario(repository: Path) -> None:
    path = repository / "tests" / "recordings" / f"{RECORDING}.json.gz"
    made = Scenario(driver=ListedOps(recording=str(path)))
    assert isinstance(made.driver, ListedOps)
    assert made.driver.recording == ""
    packaged = Scenario(driver=ListedOps(recording=RECORDING))
    assert made.ops() == packaged.ops()
    assert made.vm == packaged.vm


def test_types_are_made_in_python_too() -> None:
    made = Scenario.model_validate({**GUEST, "driver": EnableOnly(lead=5)})
    assert made.given()["driver"] == {"kind": "enable_only", "lead": 5}
    assert made.memory[0].backing is Backing.THP
    with pytest.raises(InputError, match="lead=-1 must be 0 ns to 60 min"):
        EnableOnly(lead=-1)


def test_a_migration_has_a_rate_and_refuses_what_qemu_never_asks_for() -> None:
    driver = scenario(driver={"kind": "qemu_precopy", "bandwidth": "10 Gbit/s"}).driver
    assert isinstance(driver, QemuPrecopy)
    assert driver.bandwidth == 1_250_000_000
    assert "did you mean 10 Gbit/s?" in refused(driver={"kind": "qemu_precopy", "bandwidth": "10 gbit/s"})
    assert scenario(vm={"dirty_log_mode": "ring"}, driver={"kind": "qemu_precopy"}).vm.ring_entries == 4096
    never = {"vm": {"dirty_log_mode": "ring_initially_set"}, "driver": {"kind": "qemu_precopy"}}
    assert "never asked for by QEMU" in refused(**never)
    assert "auto_converge" in refused(driver={"kind": "qemu_precopy", "auto_converge": 1})
    unlogged = {"memory": [{"size": "4 GiB"}, {"size": "4 GiB", "logged": False}]}
    assert "would be lost" in refused(**unlogged, driver={"kind": "qemu_precopy"})


def test_more_vcpus_than_threads_are_refused_with_profiles_that_have_them() -> None:
    line = refused(vm={"vcpus": 97})
    assert "vm.vcpus=97 must be at most 96, the hardware threads of host.profile=tdp_eager" in line
    assert all(each.name in line for each in PROFILES.values() if each["cpus"] > 96 and "arm" not in each.description)
    assert scenario(vm={"vcpus": 97}, host={"overrides": {"cpus": 128}}).host.threads == 128
    assert "host.profile=ampere_one is an arm64 host" in refused(host={"profile": "ampere_one"})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"vm": {"kernal": "6.1"}}, "vm.kernal is no field here; did you mean kernel?"),
        ({"vmm": {}}, "vmm is no field here; did you mean vm?"),
        ({"vm": {"kernel": 6.1}}, 'vm.kernel=6.1 must be text in quotes, e.g. kernel = "6.1"'),
        ({"vm": {"kernel": "3.1"}}, "vm.kernel='3.1' must be 5.15 or later"),
        ({"vm": {"vcpus": 0}}, "vm.vcpus=0 must be 1 to 4096"),
        ({"vm": {"vcpus": "4"}}, "vm.vcpus='4' must be a whole number, without quotes"),
        ({"vm": {"vcpus": True}}, "vm.vcpus=true must be a whole number"),
        ({"vm": {"pml": 1}}, "vm.pml=1 must be true or false"),
        ({"vm": {"dirty_log_mode": "manul"}}, "vm.dirty_log_mode='manul' must be one of legacy, manual"),
        ({"vm": {"ring_entries": 4096}}, "vm.ring_entries=4096 belongs to ring modes"),
        ({"vm": {"dirty_log_mode": "ring", "ring_entries": 100}}, "vm.ring_entries=100 must be a power of two"),
        ({"vm": {"dirty_log_mode": "ring", "ring_entries": 1 << 17}}, "must be at most 65536 (E2BIG)"),
        ({"vm": {"split_chunk": "2 MiB"}}, "vm.split_chunk=2 MiB belongs to arm64"),
        ({"vm": {"mmu": "stage2", "split_chunk": "3 MiB"}}, "must be 0 or a block size: 4 KiB, 2 MiB, 1 GiB (EINVAL)"),
        ({"vm": {"mmu": "stage2", "kernel": "6.1", "split_chunk": "2 MiB"}}, "first exists in 6.5"),
        ({"vm": {"mmu": "stage2", "eager_page_split": True}}, "give split_chunk"),
        ({"vm": {"kernel": "5.17", "eager_page_split": True}}, "the parameter first exists in 5.18"),
        ({"vm": {"vendor": "arm64", "mmu": "tdp"}}, "vm.mmu=tdp does not exist on vendor=arm64"),
        ({"vm": {"rounds_to_4k": 3}}, "vm.rounds_to_4k=3 belongs to tracking 2m"),
        ({"vm": {"nr_mmu_pages": 100}}, "vm.nr_mmu_pages=100 changes nothing"),
        ({"vm": 3}, "vm=3 must be a table"),
        ({"memory": [{"size": "9 TiB"}]}, "memory[0].size='9 TiB' must be 4 KiB to 8 TiB less 4 KiB"),
        ({"memory": []}, "memory is missing"),
        ({"memory": [{"base": 0}]}, "memory[0].size is missing"),
        ({"memory": [{"size": "4 GiB"}, {"size": "4 GB"}]}, "memory[1].size='4 GB' must be a number with a unit"),
        ({"memory": [{"size": "1 KiB"}]}, "memory[0].size='1 KiB' must be a multiple of 4 KiB"),
        ({"memory": [{"size": "1 GiB"}] * 33}, "memory has 33 entries and must have at most 32"),
        ({"memory": [{"size": "4 GiB"}, {"size": "1 GiB", "base": "5 GiB"}]}, "which KVM refuses (EEXIST)"),
        ({"memory": [{"size": "1 TiB", "base": "255.5 TiB"}]}, "EINVAL"),
        ({"memory": [{"size": "1 GiB", "read_only": True}]}, "one for each of 1 vCPUs"),
        ({"memory": [{"size": "1 GiB", "logged": False}]}, "needs a slot that is logged"),
        ({"workload": {"pattern": "seqential"}}, "workload.pattern='seqential' must be one of sequential"),
        (
            {"workload": {"pattern": "phases", "phases": [{}, {}]}, "driver": {"kind": "enable_only"}},
            "workload.phases[0].pattern is missing",
        ),
        ({"workload": {"hot_percent": 5}}, "workload.hot_percent is no field here"),
        ({"workload": {"pattern": "hot_set", "hot_percent": 101}}, "workload.hot_percent=101 must be 0 to 100"),
        ({"workload": {"pattern": "zipf", "write_percent": 0.05}}, "must have at most 1 decimals"),
        ({"workload": {"pattern": "idle", "seed": 1}}, "workload.seed is no field here"),
        ({"workload": {"pattern": "sequential", "rate_hz": 1}, "memory": [{"size": "8 GiB"}]}, "the clock ends at"),
        ({"driver": {"kind": "enable_only", "lead": "300 min"}}, "driver.lead='300 min' must be 0 ns to 60 min"),
        ({"driver": {"kind": "enable_only", "reap_interval": 1}}, "driver.reap_interval=1 ns belongs to ring modes"),
        ({"driver": {"kind": "live_rounds", "clear_chunk": "4 KiB"}}, "must be a multiple of 256 KiB (64 pages)"),
        ({"driver": {"kind": "pre_split"}, "vm": {"mmu": "nested"}}, "vm.mmu=nested does not serve"),
        ({"driver": {"kind": "without_logging", "iterations": 0}}, "driver.iterations=0 needs a duration"),
        ({"driver": {"kind": "listed_ops", "recording": RECORDING}}, "leave memory out"),
        ({"driver": {"kind": "listed_ops", "recording": "A_2m_ring_lasy"}}, "did you mean A_2m_ring_lazy__6.12"),
        ({"driver": {"kind": "listed_ops"}, "memory": ()}, "driver.ops and recording are both missing"),
        ({"driver": {"kind": "listed_ops", "ops": [{"op": "jump"}]}, "memory": ()}, "driver.ops: op 0: op='jump'"),
        ({"host": {"profile": "tdp"}}, "host.profile='tdp' is no host profile; did you mean tdp_eager?"),
        ({"host": {"overrides": {"cpu": 3}}}, "host.overrides.cpu is no constant of a host"),
        ({"host": {"overrides": {"cpus": 9999}}}, "host.overrides.cpus=9999 must be 1 to 1024"),
    ],
)
def test_a_refusal_says_field_value_rule_and_remedy(fields: dict[str, Any], said: str) -> None:
    assert said in refused(**fields)


KEYS = st.sampled_from(
    ["vm", "memory", "workload", "driver", "host", "kernel", "size", "pattern", "kind", "phases", "ops", "overrides"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_whatever_is_handed_in_is_one_line_or_a_scenario(document: dict[str, Any]) -> None:
    lines: list[str] = []
    try:
        Scenario.model_validate(document)
    except InputError as error:
        lines.append(str(error))
    assert not any("\n" in line or "pydantic" in line for line in lines)


@given(
    st.integers(0, 1 << 35),
    st.integers(1, MOST_FOCUS_PAGES),
    st.integers(0, 10**12),
    st.none() | st.integers(10**12 + 1, 10**13),
)
def test_a_focus_is_read_back(first: int, pages: int, start: int, end: int | None) -> None:
    focus = Focus(first_gfn=first, pages=pages, start=start, end=end)
    assert Focus.parse(focus.text()) == focus


@pytest.mark.parametrize(
    "text", ["", "3", "a:3", "3:0", "3:-1", "3:4@", "3:4@5ms..1ms", "3:4@x..", "3:99999999", "9" * 99 + ":1", "1:2\n"]
)
def test_a_bad_focus_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="must be"):
        Focus.parse(text)
