import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.web.page import asked, shown
from mmuviz.web.shipped import DEFAULT, Shelf

KNOWN = {DEFAULT, "A_1g_legacy_lazy__6.1"}


@pytest.mark.parametrize("query", ["", "?", f"?scenario={DEFAULT}"])
def test_the_default_needs_no_query(query: str) -> None:
    assert asked(query, KNOWN.__contains__) == (DEFAULT, "")


def test_a_scenario_is_named_in_the_query() -> None:
    assert asked("?scenario=A_1g_legacy_lazy__6.1", KNOWN.__contains__) == ("A_1g_legacy_lazy__6.1", "")


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("?scenario=nope", "'nope'"),
        ("?scenario=", "''"),
        ("?scenario=a&scenario=b", "'a'"),
        ("?colour=red", "'colour'"),
        ("?" + "&".join(f"f{n}=1" for n in range(50)), "cannot be read"),
    ],
)
def test_a_wrong_query_gets_a_message_and_the_default(query: str, word: str) -> None:
    name, complaint = asked(query, KNOWN.__contains__)
    assert name == DEFAULT
    assert word in complaint


@given(st.text(max_size=300))
def test_no_query_is_too_strange(query: str) -> None:
    name, complaint = asked(query, KNOWN.__contains__)
    assert name in KNOWN
    assert len(complaint) < 150


def test_the_page_has_a_message_only_where_something_was_wrong() -> None:
    shelf = Shelf()
    assert len(shown("?scenario=nope", shelf)) == len(shown("", shelf)) + 1
