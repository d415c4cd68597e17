"""A parser for output of dirty_log_perf_test: plain, quoted in a mail, or in a kselftest log."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mmuviz.core.errors import InputError, one_line, short_repr

TOOL: Final = "dirty_log_perf_test"
_PREFIX: Final = re.compile(r"^(?:\s*(?:>|\||#(?!\s*selftests)|\[ *\d+\.\d+\]))*\s*")
"""Prefixes of a line: quote marks of a mail, TAP comments, and console timestamps."""
_TIME: Final = re.compile(
    r"(?P<what>Populate memory|Enabling dirty logging|Disabling dirty logging|"
    r"Iteration (?P<iteration>\d+) (?:dirty memory|get dirty log|clear dirty log)) time: (?P<s>\d+\.\d+)s$"
)
_STARTS: Final = re.compile(r"(?:Test iterations: (?P<iterations>\d+)|Testing guest mode: (?P<mode>.+))$")
_MEMORY: Final = re.compile(r"guest physical test memory:? \[(?P<low>0x[0-9a-f]+), (?P<high>0x[0-9a-f]+)\)$")
_COMMAND: Final = re.compile(r"(?:^|[\s/$])dirty_log_perf_test((?:\s+-\S.*)?)$")
_OTHER_TEST: Final = re.compile(r"selftests: kvm: (?P<name>\w+)$")
_SIZE: Final = re.compile(r"(?P<count>\d+)(?P<unit>[kKmMgGtT]?)")
METRICS: Final = {
    "Populate memory": "populate_memory_time",
    "Enabling dirty logging": "enable_dirty_logging_time",
    "Disabling dirty logging": "disable_dirty_logging_time",
}
BACKINGS: Final = {
    "anonymous": "4k",
    "anonymous_thp": "thp",
    "anonymous_hugetlb_2mb": "hugetlb_2m",
    "anonymous_hugetlb_1gb": "hugetlb_1g",
}
"""Memory sources (-s) that the model supports, by the tool's names; THP is off for plain anonymous memory."""
FLAGS: Final = "aeghnoc"
WITH_VALUE: Final = "bfimprsvwxc"
MANUAL: Final = "manual_protect+initially_set"
LEGACY: Final = "legacy(no manual protect)"
MIB: Final = 1 << 20
NEEDED: Final = {
    "kernel": "the host's, e.g. --set kernel=6.12",
    "strategy": "whether KVM splits eagerly: --set strategy=eager or lazy",
    "vcpus": "-v of the command",
    "backing": f"-s of the command: --set backing={', '.join(sorted(set(BACKINGS.values())))}",
    "mem_per_vcpu_mib": "-b of the command",
    "mode": "with -g legacy, else manual",
    "write_pct": "-w of the command, by default 100",
    "access": "with -a random, else sequential",
    "mmu": "tdp, legacy shadow MMU, shadow paging, or nested",
}
"""Required fields of an experiment, and where to find each."""
ASSUMED: Final = {"mmu": "tdp"}
"""Values that are assumed if not given; the rows' notes name them."""
OPTIONAL: Final = ("iterations", "host", "arch", "vendor", "pml", "split_chunk", "source_title", "source_url", "cmd")


@dataclass
class _Run:
    """The lines of one run of the tool, parsed.

    Attributes:
        fields: fields of the workload.
        times: metric -> seconds.
        memory_bytes: memory of all vCPUs; 0 if the output does not print it.
        iterations: number of iterations; 0 if the output does not print it.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    memory_bytes: int = 0
    iterations: int = 0


def rows_of(text: str, given: Mapping[str, str]) -> list[dict[str, Any]]:
    """Parse output of dirty_log_perf_test.

    Args:
        text: output of one or several runs, with any other text around it.
        given: fields of the workload that the output does not have, by name; `cmd` is a whole command.

    Returns:
        Rows in the schema of the measurements, one per time, in order.

    Raises:
        InputError: no line is from the tool, a field is missing, or one is wrong.
    """
    _check_names(given)
    runs = list(_runs(text))
    if not runs:
        raise InputError(f"has no line of {TOOL} in it; give its output, e.g. 'Populate memory time: 0.201452560s'")
    rows = []
    for number, run in enumerate(runs, 1):
        work, notes = _workload(run, given)
        where = f"{TOOL}-{number}" if len(runs) > 1 else TOOL
        rows += [
            {
                "id": f"{where}-{metric}",
                "source_title": given.get("source_title", ""),
                "source_url": given.get("source_url", ""),
                "workload": {name: value for name, value in work.items() if name != "strategy"},
                "metric": metric,
                "unit": "s",
                "value": seconds,
                "strategy": work["strategy"],
                "notes": notes,
            }
            for metric, seconds in run.times.items()
        ]
    return rows


def _check_names(given: Mapping[str, str]) -> None:
    for name in given:
        if name not in (*NEEDED, *OPTIONAL):
            raise InputError(
                f"--set {short_repr(name)} is no field of a run; fields are {', '.join((*NEEDED, *OPTIONAL))}"
            )


def _runs(text: str) -> Iterator[_Run]:
    run, command, ours = _Run(), {}, True
    for line in text.splitlines():
        stripped = _PREFIX.sub("", line).rstrip()
        other, asked = _OTHER_TEST.search(stripped), _COMMAND.search(stripped)
        if other:
            ours = other["name"] == TOOL
        elif (asked and not stripped.endswith("s")) or (asked and " -" in stripped):
            command = command_fields(asked[1])
        started, memory, time = (each.match(stripped) for each in (_STARTS, _MEMORY, _TIME))
        if started and run.times:
            yield run
            run = _Run()
        if started and started["iterations"]:
            run.iterations = int(started["iterations"])
        if ours and memory:
            run.memory_bytes = int(memory["high"], 16) - int(memory["low"], 16)
        if ours and time:
            run.fields = run.fields or command
            run.times[_metric(time)] = float(time["s"])
    if run.times:
        yield run


def _metric(found: re.Match[str]) -> str:
    what = found["what"]
    if found["iteration"] is None:
        return METRICS[what]
    kind = what.split(" ", 2)[2].replace(" ", "_")
    return f"iteration{int(found['iteration'])}_{kind}_time"


def command_fields(command_text: str) -> dict[str, Any]:
    """Parse a command of the tool into fields, including its defaults.

    Args:
        command_text: the text after its name, e.g. "-v 96 -b 1G -s anonymous_hugetlb_1gb -g".

    Returns:
        Fields of a workload.

    Raises:
        InputError: an option does not exist, or is not modelled.
    """
    options = _options(command_text)
    if "n" in options or "o" in options or "x" in options:
        name = next(each for each in "nox" if each in options)
        raise InputError(f"{TOOL} -{name}: the model has no such experiment; give a run without it")
    source = options.get("s", "anonymous")
    backing = BACKINGS.get(source.replace("shared_hugetlb", "anonymous_hugetlb_2mb"))
    if backing is None:
        raise InputError(f"{TOOL} -s {short_repr(source)}: the model has {', '.join(BACKINGS)}")
    return {
        "vcpus": _count(options.get("v", "1"), "-v"),
        "mem_per_vcpu_mib": _mib(options.get("b", "1G"), "-b"),
        "backing": backing,
        "mode": LEGACY if "g" in options else MANUAL,
        "write_pct": _percent(options),
        "access": "random" if "a" in options else "sequential",
        "runs_while_disabling": "e" in options,
        **({"iterations": _count(options["i"], "-i")} if "i" in options else {}),
    }


def _options(command_text: str) -> dict[str, str]:
    try:
        left = shlex.split(command_text, comments=True)
    except ValueError as error:
        raise InputError(f"{TOOL} {short_repr(command_text.strip())}: {one_line(str(error))}") from error
    found: dict[str, str] = {}
    while left and left[0].startswith("-"):
        argument = left.pop(0)
        name, rest = argument[1:2], argument[2:]
        if name in WITH_VALUE and (rest or (left and not left[0].startswith("-"))):
            found[name] = rest or left.pop(0)
        elif name in FLAGS and name:
            found[name] = ""
            if rest:
                left.insert(0, f"-{rest}")
        else:
            raise InputError(f"{TOOL} {short_repr(argument)}: it has no such option, or its value is missing")
    return found


def _percent(options: Mapping[str, str]) -> int:
    if "f" in options:  # older versions: one of f accesses writes
        return 100 // max(_count(options["f"], "-f"), 1)
    return _count(options.get("w", "100"), "-w")


def _count(text: str, where: str) -> int:
    if not re.fullmatch(r"\d{1,7}", text):
        raise InputError(f"{where}={short_repr(text)} must be a whole number")
    return int(text)


def _mib(text: str, where: str) -> int:
    found = _SIZE.fullmatch(text)
    size = int(found["count"]) << {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}[found["unit"].lower()] if found else 0
    if not MIB <= size <= 1 << 43 or size % MIB:
        raise InputError(f"{where}={short_repr(text)} must be a size in whole MiB, e.g. 512M or 1G")
    return size // MIB


def _workload(run: _Run, given: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Return the workload's fields, and the values that were assumed, as text."""
    work: dict[str, Any] = {"tool": TOOL, **run.fields}
    if "cmd" in given:
        asked = _COMMAND.search(given["cmd"].strip())
        if asked is None:
            raise InputError(f"cmd={short_repr(given['cmd'])} must be a command of {TOOL}")
        work |= command_fields(asked[1])
    if "mode" not in work and any("get_dirty_log" in each for each in run.times):
        work["mode"] = MANUAL if any("clear_dirty_log" in each for each in run.times) else LEGACY
    work |= {name: _typed(name, value) for name, value in given.items() if name not in ("cmd", "source_title")}
    work.pop("source_url", None)
    if run.iterations:
        work.setdefault("iterations", run.iterations)
    if run.memory_bytes and "vcpus" in work and "mem_per_vcpu_mib" not in work:
        work["mem_per_vcpu_mib"] = run.memory_bytes // MIB // max(work["vcpus"], 1)
    taken = {name: value for name, value in ASSUMED.items() if name not in work}
    work |= taken
    missing = [name for name in NEEDED if name not in work]
    if missing:
        asked_for = "; ".join(f"{name} ({NEEDED[name]})" for name in missing)
        raise InputError(f"does not say {asked_for}; give --set cmd='{TOOL} -v …' or each with --set")
    return work, ", ".join(f"{name}={value} is assumed" for name, value in taken.items())


def _typed(name: str, value: str) -> Any:  # noqa: ANN401 - a count, a switch, or text
    if name in ("vcpus", "mem_per_vcpu_mib", "write_pct", "iterations"):
        return _count(value, name)
    if name == "pml" and value in ("true", "false"):
        return value == "true"
    if name == "mode" and value in ("legacy", "manual"):
        return LEGACY if value == "legacy" else MANUAL
    if name == "backing" and value not in BACKINGS.values():
        raise InputError(f"backing={short_repr(value)} must be one of {', '.join(BACKINGS.values())}")
    if name == "strategy" and value not in ("eager", "lazy"):
        raise InputError(f"strategy={short_repr(value)} must be eager or lazy")
    return value
