"""Recordings of real KVM as Scenarios: their VM, and their operations."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

from mmuviz.core.errors import InputError, short_repr
from mmuviz.mmu.kvm_recording import parse, read_document

SUFFIX: Final = ".json.gz"


@cache
def packaged_recordings() -> tuple[str, ...]:
    """Names of the recordings that the package holds."""
    folder = files("mmuviz") / "data" / "recordings"
    return tuple(sorted(each.name.removesuffix(SUFFIX) for each in folder.iterdir() if each.name.endswith(SUFFIX)))


def recording_document(name: str) -> dict[str, Any]:
    """The document of a recording.

    Args:
        name: name of a packaged recording, or a path.

    Returns:
        The document, its form checked.

    Raises:
        InputError: there is no such file, or it is refused.
    """
    try:
        if name in packaged_recordings():
            with as_file(files("mmuviz") / "data" / "recordings" / f"{name}{SUFFIX}") as path:
                return parse(read_document(path)).document
        return parse(read_document(Path(name))).document
    except InputError as error:
        near = difflib.get_close_matches(name[:80], packaged_recordings(), 1, 0.5)
        hint = f"; or did you mean {near[0]}?" if near else ""
        raise InputError(f"driver.recording={short_repr(name)} {error}{hint}") from error


def vm_of_recording(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of vm for a recording.

    Args:
        document: a checked recording.

    Returns:
        Fields as scenario files name them.
    """
    config = document["config"]
    fields = {
        "kernel": document["kernel"],
        "vendor": config["vendor"],
        "mmu": "tdp" if config["tdp_mmu"] else "direct_shadow",
        "pml": config["pml"],
        "dirty_log_mode": config["dirty_log_mode"],
        "eager_page_split": config["eager_page_split"],
        "vcpus": config["vcpus"],
    }
    if config["dirty_log_mode"].startswith("ring"):
        fields["ring_entries"] = config["ring_entries"]
    return fields


def bare_ops(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The operations of a recording without the kernel's answers."""
    return [{name: value for name, value in op.items() if name != "after"} for op in document["ops"]]


def with_recording(fields: dict[str, Any]) -> dict[str, Any]:
    """Fill in the fields that a recording decides: the VM, and the operations of one outside the package.

    Args:
        fields: fields of a Scenario, not yet checked; not changed.

    Returns:
        The fields; given fields of vm stay as they are.
    """
    driver = fields.get("driver")
    recording = driver.get("recording") if isinstance(driver, Mapping) else getattr(driver, "recording", None)
    if not isinstance(recording, str) or not recording:
        return fields
    given = driver if isinstance(driver, Mapping) else {"kind": "listed_ops", "recording": recording}
    document = recording_document(recording)
    found = dict(fields)
    vm = fields.get("vm", {})
    if isinstance(vm, Mapping):
        found["vm"] = {**vm_of_recording(document), **vm}
    if recording not in packaged_recordings():
        found["driver"] = {**given, "ops": bare_ops(document), "recording": ""}
    return found
