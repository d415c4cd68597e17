"""The schema, and the document that shows it."""

from pathlib import Path

from mmuviz.mmu import walks
from mmuviz.recording.schema import CALL_KINDS, EXAMPLE_KINDS, IOCTL_COUNT, MAX_EXAMPLES_PER_BIN, TABLES, WALKS, Column
from tests.recording.made_recordings import made_header, made_recording

TYPES = {"<i8": "int64", "<i4": "int32", "<i2": "int16", "|u1": "uint8"}


WALK_KINDS = (
    "SPLIT",
    "WRITE_PROTECT",
    "COLLAPSE_TABLES",
    "COLLAPSE_LEAVES",
    "GET_WORDS",
    "CLEAR_WORDS",
    "RESET_RING",
    "PRE_SPLIT",
    "ARM_WORDS",
    "SPLIT_NON_CONVERGING",
    "CLEAR_DIRTY",
)


def row_of(table: str, column: Column) -> str:
    fields = f" x {len(column.fields)}" if column.fields else ""
    unit = f", {column.unit}" if column.unit else ""
    listed = f" Fields: {', '.join(column.fields)}." if 0 < len(column.fields) < 10 else ""
    what = f"{TYPES[column.dtype.str]}, {column.rows}{fields}{unit}"
    return f"| `{table}.{column.name}` | {what} | {column.meaning}{listed} |"


def tables_text() -> str:
    """The schema as a table of Markdown."""
    rows = [row_of(table, column) for table, columns in TABLES.items() for column in columns]
    return "\n".join(["| column | type, rows, unit | what |", "|---|---|---|", *rows])


def test_the_document_shows_every_column(repository: Path) -> None:
    """After a change of the schema, put tables_text() in its place."""
    assert tables_text() in (repository / "docs" / "recording-file.md").read_text()


def test_the_document_names_every_total_and_field(repository: Path) -> None:
    text = (repository / "docs" / "recording-file.md").read_text()
    for name in (*made_recording().totals, *made_header(1, 1)):
        assert f"`{name}`" in text


def test_a_name_ends_with_its_unit() -> None:
    for columns in TABLES.values():
        for column in columns:
            assert (column.unit == "ps") == column.name.endswith("_ps")
            assert column.meaning.endswith(".")


def test_ioctls_come_first_and_examples_fit() -> None:
    assert CALL_KINDS[:IOCTL_COUNT] == ("enable", "get", "clear", "reset", "disable", "pre_split")
    assert len(EXAMPLE_KINDS) - 1 <= MAX_EXAMPLES_PER_BIN


def test_walks_have_the_numbers_of_the_machine() -> None:
    kinds = {name.lower(): getattr(walks, name) for name in WALK_KINDS}
    assert [WALKS[kind + 1] for kind in kinds.values()] == [
        name.removesuffix("_words").removesuffix("_ring") for name in kinds
    ]
    assert len(WALKS) == len(kinds) + 1
