"""What a page offers to choose from: names of kernels, hosts, policies and stories."""

from __future__ import annotations

from typing import Final

from mmuviz.costs.hosts import PROFILES
from mmuviz.mmu.features import PRESETS
from mmuviz.studies.fields import field_rows
from mmuviz.studies.packaged_scenarios import entries
from mmuviz.studies.policies import POLICIES

PARTS: Final = ("vm", "memory", "workload", "driver", "host")


def kernels() -> list[str]:
    """Releases, oldest first."""
    return [f"{major}.{minor}" for major, minor in sorted(PRESETS)]


def hosts() -> list[str]:
    """Names of host profiles."""
    return list(PROFILES)


def policies() -> list[tuple[str, str]]:
    """Name and meaning of each policy."""
    return [(each.name, each.says) for each in POLICIES.values()]


def fields() -> list[tuple[str, str, str, str]]:
    """Name, values with units, default and meaning of every field that a page may change."""
    found, seen = [], set()
    for each in field_rows():
        name = each.field.replace("[]", "[0]")
        if name.partition(".")[0].partition("[")[0] not in PARTS or name in seen:
            continue
        seen.add(name)
        values = f"{each.values}, in {each.unit}" if each.unit else each.values
        found.append((name, _tags(name) or values, each.default, each.says))
    return found


def _tags(name: str) -> str:
    """The values of a field that says which type follows: each has a row of its own in the table."""
    rows = [each.values for each in field_rows() if each.field == name]
    return ", ".join(rows[1:]) if len(rows) > 1 else ""


def stories() -> list[tuple[str, str]]:
    """Name and question of each catalogue entry."""
    return [(each.name, each.title) for each in entries()]
