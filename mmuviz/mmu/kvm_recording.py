"""Reads kvm-recording/1 documents; everything is checked before anything runs."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from mmuviz.core.errors import InputError, short_repr
from mmuviz.core.pages import PAGES_PER_1G
from mmuviz.core.regular_file import open_regular
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, Mmu, VmConfig
from mmuviz.mmu.features import features_of

SCHEMA: Final = "kvm-recording/1"
MAX_FILE_BYTES: Final = 32 << 20
"""Size above which a document, uncompressed, is refused; recordings are much smaller."""
MAX_ACCESSES: Final = 1 << 22
"""Accesses of one op, all vCPUs together: a bound on memory, as each access may log three events."""
MAX_PAGE: Final = (1 << 40) - 1
"""Above any gfn, and far below the range of 64 bits."""

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
OP_FIELDS_OF_SEVERAL: Final[dict[str, dict[str, type | str]]] = {
    **OP_FIELDS,
    "move_slot": {"base_gfn": int},
    "set_read_only": {"value": bool},
}
"""Fields for a recording of several slots, in which any op may have `slot`, its slot's id, 1 if absent."""
TEST_SLOT: Final = 1
"""Id of the slot of an op without `slot`."""
OF_NO_SLOT: Final = ("ring_collect", "ring_reset", "set_eager_page_split")
SLOT_FLAGS: Final = ("logged", "read_only")
"""KVM_MEM_LOG_DIRTY_PAGES and KVM_MEM_READONLY of a `slot` op in such a recording; false if absent."""
FIELDS: Final = ("schema", "name", "kernel", "note", "config", "ops")
CONFIG_FIELDS: Final = ("dirty_log_mode", "eager_page_split", "tdp_mmu", "vcpus", "ring_entries", "vendor", "pml")

HOW: Final = ("contig", "interleave", "same")
BITS: Final = ("last", "all", "list")


def read_document(path: Path) -> dict[str, Any]:
    """Read a recording's JSON, plain or gzip.

    Args:
        path: .json or .json.gz; the content decides.

    Returns:
        The document, its form not yet checked.

    Raises:
        InputError: it is not a file, cannot be read, is truncated, too large, or is not JSON.
    """
    try:
        with open_regular(path) as file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if zipped else file as stream:
                text = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"cannot be read: {reason}; give a .json or .json.gz recording") from error
    if len(text) > MAX_FILE_BYTES:
        size = f"it has more than {MAX_FILE_BYTES >> 20} MiB of JSON"
        raise InputError(f"{size}; a recording must have less: give one with fewer ops or fewer events")
    return _parsed(text)


def _parsed(text: bytes) -> dict[str, Any]:
    """Parse JSON as RFC 8259 defines it: no NaN, no number beyond a float's range; and no name twice in an object."""
    try:
        document = json.loads(
            text, object_pairs_hook=_each_name_once, parse_constant=_no_number, parse_float=_finite_number
        )
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {str(error)[:200]}; give a .json or .json.gz recording") from error
    if not isinstance(document, dict):
        raise InputError(f"must hold a JSON object of schema {SCHEMA}, not {type(document).__name__}")
    return document


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise InputError(f"the field {short_repr(twice)} stands twice in one object; keep one of them")
    return found


def _no_number(text: str) -> NoReturn:
    raise InputError(f"holds {text}, which is no JSON; give a number or null")


def _finite_number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise InputError(f"the number {digits[:40]} is too large; give one below 1e308")
    return number


def _refuse_unknown(holder: Document, known: tuple[str, ...], where: str) -> None:
    unknown = sorted(set(holder) - set(known))
    if unknown:
        raise InputError(f"{where}: {short_repr(unknown[0])} is unknown; fields are {', '.join(sorted(known))}")


def field_of(holder: Document, name: str, kind: type, where: str) -> Any:  # noqa: ANN401  # JSON has any type until checked here
    """One field of an object, checked.

    Raises:
        InputError: it is missing, or of another type.
    """
    value = holder.get(name)
    if name not in holder:
        raise InputError(f"{where}: {name} is missing; it must be {kind.__name__}")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"{where}: {name}={short_repr(value)} must be {kind.__name__}")
    return value


def _one_of(value: str, allowed: tuple[str, ...], where: str) -> str:
    if value not in allowed:
        raise InputError(f"{where}={short_repr(value)} must be one of {', '.join(allowed)}")
    return value


def config_of(document: Document) -> VmConfig:
    """Configuration of the VM that a recording was made with.

    Raises:
        InputError: the schema, the kernel or an option does not exist.
        KvmError: KVM refuses an option.
    """
    if document.get("schema") != SCHEMA:
        raise InputError(f"schema={short_repr(document.get('schema'))} must be {SCHEMA!r}")
    config = field_of(document, "config", dict, "recording")
    kernel = features_of(field_of(document, "kernel", str, "recording"))
    mode = _one_of(field_of(config, "dirty_log_mode", str, "config"), tuple(DirtyLogMode), "config: dirty_log_mode")
    vendor = _one_of(field_of(config, "vendor", str, "config"), ("amd", "intel"), "config: vendor")
    pml = field_of(config, "pml", bool, "config")
    if pml and vendor != "intel":
        raise InputError("config: pml=true must come with vendor=intel; AMD has no PML")
    _refuse_unknown(config, CONFIG_FIELDS, "config")
    ring = DirtyLogMode(mode).ring or config.get("ring_entries") is not None
    entries = field_of(config, "ring_entries", int, "config") if ring else None
    return VmConfig(
        kernel=kernel,
        dirty_log_mode=DirtyLogMode(mode),
        eager_page_split=field_of(config, "eager_page_split", bool, "config"),
        mmu=Mmu.TDP if field_of(config, "tdp_mmu", bool, "config") else Mmu.DIRECT_SHADOW,
        vcpus=field_of(config, "vcpus", int, "config"),
        ring_entries=entries if DirtyLogMode(mode).ring else None,
        pml=pml,
    )


def memslot_of(op: Document) -> Memslot:
    """The memslot of a `slot` op.

    Raises:
        InputError: the backing does not exist, or the offset is 1 GiB or more.
        KvmError: KVM refuses the range.
    """
    if not 0 <= op["hva_offset_pages"] < PAGES_PER_1G:
        raise InputError(
            f"op 'slot': hva_offset_pages={short_repr(op['hva_offset_pages'])} must be 0 to {PAGES_PER_1G - 1}: a "
            "mapping begins at a multiple of 1 GiB; leave out whole GiBs before the slot"
        )
    backing = _one_of(op["backing"], tuple(Backing), "op 'slot': backing")
    return Memslot(
        base_gfn=op["base_gfn"],
        pages=op["pages"],
        backing=Backing(backing),
        hva_offset_pages=op["hva_offset_pages"],
        host_populated=op["host_populated"],
        read_only=op.get("read_only", False),
    )


def ops_of(document: Document, vcpus: int) -> list[dict[str, Any]]:
    """A recording's ops, each checked for its kind, its fields and their types.

    Args:
        document: a recording.
        vcpus: number of vCPUs of its VM.

    Returns:
        The ops.

    Raises:
        InputError: an op breaks a rule; the message names the first one by its index.
    """
    ops: list[dict[str, Any]] = field_of(document, "ops", list, "recording")
    several = has_several_slots(ops)
    for index, op in enumerate(ops):
        where = f"op {index}"
        if not isinstance(op, dict):
            raise InputError(f"{where} must be an object, not {type(op).__name__}")
        _check_op(op, where, vcpus, several=several)
    return ops


def has_several_slots(ops: list[Any]) -> bool:
    """Whether any op names its slot."""
    return any(isinstance(op, dict) and "slot" in op for op in ops)


def _check_op(op: dict[str, Any], where: str, vcpus: int, *, several: bool) -> None:
    known = OP_FIELDS_OF_SEVERAL if several else OP_FIELDS
    kind = _one_of(field_of(op, "op", str, where), tuple(known), f"{where}: op")
    where = f"{where} ({kind})"
    fields = known[kind]
    for name, wanted in fields.items():
        if isinstance(wanted, str):
            _check_pages(op.get(name), where)
        else:
            field_of(op, name, wanted, where)
    chosen = _check_chosen(op, kind, where) if several else []
    chosen += ["list"] if op.get("bits") == "list" else []
    _refuse_unknown(op, (*fields, "op", "after", *chosen), where)
    if kind in ("parallel_write", "hostwrite"):
        each = vcpus if op.get("how") == "same" else 1
        _check_pages({name: op[name] for name in ("start", "stride", "count")}, where, each)
    if kind == "parallel_write":
        _one_of(op["how"], HOW, f"{where}: how")
    if kind == "clear" and _one_of(op["bits"], BITS, f"{where}: bits") == "list":
        _check_pages(field_of(op, "list", list, where), where)


def _check_chosen(op: dict[str, Any], kind: str, where: str) -> list[str]:
    """Check the optional fields of an op in a recording of several slots; returns their names."""
    wanted: dict[str, type] = {} if kind in OF_NO_SLOT else {"slot": int}
    wanted |= dict.fromkeys(SLOT_FLAGS, bool) if kind == "slot" else {}
    for name in wanted.keys() & op.keys():
        field_of(op, name, wanted[name], where)
    return list(wanted)


def _check_pages(spec: object, where: str, vcpus: int = 1) -> None:
    if isinstance(spec, list):
        wrong = [page for page in spec if type(page) is not int or not 0 <= page <= MAX_PAGE][:1]
        if wrong:
            raise InputError(f"{where}: page {short_repr(wrong[0])} must be a whole number from 0 to {MAX_PAGE}")
        if len(spec) > MAX_ACCESSES:
            raise InputError(f"{where}: {len(spec)} pages must be at most {MAX_ACCESSES}; make several ops of it")
        return
    if not isinstance(spec, dict) or set(spec) != {"start", "stride", "count"}:
        raise InputError(f"{where}: pages must be a list, or an object of start, stride and count")
    for name in ("start", "stride", "count"):
        field_of(spec, name, int, where)
    if not 0 <= spec["count"] <= MAX_ACCESSES // vcpus:
        each = f" for each of {vcpus} vCPUs" if vcpus > 1 else ""
        raise InputError(
            f"{where}: count={short_repr(spec['count'])} must be 0 to {MAX_ACCESSES // vcpus}{each}; make "
            "several ops of it"
        )
    for name in ("start", "stride"):
        if abs(spec[name]) > MAX_PAGE:
            raise InputError(
                f"{where}: {name}={short_repr(spec[name])} must be {-MAX_PAGE} to {MAX_PAGE}, as pages are"
            )


@dataclass(frozen=True)
class CheckedRecording:
    """A checked recording.

    Attributes:
        document: as read.
        config: the VM's configuration.
        ops: the ops, checked.
    """

    document: dict[str, Any]
    config: VmConfig
    ops: list[dict[str, Any]]

    @property
    def several(self) -> bool:
        """Whether it is a recording of several slots."""
        return has_several_slots(self.ops)


def parse(document: dict[str, Any]) -> CheckedRecording:
    """Check a document's form.

    Raises:
        InputError: it breaks a rule; the message names the first.
        KvmError: KVM refuses an option.
    """
    field_of(document, "name", str, "recording")
    config = config_of(document)
    _refuse_unknown(document, FIELDS, "recording")
    if "note" in document:
        field_of(document, "note", str, "recording")
    return CheckedRecording(document, config, ops_of(document, config.vcpus))
