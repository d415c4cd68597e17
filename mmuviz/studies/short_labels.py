"""Short labels of at most sixteen letters that distinguish runs in a title, at the end of a line or on a ribbon."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.studies.comparison import POLICY_FIELDS, depends_on_another, differing, flat, part_text
from mmuviz.studies.policies import POLICIES, policy_name

MOST_LETTERS: Final = 16
LETTERS: Final = "ABCD"
ABBREVIATIONS: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"^downtime_limit "), "limit "),
    (re.compile(r"^link (?=.*/s)"), ""),
    (re.compile(r"^clear_chunk (.*)"), r"\1 CLEARs"),
    (re.compile(r"^clear_bitmap_shift (.*)"), r"shift \1"),
    (re.compile(r"^split_chunk 0\b.*"), "no chunks"),
    (re.compile(r"^split_chunk (.*)"), r"\1 chunks"),
    (re.compile(r"^kernel (\d+\.\d+)\b.*"), r"Linux \1"),
    (
        re.compile(r"^memory\[\d+\]\.backing (?:hugetlb_)?([124])([gmk])$"),
        lambda found: f"{found[1]}{found[2].upper()} pages",
    ),
    (re.compile(r"^memory\[\d+\]\.backing thp$"), "THP"),
    (re.compile(r"^without_logging$"), "no logging"),
    (re.compile(r"^direct_shadow$"), "shadow MMU"),
    (re.compile(r"^amd$"), "AMD"),
    (re.compile(r"^intel$"), "Intel"),
    (re.compile(r"^(ring|manual)_initially_set\b"), r"\1, all set"),
    (re.compile(r"_"), " "),
)
"""Abbreviations of the parts of a label, e.g. a release without its build number, or a value without its field."""


def short_labels(scenarios: Sequence[Scenario]) -> tuple[str, ...]:
    """Make short labels that distinguish scenarios.

    Fields with the same value in all scenarios are left out, and so is a field that groups them as another one does
    (AMD has no PML). If each scenario differs from the first in only one field, its label is that field.

    Args:
        scenarios: one to four Scenarios, all different.

    Returns:
        A label for each Scenario, all different, at most MOST_LETTERS long; if labels would be equal or too long, all
        begin with a letter and are cut.
    """
    columns = _columns(scenarios)
    found = _by_one_change(columns) or [", ".join(column[at] for column in columns) for at in range(len(scenarios))]
    if len(set(found)) == len(found) and all(0 < len(each) <= MOST_LETTERS for each in found):
        return tuple(found)
    return tuple(f"{LETTERS[at]}: {each}"[:MOST_LETTERS].rstrip(" :,") for at, each in enumerate(found))


def _columns(scenarios: Sequence[Scenario]) -> list[list[str]]:
    """List the texts of the differing fields, one list per field; without fields that distinguish no further pair."""
    documents = [flat(each.as_document()) for each in scenarios]
    names = [name for name in differing(documents) if not depends_on_another(name, scenarios, documents)]
    columns = [_policy_names(scenarios)]
    columns += [[_short(name, each.get(name)) for each in documents] for name in names if name not in POLICY_FIELDS]
    columns = [column for column in columns if len(set(column)) > 1] or columns[:1]
    kept: list[list[str]] = []
    # Greedy: the field with the most different values first, the shorter one of equals; a further field is kept if it
    # distinguishes more scenarios than those before.
    for column in sorted(columns, key=lambda column: (-len(set(column)), max(map(len, column)))):
        if _groups([*kept, column]) > _groups(kept):
            kept.append(column)
    return [column for column in columns if column in kept] or columns[:1]


def _groups(columns: Sequence[Sequence[str]]) -> int:
    return len(set(zip(*columns, strict=True))) if columns else 1


def _by_one_change(columns: Sequence[Sequence[str]]) -> list[str]:
    """Label the first scenario by its first field and each other by the only field that differs; [] if several do."""
    rows = list(zip(*columns, strict=True))
    changed = [[at for at, text in enumerate(row) if text != rows[0][at]] for row in rows[1:]]
    if any(len(each) != 1 for each in changed):
        return []
    return [rows[0][0], *(row[at] for row, (at,) in zip(rows[1:], changed, strict=True))]


def _policy_names(scenarios: Sequence[Scenario]) -> list[str]:
    """Return a name for the policy of each scenario, as short as the others allow."""
    names = [policy_name(each.vm) for each in scenarios]
    modes = {each.vm.dirty_log_mode for each in scenarios}
    # A ring that all scenarios have is not named, nor is a mode that no policy has.
    if len(modes) == 1 and (scenarios[0].vm.dirty_log_mode.ring or not all(name in POLICIES for name in names)):
        return ["Eager" if each.vm.splits_eagerly else "Lazy" for each in scenarios]
    if not all(name in POLICIES for name in names):
        return [POLICIES[name].short if name in POLICIES else _abbreviated(name) for name in names]
    short = [POLICIES[name].short for name in names]
    titles = [POLICIES[name].title for name in names]
    # Lazy alone means that enabling protects: beside another mode, or a policy named by its mode, all are.
    plain = len(modes) == 1 and len(set(short)) == len(set(names)) and not set(short) & set(titles)
    return short if plain else titles


def _short(name: str, value: object) -> str:
    return _abbreviated(part_text(name, value))


def _abbreviated(text: str) -> str:
    for pattern, short in ABBREVIATIONS:
        text = pattern.sub(short, text)
    return text
