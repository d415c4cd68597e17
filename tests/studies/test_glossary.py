"""The glossary: one source, one line a term."""

from __future__ import annotations

import pytest

from mmuviz.core.errors import InputError
from mmuviz.studies.glossary import glossary, terms_in

WANTED = {
    "GPA",
    "gfn",
    "memslot",
    "SPTE",
    "leaf",
    "table",
    "zap",
    "split",
    "eager",
    "write-protect",
    "dirty bit",
    "A/D bits",
    "PML",
    "dirty ring",
    "CLEAR",
    "GET",
    "initially-all-set",
    "mmu_lock",
    "fast_page_fault",
    "TLB flush",
    "kick",
    "TLB reach",
    "pre-copy",
    "convergence",
    "downtime",
    "post-copy",
}


def test_it_explains_the_field_s_terms() -> None:
    names = [each.name for each in glossary()]
    assert set(names) >= WANTED
    assert len(names) >= 40


def test_a_few_words_are_needed_first() -> None:
    first = [each.name for each in glossary() if each.needed_first]
    assert first == [each.name for each in glossary()][: len(first)]
    assert 5 <= len(first) <= 12


def test_a_meaning_is_short_and_a_sentence() -> None:
    for each in glossary():
        assert len(each.description) <= 180, each
        assert each.description.endswith("."), each


def test_what_is_no_term_is_refused() -> None:
    assert [each.name for each in terms_in("# G\n\nwords\n\n## A\n\n- **a**: x.\n- **b, c**: y.\n")] == ["a", "b, c"]
    with pytest.raises(InputError, match=r"glossary\.md:3"):
        terms_in("## A\n- **a**: x.\n- b: y\n")
    with pytest.raises(InputError, match="a twice"):
        terms_in("## A\n- **a**: x.\n## B\n- **A**: y.\n")
