"""The header of a Recording: the run, its host, its versions, and data that is in no table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr
from pydantic import ValidationError as PydanticError

from mmuviz.core.errors import InputError, short_repr
from mmuviz.recording.json_values import freeze, thaw
from mmuviz.recording.schema import CALL_KINDS, CAUSES, MAX_BINS, MAX_COUNT, MAX_VCPUS, SCHEMA

MAX_NAMES: Final = 255


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("must not name one thing twice")
    return names


def _object(value: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("must be an object")  # noqa: TRY004 - pydantic reports a ValueError with the field's name
    return value


Count = Annotated[StrictInt, Field(ge=0, le=MAX_COUNT)]
Hash = Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{64}$")]
Names = Annotated[tuple[StrictStr, ...], Field(max_length=MAX_NAMES), AfterValidator(_unique)]
Document = Annotated[Any, BeforeValidator(_object), AfterValidator(freeze)]
"""A JSON object, read-only."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Host(_Part):
    """The host whose costs were used.

    Attributes:
        profile: its name in costs/hosts.py.
        says: one sentence that describes the host.
        extrapolated: whether it is larger than any host that was measured.
        stlb_entries: second-level TLB entries of a core for 4K and 2M pages.
        stlb_1g_entries: the same for 1G pages.
        postcopy_fault_ns: time of a post-copy fault at the destination, without the page's transfer, ns.
    """

    profile: StrictStr
    says: StrictStr
    extrapolated: StrictBool
    stlb_entries: Count
    stlb_1g_entries: Count
    postcopy_fault_ns: Count


class Versions(_Part):
    """Versions of mmuviz and of the kernel's row in mmu/features.py."""

    mmuviz: StrictStr
    kernel: StrictStr


class Vocabularies(_Part):
    """Names of coded values; a code is an index in its list. See schema.py for the lists of this version."""

    call_kinds: Names
    example_kinds: Names
    paths: Names
    event_kinds: Names
    walks: Names


class MemoryBytes(_Part):
    """Memory of the VM at the end of the run, without table pages, bytes."""

    headers: Count
    vcpu_caches: Count
    split_caches: Count
    rmap: Count
    bitmaps: Count
    rings: Count


class Migration(_Part):
    """The outcome of a migration.

    Attributes:
        outcome: completed; or the reason why it was given up: cancelled, too long, too many rounds.
        start_ps: time of its start, before logging was enabled.
        stop_ps: time at which the guest was stopped for the downtime; None if it never was.
        switch_ps: time at which the guest resumed at the destination by post-copy; None without a switch.
        end_ps: time at which the last page was sent, or logging was disabled again.
        left_pages: pages not yet sent at the switch; 0 without one.
        left_2m_pages: 2M pages that contain at least one of them.
        lost_pages: pages that the guest wrote after each was last sent; None if the migration was given up, or if the
            version that made the Recording did not count them.
    """

    outcome: Literal["completed", "cancelled", "too long", "too many rounds"]
    start_ps: Count
    stop_ps: Count | None
    switch_ps: Count | None
    end_ps: Count
    left_pages: Count
    left_2m_pages: Count
    lost_pages: Count | None = None


class Header(_Part):
    """A Recording's description of itself.

    Attributes:
        schema: SCHEMA; `schema_` in Python, since pydantic uses that name itself.
        scenario: the complete Scenario as a document.
        digest: sha256 of the Scenario without its texts, hex.
        host: the host profile.
        ledger_hash: sha256 of the ledger with its overrides, hex.
        versions: versions of mmuviz and of the kernel row.
        focus: the Focus as a document, or None.
        bin_ps: width of a bin.
        bins: number of bins.
        end_ps: end of the run.
        vcpus: number of vCPUs.
        cell_pages: pages of guest memory that a cell spans.
        causes: names of the causes of stalls.
        vocabularies: names of coded values.
        memory_bytes: memory at the end, without table pages.
        table_pages_at_enable: page-table pages when logging was first enabled, without the root and tables of 512G
            entries; None if it never was.
        table_pages_peak: the largest number of the same pages since then; since the start if logging was never enabled.
        events_left_out: events in the Focus beyond those that are kept.
        migration: outcome of the migration, of the last one if there are two; None if the driver does not migrate.
        earlier_migrations: outcomes of the migrations before it.
        notes: sentences for the reader, e.g. on which host times were modelled.
    """

    schema_: Annotated[Literal["mmuviz-recording/1"], Field(alias="schema")] = SCHEMA
    scenario: Document
    digest: Hash
    host: Host
    ledger_hash: Hash
    versions: Versions
    focus: Document | None
    bin_ps: Annotated[StrictInt, Field(ge=1, le=MAX_COUNT)]
    bins: Annotated[StrictInt, Field(ge=1, le=MAX_BINS)]
    end_ps: Count
    vcpus: Annotated[StrictInt, Field(ge=1, le=MAX_VCPUS)]
    cell_pages: Annotated[StrictInt, Field(ge=1, le=MAX_COUNT)]
    causes: Names
    vocabularies: Vocabularies
    memory_bytes: MemoryBytes
    table_pages_at_enable: Count | None
    table_pages_peak: Count
    events_left_out: Count
    migration: Migration | None
    earlier_migrations: tuple[Migration, ...]
    notes: tuple[StrictStr, ...]

    def document(self) -> dict[str, Any]:
        """The header as a new JSON object."""
        fields = {
            "schema" if name == "schema_" else name: value.model_dump() if isinstance(value, BaseModel) else value
            for name, value in self
        }
        fields["earlier_migrations"] = [each.model_dump() for each in self.earlier_migrations]
        return {name: thaw(value) for name, value in fields.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return header_of, (self.document(),)


def header_of(document: Mapping[str, Any]) -> Header:
    """Check a header.

    Args:
        document: its fields, by name.

    Returns:
        The Header.

    Raises:
        InputError: a field is missing, unknown or out of range, or the fields contradict each other.
    """
    try:
        header = Header.model_validate(document)
    except PydanticError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "header"
        rule = f"{first['msg'].removeprefix('Value error, ')}; see docs/recording-file.md"
        raise InputError(f"Recording header: {where}={short_repr(first['input'])}: {rule}") from None
    for name, found, must in (
        ("causes", header.causes, CAUSES),
        ("vocabularies.call_kinds", header.vocabularies.call_kinds, CALL_KINDS),
    ):
        if found != must:
            raise InputError(f"Recording header: {name}={short_repr(found)} must be {', '.join(must)}")
    if not (header.bins - 1) * header.bin_ps <= header.end_ps <= header.bins * header.bin_ps:
        raise InputError(
            f"Recording header: end_ps={header.end_ps} must lie in the last of {header.bins} bins of {header.bin_ps} ps"
        )
    if header.table_pages_peak < (header.table_pages_at_enable or 0):
        raise InputError(
            f"Recording header: table_pages_peak={header.table_pages_peak} must not be below "
            f"table_pages_at_enable={header.table_pages_at_enable}"
        )
    return header
