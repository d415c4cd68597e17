"""Short labels of runs: all different, not too long, without fields that all runs have in common."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.packaged_scenarios import ORDER
from mmuviz.studies.policies import POLICIES
from mmuviz.studies.scenario_files import read_scenario
from mmuviz.studies.short_labels import MOST_LETTERS, short_labels
from tests.engine.choices.drawn import documents
from tests.studies.test_comparison import base


def short(name: str) -> tuple[str, ...]:
    read = read_scenario(name)
    return short_labels(read.scenarios if isinstance(read, Comparison) else (read,))


@pytest.mark.parametrize("name", ORDER)
def test_labels_of_the_catalogue_differ_and_are_short(name: str) -> None:
    labels = short(name)
    assert len(set(labels)) == len(labels)
    assert all(0 < len(label) <= MOST_LETTERS for label in labels)
    # No letter had to be given, and no field's own name is left.
    assert not any("_" in label or label[1:3] == ": " for label in labels)


@given(st.lists(documents(), min_size=1, max_size=4))
def test_labels_of_any_scenarios_differ_and_are_short(drawn: list[dict[str, Any]]) -> None:
    unique = list({each.digest(): each for each in map(Scenario.model_validate, drawn)}.values())
    labels = short_labels(unique)
    assert len(set(labels)) == len(labels) == len(unique)
    assert all(0 < len(label) <= MOST_LETTERS for label in labels)


@given(st.lists(st.sampled_from(sorted(POLICIES)), min_size=2, max_size=4, unique=True))
def test_policies_are_called_by_their_names(names: list[str]) -> None:
    labels = short_labels(Comparison.of(base(), names).scenarios)
    called = [POLICIES[name] for name in names]
    if all(each.mode.ring for each in called):
        assert labels == tuple("Eager" if each.eager else "Lazy" for each in called)
        return
    # Lazy and Eager alone are those of one mode, and never of the mode in which nothing is protected before CLEAR.
    plain = len({each.mode for each in called}) == 1 and "eager_in_clear" not in names
    assert labels == tuple(each.short if plain else each.title for each in called)


def test_lazy_alone_protects_at_enable() -> None:
    assert short("running-guest") == ("Lazy", "Eager")
    mixed = Comparison.of(base(), ["lazy", "eager_at_enable"])
    assert short_labels(mixed.scenarios) == ("Lazy after CLEAR", "Eager at enable")


def test_what_all_have_in_common_is_left_out() -> None:
    assert short("migration-too-hot") == ("1 Gbit/s", "10 Gbit/s", "limit 5 s")
    assert short("clear-in-chunks") == ("1 GiB CLEARs", "64 GiB CLEARs")
    assert short("clear-bitmap-shift") == ("shift 9", "shift 14", "shift 18", "shift 20")
    assert short("amd-without-pml") == ("Lazy, Intel", "Eager, Intel", "Lazy, AMD", "Eager, AMD")
    assert short("recorded-disable") == ("Linux 6.12", "Linux 6.18")


def test_labels_that_would_be_long_get_a_letter() -> None:
    pair = Comparison.of(base(), ["lazy", "eager_in_clear"], "workload.pattern=uniform_random,sequential")
    assert [label[:3] for label in short_labels(pair.scenarios)] == ["A: ", "B: ", "C: ", "D: "]
