"""The choices that the page offers: kernels, hosts, policies, fields, stories, guests and lessons."""

from __future__ import annotations

import json
from typing import Final

from mmuviz.costs.hosts import PROFILES
from mmuviz.mmu.features import PRESETS
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.fields import field_rows
from mmuviz.studies.guests import GUESTS, MIGRATING, Guest
from mmuviz.studies.lessons import lessons as packaged_lessons
from mmuviz.studies.packaged_scenarios import entries
from mmuviz.studies.policies import POLICIES
from mmuviz.studies.scenario_files import read_scenario

PARTS: Final = ("vm", "memory", "workload", "driver", "host")
TOP: Final = (
    "running-guest",
    "clear-in-chunks",
    "zap-or-split-on-fault",
    "rfc-memslot",
    "small-writer",
    "ring-or-bitmap",
)
"""Stories at the top of the menu."""
OF_FILES: Final = ("trace", "workload.file", "workload.sha256")
"""A type, and fields, that need a file: a page's server reads none that a visitor names."""
OTHERS: Final = "Other guests and hosts"
RECORDINGS: Final = "Recordings of real KVM"


def kernels() -> list[str]:
    """List the kernel releases, oldest first."""
    return [f"{major}.{minor}" for major, minor in sorted(PRESETS)]


def hosts() -> list[str]:
    """List the names of host profiles."""
    return list(PROFILES)


def policies() -> list[tuple[str, str, str, str, bool]]:
    """List name, title, description, dirty-log mode and eagerness of each policy."""
    return [(each.name, each.title, each.description, str(each.mode), each.eager) for each in POLICIES.values()]


def fields() -> list[tuple[str, str, str, str, tuple[tuple[str, str], ...]]]:
    """List every field that the page may change.

    Returns:
        Name, values with units, default, description, and, of a field that selects a type, each type with what it is.
    """
    found, seen = [], set()
    for each in field_rows():
        name = each.field.replace("[]", "[0]")
        if name.partition(".")[0].partition("[")[0] not in PARTS or name in seen or name in OF_FILES:
            continue
        seen.add(name)
        values = f"{each.values}, in {each.unit}" if each.unit else each.values
        types = _types(name)
        values = ", ".join(tag for tag, _ in types) or values
        found.append((name, values, each.default, each.description, types))
    return found


def _types(name: str) -> tuple[tuple[str, str], ...]:
    """Return the types, each with its description, that a field selects: each has a row of its own in the table."""
    rows = [(each.values, each.description) for each in field_rows() if each.field == name]
    return tuple(row for row in rows[1:] if row[0] not in OF_FILES)


def stories() -> list[tuple[str, str, str, str]]:
    """List name, question, group and facts of each catalogue entry: first those at the top, then group by group."""
    found = [(each.name, each.title, _group(each.name), _facts(each.name)) for each in entries()]
    groups = ["", OTHERS, RECORDINGS]
    return sorted(found, key=lambda each: (groups.index(each[2]), TOP.index(each[0]) if each[0] in TOP else 0))


def _group(name: str) -> str:
    return "" if name in TOP else RECORDINGS if name.startswith("recorded-") else OTHERS


def _facts(name: str) -> str:
    """Return facts about an entry's runs, known before they run, as JSON, in the fields of a Scenario's document."""
    source = read_scenario(name)
    scenarios = source.scenarios if isinstance(source, Comparison) else (source,)
    found: list[dict[str, object]] = []
    for each in scenarios:
        vm = {
            "kernel": each.vm.kernel,
            "vcpus": each.vm.vcpus,
            "dirty_log_mode": str(each.vm.dirty_log_mode),
            "pml": each.vm.pml,
        }
        slots = [{"size": slot.size, "backing": str(slot.backing)} for slot in each.memory]
        found.append({"vm": vm, "memory": slots, "host": {"profile": each.host.profile}})
    return json.dumps([each for at, each in enumerate(found) if each not in found[:at]], separators=(",", ":"))


def guests() -> list[tuple[str, str, str]]:
    """List title, description and request of each predefined guest."""
    return [_offered(each) for each in GUESTS]


def migrating_guests() -> list[tuple[str, str, str]]:
    """List title, description and request of each predefined guest for a migration."""
    return [_offered(each) for each in MIGRATING]


def _offered(guest: Guest) -> tuple[str, str, str]:
    return guest.title, guest.description, json.dumps(guest.request(), separators=(",", ":"))


def lessons() -> list[tuple[str, str, str, str]]:
    """List name, question, catalogue entry and stops (as JSON) of each lesson."""
    return [
        (name, each.title, each.story, json.dumps([stop.as_page_has_it() for stop in each.stops]))
        for name, each in packaged_lessons()
    ]
