"""A recording with any other value at any place is refused in one line or answered, and never ends in a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.core.errors import InputError
from mmuviz.studies.migrations.document import checked
from mmuviz.studies.migrations.replay import replayed_migration
from mmuviz.studies.migrations.verify import verify_migration
from tests.migrations.files import FILES, read

Path = tuple[str | int, ...]
Document = dict[str, Any]
VALUES: Final[tuple[object, ...]] = ([], {}, None, -1, 0, 1.5, "x", True, 1 << 61, 10**30)


def paths_of(value: object, path: Path = ()) -> list[Path]:
    """The path of every value inside a document, itself left out."""
    inside: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    return [each for step, part in inside for each in ((*path, step), *paths_of(part, (*path, step)))]


SMALLEST: Final = [
    min((path for path in FILES if word in path.name), key=lambda path: path.stat().st_size)
    for word in ("bitmap", "ring", "notrace", "idle")
]
"""Of each kind of recording the smallest: the whole of it is played twice for each example."""
PLACES: Final = [(path, place) for path in SMALLEST for place in paths_of(read(path))]
PER_SHAPE: Final = {
    (path, *(step for step in place if isinstance(step, str)), len(place)): (path, place) for path, place in PLACES
}
"""One place for each path without its indices, so that fields of rows do not crowd out all others."""


def replaced(document: Document, path: Path, value: object) -> Document:
    """A copy of a document with one other value."""
    copy: Document = json.loads(json.dumps(document))
    at: Any = copy
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return copy


@pytest.mark.parametrize("play", [verify_migration, replayed_migration])
@given(place=st.sampled_from(list(PER_SHAPE.values())) | st.sampled_from(PLACES), value=st.sampled_from(VALUES))
def test_another_value_anywhere(play: Callable[[Document], object], place: tuple[Any, Path], value: object) -> None:
    path, where = place
    try:
        answer = play(replaced(read(path), where, value))
    except InputError:
        return
    if play is replayed_migration:
        json.dumps(answer, allow_nan=False)


def placed(kind: str, **fields: object) -> Callable[[Document], tuple[Path, object]]:
    """The first event of a kind that has a field, and the value that replaces the field's."""
    ((name, value),) = fields.items()

    def find(document: Document) -> tuple[Path, object]:
        at = next(at for at, each in enumerate(document["events"]) if each["op"] == kind and name in each)
        return ("events", at, name), value

    return find


FOUND: Final[dict[str, Callable[[Document], tuple[Path, object]]]] = {
    "a list as op": lambda _: (("events", 5, "op"), []),
    "an object as op": lambda _: (("events", 5, "op"), {}),
    "a number of arguments": placed("QMP", args=7),
    "an object as status": lambda document: (
        ("events", next(at for at, each in enumerate(document["events"]) if "status" in each.get("data", ())), "data"),
        {"status": {}},
    ),
    "text as count": placed("QUERY_MIGRATE", ram={"duplicate": "x"}),
    "an object as note": lambda _: (("kvm_stats", 0, "note"), {}),
    "counters that are text": lambda _: (("kvm_stats", 0), "x"),
    "half a page": lambda _: (("kvm_stats", 0, "pages_4k"), 1.5),
    "no number of pages": lambda _: (("kvm_stats", 0, "pages_2m"), None),
    "more pages than there are": lambda _: (("kvm_stats", 0, "pages_4k"), 10**30),
    "less than no pages": placed("SET_MEM", l=[[0, 0, 0, 0, -1, 0, 0, 0]]),
    "an endless downtime": lambda _: (("config", "dl"), 10**5000),
    "no capabilities": lambda _: (("config", "caps"), None),
    "a throttle in words": lambda _: (("config", "params"), {"max-cpu-throttle": "x"}),
    "an endless write": placed("SEND", bytes=10**400),
    "a CLEAR of no row": placed("ELIDED", clear_args_as0=[7]),
    "counters of a CLEAR": placed("CLEAR", l=[[0, 0, 0, 64, 0, None, 0, []]]),
}


@pytest.mark.parametrize("found", FOUND.values(), ids=FOUND)
def test_what_was_found_is_refused_where_the_document_is_read(
    found: Callable[[Document], tuple[Path, object]],
) -> None:
    kind = "ft_thp_eager_shift9" if found is FOUND["a CLEAR of no row"] else "thp_eager_cancel_restart"
    document = read(next(path for path in FILES if path.name.startswith(kind)))
    with pytest.raises(InputError) as refused:
        checked(replaced(document, *found(document)))
    assert "\n" not in str(refused.value)
