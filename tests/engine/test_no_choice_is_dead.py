"""No choice is dead: a change of any field of a Scenario changes the tables of its Recording.

The fields are those of the types, so that a new one without an example here fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import BaseModel

from mmuviz.engine.choices.annotations import models_in, tag_of
from mmuviz.engine.choices.base import TAGS
from mmuviz.engine.choices.scenario import TEXTS, Focus, Scenario
from mmuviz.engine.choices.workload import Accessing
from mmuviz.engine.run import run
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import TABLES
from tests.engine.runs import GIB, MIB, differing
from tests.engine.scenarios import Document

PARTS: Final = ("vm", "memory", "workload", "driver", "host")
UNIONS: Final = ("workload", "driver")
SLOT: Final[Document] = {"size": 16 * MIB, "backing": "hugetlb_2m"}
BASE: Final[Document] = {
    "vm": {"vcpus": 2, "vendor": "amd", "eager_page_split": False},
    "memory": [SLOT],
    "workload": {"pattern": "sequential", "write_percent": 50},
    "driver": {"kind": "dirty_log_perf_test", "iterations": 2},
}
LIVE: Final[Document] = {"kind": "live_rounds", "lead": 20_000, "interval": 100_000, "tail": 20_000}
MIGRATION: Final[Document] = {
    "kind": "qemu_precopy",
    "lead": 20_000,
    "bandwidth": 100 * MIB,
    "downtime_limit": 1_000_000,
}
BUSY: Final[Document] = {"workload": {"rate_hz": 200_000}}
"""It does not converge over that link."""
LONG: Final[Document] = {"workload": {"rate_hz": 20_000}, "driver": {"bandwidth": 10 * MIB, "longest": 6_000_000_000}}
THROTTLED: Final[Document] = {**LONG, "driver": {**LONG["driver"], "auto_converge": True, "longest": 9_000_000_000}}
EAGER: Final[Document] = {"dirty_log_mode": "manual", "eager_page_split": True}
RINGS: Final[Document] = {"dirty_log_mode": "ring", "ring_entries": 1024}
OPS: Final[list[Document]] = [
    {
        "op": "slot",
        "backing": "hugetlb_2m",
        "base_gfn": 1 << 20,
        "pages": 4096,
        "hva_offset_pages": 0,
        "host_populated": True,
    },
    {"op": "enable"},
    {"op": "write", "vcpu": 0, "pages": [0, 512]},
    {"op": "get"},
]
Case = tuple[Document, Any, Any]
"""What else is chosen, part by part, and two values of the field."""
VM: Final[dict[str, Case]] = {
    "kernel": ({}, "6.1", "6.12"),
    "vendor": ({"vm": {"dirty_log_mode": "legacy"}}, "intel", "amd"),
    "mmu": ({}, "tdp", "direct_shadow"),
    "pml": ({"vm": {"vendor": "intel", "dirty_log_mode": "legacy"}}, False, True),
    "dirty_log_mode": ({}, "manual", "legacy"),
    "eager_page_split": ({}, False, True),
    "vcpus": ({}, 2, 3),
    "ring_entries": ({"vm": RINGS}, 1024, 2048),
    "split_chunk": ({"vm": {"vendor": "arm64", "eager_page_split": None}}, 0, 2 * MIB),
    "tracking": ({}, "4k", "2m"),
    "rounds_to_4k": ({"vm": {"tracking": "2m", "dirty_log_mode": "manual"}, "driver": {"iterations": 4}}, None, 1),
    "nr_mmu_pages": ({"vm": {"mmu": "nested", **EAGER}, "memory": [{**SLOT, "size": 256 * MIB}]}, None, 64),
}
SECOND: Final[Document] = {"memory": [SLOT, SLOT]}
MEMORY: Final[dict[str, Case]] = {
    "base": ({}, 4 * GIB, 8 * GIB),
    "size": ({}, 16 * MIB, 18 * MIB),
    "backing": ({}, "hugetlb_2m", "4k"),
    "hva_offset": ({}, 0, 4096),
    "host_populated": ({}, True, False),
    "logged": (SECOND, True, False),
    "read_only": (SECOND, False, True),
}
TRACES: Final = Path(__file__).parent.parent / "data" / "traces"
BURST: Final[list[Document]] = [{"pattern": "sequential", "duration": 20_000}, {"pattern": "idle", "duration": 20_000}]
WORKLOAD: Final[dict[str, Case]] = {
    "write_percent": ({}, 50, 60),
    "rate_hz": ({}, 0, 1_000_000),
    "shared": ({}, False, True),
    "seed": ({}, 1, 2),
    "exit_rate_hz": ({}, 0, 100_000),
    "stride": ({}, 8192, 12_288),
    "accesses": ({}, 1000, 1500),
    "hot_percent": ({}, 10, 20),
    "hot_access_percent": ({}, 90, 50),
    "exponent": ({}, 0.99, 1.2),
    "phases": (
        {"driver": LIVE},
        [{"pattern": "idle", "duration": 50_000}, {"pattern": "sequential"}],
        [{"pattern": "sequential", "duration": 50_000}, {"pattern": "idle"}],
    ),
    "duration": ({}, 200_000, 250_000),
    "repeat": ({"driver": LIVE, "workload": {"phases": BURST}}, None, True),
    "tick_hz": ({}, 5000, 10_000),
    "pages_per_tick": ({}, 100, 1000),
    "noise_size": ({}, 8192, MIB),
    "file": ({"driver": LIVE}, str(TRACES / "one.csv"), str(TRACES / "other.csv")),
}
EXITS: Final[Document] = {"workload": {"exit_rate_hz": 100_000}}
DRIVER: Final[dict[str, Case]] = {
    "big_lock": ({**EXITS, "vm": RINGS}, False, True),
    "reap_interval": ({"vm": RINGS}, 0, 30_000),
    "iterations": ({}, 2, 3),
    "runs_while_disabling": ({}, False, True),
    "lead": ({}, 20_000, 50_000),
    "tail": ({}, 120_000, 150_000),
    "rounds": ({}, 2, 3),
    "interval": ({}, 100_000, 200_000),
    "clear_chunk": ({}, 0, 4 * MIB),
    "disable": ({}, False, True),
    "version": ({}, "7.2", "10.0"),
    "bandwidth": ({}, 100 * MIB, 200 * MIB),
    "link": ({}, 50 * MIB, 500 * MIB),
    "downtime_limit": ({}, 1_000_000, 200_000_000),
    "clear_bitmap_shift": ({}, 6, 18),
    "smm": ({}, False, True),
    "auto_converge": (LONG, False, True),
    "throttle_initial": (THROTTLED, 20, 30),
    "throttle_increment": (THROTTLED, 10, 30),
    "throttle_max": (THROTTLED, 20, 99),
    "dirty_limit": ({**LONG, "vm": RINGS}, 0, MIB),
    "postcopy_after": (BUSY, 0, 200_000_000),
    "postcopy_after_rounds": (BUSY, 2, 3),
    "multifd_channels": ({"driver": {"bandwidth": 10**10, "link": 10**10}}, 0, 2),
    "zero_percent": ({}, 0, 50),
    "restart_after": ({**BUSY, "driver": {"cancel_at": 200_000_000, "most_rounds": 4}}, 0, 100_000_000),
    "cancel_at": (BUSY, 200_000_000, 500_000_000),
    "longest": (BUSY, 300_000_000, 700_000_000),
    "most_rounds": (BUSY, 4, 5),
    "calc_time": ({}, 50_000_000, 60_000_000),
    "duration": ({}, 50_000, 80_000),
    "ops": ({}, OPS, OPS[:-1]),
    "recording": ({}, "A_2m_legacy_lazy__6.12", "A_2m_legacy_eager__6.12"),
}
HOST: Final[dict[str, Case]] = {
    "profile": ({}, "tdp_eager", "split_on_fault"),
    "overrides": ({}, {}, {"line_ns": 100}),
}
CASES: Final = {"vm": VM, "memory": MEMORY, "workload": WORKLOAD, "driver": DRIVER, "host": HOST}


def types_of(part: str) -> dict[str, type[BaseModel]]:
    """The types of a part, by the tag of a union, else by the part's name."""
    found = models_in(Scenario.model_fields[part].annotation)
    return {tag_of(each): each for each in found} if part in UNIONS else {part: found[0]}


def phase_types() -> dict[str, type[BaseModel]]:
    """The types of phases, by pattern."""
    return {tag_of(each): each for each in models_in(types_of("workload")["phases"].model_fields["phases"].annotation)}


SAYS_WHICH: Final = ("sha256",)
"""Fields that only say which file another field means."""


def names_of(model: type[BaseModel], part: str) -> list[str]:
    """Fields of a type but for what tells it apart."""
    named = [name for name in model.model_fields if name not in SAYS_WHICH]
    return [name for name in named if part not in UNIONS or name not in TAGS]


FIELDS: Final = [
    (part, tag, name) for part in PARTS for tag, model in types_of(part).items() for name in names_of(model, part)
]
REFUSED_IN_PHASES: Final = "accesses"
"""A phase has a time and no passes."""
OF_PHASES: Final = [
    (tag, name)
    for tag, model in phase_types().items()
    for name in names_of(model, "workload")
    if name != REFUSED_IN_PHASES
]


def merged(document: Document, parts: Mapping[str, Any]) -> Document:
    """A document with parts laid over it; None takes a field out."""
    found = dict(document)
    for part, fields in parts.items():
        if part == "memory":
            found[part] = fields
            continue
        old = dict(found.get(part, {}))
        if part == "driver" and fields.get("kind", old.get("kind")) != old.get("kind"):
            old = {}
        found[part] = {name: value for name, value in {**old, **fields}.items() if value is not None}
    return found


def base_of(part: str, tag: str) -> Document:
    """The smallest run that has a part of a type."""
    if part == "workload":
        drawn = tag in ("uniform_random", "hot_set", "zipf")
        fields = {"accesses": 1000} if drawn else {"stride": 8192} if tag == "strided" else {}
        if tag == "trace":
            return {**BASE, "driver": LIVE, "workload": {"pattern": tag, "file": WORKLOAD["file"][1]}}
        shared = {} if tag in ("idle", "phases", "memcpy", "kernel_noise") else {"write_percent": 50}
        return {**BASE, "workload": {"pattern": tag, **shared, **fields}}
    if part != "driver":
        return BASE
    parts: dict[str, Document] = {
        "live_rounds": {"driver": LIVE},
        "enable_only": {"driver": {"kind": tag, "lead": 20_000, "tail": 120_000}},
        "calc_dirty_rate": {"driver": {"kind": tag, "calc_time": 50_000_000}, "workload": {"rate_hz": 1000}},
        "qemu_precopy": {"driver": MIGRATION, "workload": {"rate_hz": 1000}},
        "plain_precopy": {
            "driver": {"kind": tag, "link": 100 * MIB, "downtime_limit": 1_000_000, "rounds": 3},
            "workload": {"rate_hz": 200_000},
            "vm": {"dirty_log_mode": "legacy"},
        },
    }
    if tag == "listed_ops":
        return {"driver": {"kind": tag}}
    return merged(BASE, parts.get(tag, {"driver": {"kind": tag, "iterations": 2}}))


def with_field(document: Document, part: str, name: str, value: object) -> Document:
    """A document with one field changed; of memory, of the last slot."""
    if part == "memory":
        slots = document["memory"]
        return {**document, "memory": [*slots[:-1], {**slots[-1], name: value}]}
    return merged(document, {part: {name: value}})


def tables_differ(one: Recording, other: Recording) -> bool:
    """Whether any column of any table does; that the header holds another Scenario is no answer."""
    return any(each.split(".")[0] in TABLES for each in differing(one, other))


def check(first: Document, second: Document) -> None:
    one, other = (Scenario.model_validate(each) for each in (first, second))
    assert one != other
    assert tables_differ(run(one), run(other))


@pytest.mark.parametrize(("part", "tag", "name"), FIELDS, ids=["-".join(each) for each in FIELDS])
def test_a_field_changes_the_recording(part: str, tag: str, name: str) -> None:
    others, first, second = CASES[part][name]
    document = merged(base_of(part, tag), others)
    if tag == "without_logging" and name == "duration":
        document = {**document, "driver": {"kind": tag}}
    one, other = (with_field(document, part, name, value) for value in (first, second))
    if name == "repeat":  # without it the last phase has no end
        one["workload"]["phases"] = [*BURST[:-1], {"pattern": "idle"}]
    check(one, other)


@pytest.mark.parametrize(("tag", "name"), OF_PHASES, ids=["-".join(each) for each in OF_PHASES])
def test_a_field_of_a_phase_changes_the_recording(tag: str, name: str) -> None:
    _, first, second = WORKLOAD[name]
    fields = {"duration": 200_000, **base_of("workload", tag)["workload"]}
    fields.pop(REFUSED_IN_PHASES, None)
    one, other = (
        {**BASE, "driver": LIVE, "workload": {"pattern": "phases", "phases": [{**fields, name: value}, last]}}
        for value in (first, second)
        for last in [{"pattern": "sequential"}]
    )
    check(one, other)


@cache
def run_of(part: str, tag: str) -> Recording:
    document = base_of(part, tag)
    if tag == "phases":
        document = merged({**document, "driver": LIVE}, {"workload": {"phases": WORKLOAD["phases"][1]}})
    if tag == "listed_ops":
        document = merged(document, {"driver": {"ops": OPS}})
    return run(Scenario.model_validate(document))


@pytest.mark.parametrize("part", UNIONS)
def test_every_type_of_a_union_is_another_run(part: str) -> None:
    tags = list(types_of(part))
    pairs = [(one, other) for place, one in enumerate(tags) for other in tags[:place]]
    same = [pair for pair in pairs if not tables_differ(*(run_of(part, tag) for tag in pair))]
    # A mix is sequential with another default, and here half of the accesses write in both.
    assert same == ([("read_write_mix", "sequential")] if part == "workload" else [])


def test_every_field_has_an_example() -> None:
    for part, cases in CASES.items():
        used = {name for each, _, name in FIELDS if each == part}
        used |= {name for _, name in OF_PHASES} if part == "workload" else set()
        assert used == set(cases), part
    assert set(Accessing.model_fields) <= set(WORKLOAD)
    assert set(Scenario.model_fields) == {*PARTS, *TEXTS}


@pytest.mark.parametrize("name", Focus.model_fields)
def test_a_field_of_the_focus_chooses_other_events(name: str) -> None:
    scenario = Scenario.model_validate(BASE)
    fields = {"first_gfn": 1 << 20, "pages": 512, "start": 0, "end": 1_000_000}
    changed = {**fields, name: {"first_gfn": (1 << 20) + 512, "pages": 600, "start": 100_000, "end": 200_000}[name]}
    one, other = (run(scenario, Focus.model_validate(each)) for each in (fields, changed))
    assert any(each.startswith("events.") for each in differing(one, other))
