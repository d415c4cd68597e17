"""The ledger as one document for the page: every cost that the engine uses, with its source."""

from __future__ import annotations

from typing import Any, Final

from mmuviz.costs.counted import OFF, release_name
from mmuviz.costs.hosts import MEANING, PROFILES, HostProfile
from mmuviz.costs.ledger import COSTS, lookup, rows
from mmuviz.costs.listing import source_of
from mmuviz.mmu.features import PRESETS, SERIES

SCHEMA: Final = "mmuviz-ledger/1"
PER_VALUE: Final = ("unit", "value", "low", "high", "source", "description", "derived")


def ledger_document() -> dict[str, Any]:
    """Make the document of the whole ledger.

    Returns:
        `code`: name -> counted kernel -> unit, value, plausible range, source, description, and the values that it is
        derived from. `kernels`: name of a kernel -> name of an entry -> the counted kernel whose value it uses.
        `constants`: name -> unit, plausible range, description. `hosts`: name -> description, whether it is
        extrapolated, and value and source of each constant.
    """
    code: dict[str, dict[str, Any]] = {name: {} for name in COSTS}
    for (name, release), entry in rows(OFF).items():
        code[name][release_name(release)] = {field: getattr(entry, field) for field in PER_VALUE}
    return {
        "schema": SCHEMA,
        "code": code,
        "kernels": {each.name: _stand_ins(each.release) for each in (*PRESETS.values(), *SERIES.values())},
        "constants": {
            name: {"unit": unit, "low": low, "high": high, "description": description}
            for name, (unit, low, high, description) in MEANING.items()
        },
        "hosts": {name: _host(profile) for name, profile in PROFILES.items()},
    }


def _stand_ins(release: tuple[int, int]) -> dict[str, str]:
    return {name: release_name(lookup(name, release).kernel) for name in COSTS}


def _host(profile: HostProfile) -> dict[str, Any]:
    return {
        "description": profile.description,
        "arch": profile.arch,
        "extrapolated": profile.extrapolated,
        "fitted_to": list(profile.rows_used),
        "constants": {each.name: [each.value, source_of(profile, each)] for each in profile.constants()},
    }
