"""Experiments of measurements whose source is unknown, from the fields of their rows only."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Final, Literal

from mmuviz.core.errors import short_repr
from mmuviz.costs.hosts import PROFILES
from mmuviz.engine.choices.phases import Workload
from mmuviz.engine.choices.units import size_of
from mmuviz.engine.choices.vm import VmChoices
from mmuviz.engine.choices.workload import SequentialWorkload, UniformRandomWorkload
from mmuviz.engine.drivers.dirty_log_perf_test import DirtyLogPerfTest
from mmuviz.studies.measurements import Measurement
from mmuviz.studies.point_scenarios import (
    BACKINGS,
    MEMORIES,
    Experiment,
    NotCoveredError,
    bounded_mib,
    iterations_of,
    memory_mib,
    metric_of,
    mode_of,
    one_slot_scenario,
    whole,
)

TOOL: Final = "dirty_log_perf_test"
NEEDED: Final = ("tool", "kernel", "vcpus", "backing", "mode")
"""Fields without which nothing is run, in addition to `strategy` and the memory."""
DEFAULTS: Final = {"mmu": "tdp", "write_pct": 100, "access": "sequential", "pml": "on where the processor has it"}
"""Fields that a row may leave out, and what is then assumed: the tool's defaults, and the usual host."""
FIELDS: Final = (
    *NEEDED,
    *MEMORIES,
    *DEFAULTS,
    "arch",
    "split_chunk",
    "vendor",
    "host",
    "iterations",
    "runs_while_disabling",
)
REMARKS: Final = ("note", "hw", "runs", "guest", "cmd")
"""Fields that describe an experiment without changing it; the fields of a command are given one by one."""
NEAR: Final = 0.75
MmuName = Literal["tdp", "direct_shadow", "shadow_paging", "nested", "stage2"]
MMUS: Final[tuple[tuple[str, MmuName], ...]] = (
    ("nested", "nested"),
    ("paging", "shadow_paging"),
    ("ept=n", "shadow_paging"),
    ("npt=n", "shadow_paging"),
    ("legacy", "direct_shadow"),
    ("tdp_mmu=n", "direct_shadow"),
    ("direct_shadow", "direct_shadow"),
    ("stage2", "stage2"),
    ("tdp", "tdp"),
)
"""A part of a row's text on the MMU, and the model's name of the MMU; the first match counts."""
NEAREST: Final = {
    "nested": "nested_eager",
    "shadow_paging": "shadow_eager",
    "direct_shadow": "shadow_eager",
    "stage2": "ampere_one",
    "tdp": "tdp_eager",
}
"""MMU -> the host profile that was fitted to most measurements of this MMU."""


def from_fields(point: Measurement) -> Experiment:
    """Make the experiment of a row whose source is unknown.

    Args:
        point: a measurement with `workload.tool` dirty_log_perf_test.

    Returns:
        The experiment; `assumed` names values that the row does not give.

    Raises:
        NotCoveredError: a field is missing or has a value that the model does not support.
    """
    work = point.workload
    missing = [name for name in NEEDED if work.get(name) in (None, "")]
    missing += ["strategy"] if not point.strategy else []
    missing += ["mem_per_vcpu_gib"] if not any(name in work for name in MEMORIES) else []
    if work.get("tool") not in (None, "", TOOL):
        raise NotCoveredError(f"tool={short_repr(work['tool'])} is none of {TOOL}")
    unused = _unused(work)
    if missing:
        raise NotCoveredError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    vm, (host, assumed) = _vm(point), _host(work)
    metric, iteration = metric_of(point.metric)
    iterations = iterations_of(work, metric, iteration)
    mib = bounded_mib(memory_mib(work, vm.vcpus), iterations)
    driver = DirtyLogPerfTest(iterations=iterations, runs_while_disabling=_switch(work, "runs_while_disabling"))
    backing = _one_of("backing", str(work["backing"]).split(" ")[0], BACKINGS)
    scenario = one_slot_scenario(vm, mib, backing, _workload(work), driver, host, host_populated=False)
    given = [f"{name} is {value}" for name, value in DEFAULTS.items() if name not in work and name not in _fixed(work)]
    remarks = [assumed, f"assumed, as the row does not say it: {', '.join(given)}" if given else "", unused]
    return Experiment("other sources", scenario, metric, iteration, assumed="; ".join(filter(None, remarks)))


def _fixed(work: dict[str, Any]) -> tuple[str, ...]:
    """Return fields of DEFAULTS that another field of the row decides."""
    return ("mmu", "pml") if work.get("arch") == "arm64" else ()


def _unused(work: dict[str, Any]) -> str:
    """Return a remark on fields that no experiment has.

    Raises:
        NotCoveredError: one of them is nearly the name of a field.
    """
    others = [name for name in work if name not in (*FIELDS, *REMARKS)]
    for name in others:
        near = get_close_matches(name, FIELDS, 1, NEAR)
        if near:
            raise NotCoveredError(f"{short_repr(name)} is no field; did you mean {near[0]}?")
    return f"without effect: {', '.join(sorted(others))}" if others else ""


def _switch(work: dict[str, Any], name: str) -> bool:
    value = work.get(name, False)
    if not isinstance(value, bool):
        raise NotCoveredError(f"{name}={short_repr(value)} must be true or false")
    return value


def _one_of(name: str, value: str, known: dict[str, Any]) -> Any:  # noqa: ANN401 - of the table's values
    if value not in known:
        raise NotCoveredError(f"{name}={short_repr(value)} is none of {', '.join(known)}")
    return known[value]


def _vm(point: Measurement) -> VmChoices:
    work, mmu = point.workload, mmu_of(point.workload)
    eager = point.strategy.startswith("eager")
    if not eager and not point.strategy.startswith("lazy"):
        raise NotCoveredError(f"strategy={short_repr(point.strategy)} must begin with eager or lazy")
    fields: dict[str, Any] = {"kernel": str(work["kernel"]), "mmu": mmu, "dirty_log_mode": mode_of(work)}
    fields["vcpus"] = whole(work, "vcpus")
    if mmu == "stage2":
        chunk = str(work.get("split_chunk", "2M")).replace("M", " MiB").replace("G", " GiB")
        fields["split_chunk"] = size_of(chunk) if eager else 0
    else:
        fields["eager_page_split"] = eager
    for name in ("vendor", "pml"):
        if name in work:
            fields[name] = work[name]
    if mmu == "stage2":
        fields["vendor"] = "arm64"
    return VmChoices.model_validate(fields)


def mmu_of(work: dict[str, Any]) -> MmuName:
    """Return the MMU of a row; tdp if it names none.

    Raises:
        NotCoveredError: the model does not have this MMU.
    """
    text = str(work.get("mmu", "")).lower()
    if work.get("arch") == "arm64":
        return "stage2"
    if not text:
        return "tdp"
    found = next((mmu for part, mmu in MMUS if part in text), None)
    if found is None:
        raise NotCoveredError(f"mmu={short_repr(work['mmu'])} is none of {', '.join(sorted(NEAREST))}")
    return found


def _host(work: dict[str, Any]) -> tuple[str, str]:
    """Return the host profile, and a remark if the row names none."""
    named = work.get("host")
    if named is not None:
        if named not in PROFILES:
            raise NotCoveredError(f"host={short_repr(named)} is none of {', '.join(PROFILES)}")
        return str(named), ""
    vcpus, mmu = whole(work, "vcpus"), mmu_of(work)
    nearest = NEAREST[mmu]
    wide = f"{nearest}_416"
    if wide in PROFILES and vcpus > PROFILES[nearest]["cpus"]:
        nearest = wide
    return nearest, f"host {nearest}, the nearest profile: the row names none"


def _workload(work: dict[str, Any]) -> Workload:
    share = whole(work, "write_pct", 100)
    if share > 100:
        raise NotCoveredError(f"write_pct={share} is no percentage")
    access = str(work.get("access", "sequential"))
    if access not in ("sequential", "random"):
        raise NotCoveredError(f"access={short_repr(access)} is none of sequential, random")
    return UniformRandomWorkload(write_percent=share) if access == "random" else SequentialWorkload(write_percent=share)
