"""Reading kvm-recording/1 documents: everything is checked at the door, before anything runs."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mmuviz.ground.errors import InputError
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, VmConfig
from mmuviz.mmu.features import features_of

SCHEMA: Final = "kvm-recording/1"
MAX_FILE_BYTES: Final = 256 << 20
"""Larger documents are refused, compressed ones by their plain size: no recording comes near it."""
MAX_ACCESSES: Final = 1 << 26
"""Accesses of one op: a bound on memory (512 MiB of page numbers)."""

Document = Mapping[str, Any]

PAGES_SPEC: Final = "pages"
OP_FIELDS: Final[dict[str, dict[str, type | str]]] = {
    "slot": {"backing": str, "base_gfn": int, "pages": int, "hva_offset_pages": int, "host_populated": bool},
    "read": {"vcpu": int, "pages": PAGES_SPEC},
    "write": {"vcpu": int, "pages": PAGES_SPEC},
    "parallel_write": {"start": int, "stride": int, "count": int, "how": str},
    "enable": {},
    "disable": {},
    "get": {},
    "clear": {"first_page": int, "num_pages": int, "bits": str},
    "ring_collect": {},
    "ring_reset": {},
    "set_eager_page_split": {"value": bool},
    "dontneed": {"start": int, "count": int},
    "hostwrite": {"start": int, "stride": int, "count": int},
    "delslot": {},
}
"""Fields of every op kind; `clear` with bits=list has `list` as well, and any op may have `after`."""

HOW: Final = ("contig", "interleave", "same")
BITS: Final = ("last", "all", "list")


def read_document(path: Path) -> dict[str, Any]:
    """Read a recording's JSON, plain or gzip.

    Args:
        path: .json or .json.gz; told apart by content.

    Returns:
        The document, its form not yet checked.

    Raises:
        InputError: it cannot be read, is truncated, too large, or is not JSON.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as stream:
            text = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"cannot be read: {reason}; give a .json or .json.gz recording") from error
    if len(text) > MAX_FILE_BYTES:
        raise InputError(f"must be at most {MAX_FILE_BYTES} bytes of JSON")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {error}"[:200]) from error
    if not isinstance(document, dict):
        raise InputError(f"must hold a JSON object of schema {SCHEMA}, not {type(document).__name__}")
    return document


def _field(holder: Document, name: str, kind: type, where: str) -> Any:  # noqa: ANN401  # JSON has any type until checked here
    value = holder.get(name)
    if name not in holder:
        raise InputError(f"{where}: {name} is missing; it must be {kind.__name__}")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"{where}: {name}={value!r:.40} must be {kind.__name__}")
    return value


def _one_of(value: str, allowed: tuple[str, ...], where: str) -> str:
    if value not in allowed:
        raise InputError(f"{where}={value!r:.40} must be one of {', '.join(allowed)}")
    return value


def config_of(document: Document) -> VmConfig:
    """The VM that a recording was made with.

    Raises:
        InputError: the schema, the kernel or a choice is not one that exists.
        KvmError: a choice that KVM refuses.
    """
    if document.get("schema") != SCHEMA:
        raise InputError(f"schema={document.get('schema')!r:.40} must be {SCHEMA!r}")
    config = _field(document, "config", dict, "recording")
    kernel = features_of(_field(document, "kernel", str, "recording"))
    mode = _one_of(_field(config, "dirty_log_mode", str, "config"), tuple(DirtyLogMode), "config: dirty_log_mode")
    vendor = _one_of(_field(config, "vendor", str, "config"), ("amd", "intel"), "config: vendor")
    pml = _field(config, "pml", bool, "config")
    if pml and vendor != "intel":
        raise InputError("config: pml=true must come with vendor=intel; AMD has no PML")
    known = {"dirty_log_mode", "eager_page_split", "tdp_mmu", "vcpus", "ring_entries", "vendor", "pml"}
    unknown = sorted(set(config) - known)
    if unknown:
        raise InputError(f"config: {unknown[0]!r:.40} is unknown; fields are {', '.join(sorted(known))}")
    ring = DirtyLogMode(mode).ring
    return VmConfig(
        kernel=kernel,
        dirty_log_mode=DirtyLogMode(mode),
        eager_page_split=_field(config, "eager_page_split", bool, "config"),
        tdp_mmu=_field(config, "tdp_mmu", bool, "config"),
        vcpus=_field(config, "vcpus", int, "config"),
        ring_entries=_field(config, "ring_entries", int, "config") if ring else None,
        pml=pml,
    )


def memslot_of(op: Document) -> Memslot:
    """The memslot of a `slot` op."""
    backing = _one_of(op["backing"], tuple(Backing), "op 'slot': backing")
    return Memslot(
        base_gfn=op["base_gfn"],
        pages=op["pages"],
        backing=Backing(backing),
        hva_offset_pages=op["hva_offset_pages"],
        host_populated=op["host_populated"],
    )


def ops_of(document: Document) -> list[dict[str, Any]]:
    """A recording's ops, each checked for its kind, its fields and their types.

    Raises:
        InputError: the first op that breaks a rule, by its index.
    """
    ops: list[dict[str, Any]] = _field(document, "ops", list, "recording")
    for index, op in enumerate(ops):
        where = f"op {index}"
        if not isinstance(op, dict):
            raise InputError(f"{where} must be an object, not {type(op).__name__}")
        _check_op(op, where)
    return ops


def _check_op(op: dict[str, Any], where: str) -> None:
    kind = _one_of(_field(op, "op", str, where), tuple(OP_FIELDS), f"{where}: op")
    where = f"{where} ({kind})"
    fields = OP_FIELDS[kind]
    for name, wanted in fields.items():
        if isinstance(wanted, str):
            _check_pages(op.get(name), where)
        else:
            _field(op, name, wanted, where)
    allowed = {*fields, "op", "after"} | ({"list"} if op.get("bits") == "list" else set())
    unknown = sorted(set(op) - allowed)
    if unknown:
        raise InputError(f"{where}: {unknown[0]!r:.40} is unknown; fields are {', '.join(sorted(allowed - {'after'}))}")
    if kind in ("parallel_write", "hostwrite"):
        _check_pages({name: op[name] for name in ("start", "stride", "count")}, where)
    if kind == "parallel_write":
        _one_of(op["how"], HOW, f"{where}: how")
    if kind == "clear" and _one_of(op["bits"], BITS, f"{where}: bits") == "list":
        _check_pages(_field(op, "list", list, where), where)


def _check_pages(spec: object, where: str) -> None:
    if isinstance(spec, list):
        if any(not isinstance(page, int) or isinstance(page, bool) or not 0 <= page < 1 << 40 for page in spec):
            raise InputError(f"{where}: pages must be whole numbers from 0")
        return
    if not isinstance(spec, dict) or set(spec) != {"start", "stride", "count"}:
        raise InputError(f"{where}: pages must be a list, or an object of start, stride and count")
    for name in ("start", "stride", "count"):
        _field(spec, name, int, where)
    if not 0 <= spec["count"] <= MAX_ACCESSES:
        raise InputError(f"{where}: count={spec['count']} must be 0 to {MAX_ACCESSES}")
    if max(abs(spec["start"]), abs(spec["stride"])) >= 1 << 40:
        raise InputError(f"{where}: start and stride must be below 2**40")


@dataclass(frozen=True)
class Replayable:
    """A checked recording.

    Attributes:
        document: as it was read.
        config: the VM.
        ops: the ops, checked.
    """

    document: dict[str, Any]
    config: VmConfig
    ops: list[dict[str, Any]]


def checked(document: dict[str, Any]) -> Replayable:
    """Check a document's form.

    Raises:
        InputError: what it breaks first.
        KvmError: a choice that KVM refuses.
    """
    name = document.get("name")
    if not isinstance(name, str):
        raise InputError(f"recording: name={name!r:.40} must be str")
    return Replayable(document, config_of(document), ops_of(document))
