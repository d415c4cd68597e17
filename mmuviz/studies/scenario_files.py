"""Reading of scenario files and packaged entries as Scenarios or Comparisons."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mmuviz.core.errors import InputError, MmuvizError, short_repr
from mmuviz.engine.choices.recorded import bare_ops, packaged_recordings, vm_of_recording
from mmuviz.engine.choices.scenario import LONGEST_TEXT, Scenario
from mmuviz.mmu.kvm_recording import SCHEMA, parse
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.overrides import apply_overrides, overridden
from mmuviz.studies.packaged_scenarios import ORDER, packaged_document
from mmuviz.studies.scenario_text import read_text

FEWEST_FOR_A_PATH: Final = (".", "/")


def read_scenario(source: str | Path, overrides: Mapping[str, Any] | None = None) -> Scenario | Comparison:
    """Read a Scenario or Comparison.

    Args:
        source: the name of a packaged entry or recording, or a file: a scenario in TOML or JSON, or a
            recording of real KVM.
        overrides: dotted name -> value, see apply_overrides(); in a Comparison they change the base.

    Returns:
        A Comparison if the file has variants, else a Scenario.

    Raises:
        InputError: it is refused: file, field, value, rule, remedy.
    """
    document = scenario_document(source)
    try:
        if overrides:
            document = apply_overrides(document, overrides)
        return scenario_from_document(document)
    except MmuvizError as error:
        raise InputError(f"{source}: {error}") from error


def read_base(
    source: str | Path, overrides: Mapping[str, Any] | None = None
) -> tuple[Scenario, tuple[Mapping[str, Any], ...]]:
    """Read the base that the variants of a file share, with overrides.

    With overrides the variants need not be valid: the chosen fields may equal one of them, or contradict one.

    Args:
        source: see read_scenario().
        overrides: see read_scenario().

    Returns:
        The Scenario, and the file's variants unchanged; empty if it has none.

    Raises:
        InputError: it is refused: file, field, value, rule, remedy.
    """
    if not overrides:
        found = read_scenario(source)
        return (found.base, found.variants) if isinstance(found, Comparison) else (found, ())
    document = scenario_document(source)
    variants = document.pop("variants", ())
    try:
        base = Scenario.model_validate(apply_overrides(document, overrides))
    except MmuvizError as error:
        raise InputError(f"{source}: {error}") from error
    return base, tuple(each for each in variants if isinstance(each, Mapping)) if isinstance(variants, list) else ()


def is_one_of(base: Scenario, variants: tuple[Mapping[str, Any], ...]) -> bool:
    """Whether one of the variants does not change the Scenario.

    Args:
        base: the Scenario.
        variants: sets of overrides; those that are refused do not count.
    """
    for each in variants:
        try:
            same = Scenario.model_validate(overridden(base.given(), each)).digest() == base.digest()
        except MmuvizError:
            same = False
        if same:
            return True
    return False


def scenario_document(source: str | Path) -> dict[str, Any]:
    """Read the document of a source, without validation.

    Args:
        source: see read_scenario().

    Returns:
        Fields of a Scenario, and variants.

    Raises:
        InputError: it cannot be read.
    """
    name = str(source)
    if name in ORDER:
        return packaged_document(name)
    if name in packaged_recordings():
        return {"driver": {"kind": "listed_ops", "recording": name}}
    if not name:
        raise InputError("'' must name a file or a packaged scenario; mmuviz scenarios lists those")
    if not Path(name).exists() and not any(each in name for each in FEWEST_FOR_A_PATH):
        near = difflib.get_close_matches(name[:80], ORDER, 1, 0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"{short_repr(name)} is no file and no packaged scenario; {hint}mmuviz scenarios lists those")
    try:
        document = read_text(Path(name))
        return of_recording(document) if document.get("schema") == SCHEMA else document
    except MmuvizError as error:
        raise InputError(f"{name}: {error}") from error


def of_recording(document: dict[str, Any]) -> dict[str, Any]:
    """Make the document of a Scenario from a KVM recording.

    Raises:
        InputError: it is not a KVM recording.
    """
    recording = parse(document).document
    return {
        "title": str(recording["name"])[:LONGEST_TEXT],
        "vm": vm_of_recording(recording),
        "driver": {"kind": "listed_ops", "ops": bare_ops(recording)},
    }


def scenario_from_document(document: Mapping[str, Any]) -> Scenario | Comparison:
    """Make the Scenario or Comparison of a document.

    Args:
        document: fields of a Scenario; with variants, of a Comparison.

    Returns:
        A Comparison if there are variants, else a Scenario.

    Raises:
        InputError: it is refused.
    """
    base = Scenario.model_validate({name: value for name, value in document.items() if name != "variants"})
    if "variants" not in document:
        return base
    return Comparison(base, document["variants"])
