"""The glossary, read from docs/glossary.md, which has one line per term."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from mmuviz.core.errors import InputError

FILE: Final = "glossary.md"
PACKAGE: Final = Path(__file__).resolve().parent.parent
FIRST: Final = "Needed first"
_SECTION: Final = re.compile(r"## (.+)")
_TERM: Final = re.compile(r"- \*\*(.+?)\*\*: (\S.*)")


class Term(NamedTuple):
    """A term of the glossary.

    Attributes:
        name: the term, as KVM developers use it.
        description: its meaning.
        section: section of the file.
    """

    name: str
    description: str
    section: str

    @property
    def needed_first(self) -> bool:
        """Whether a newcomer needs the term first; the page's help lists these."""
        return self.section == FIRST


def terms_in(text: str) -> list[Term]:
    """Parse a glossary.

    Args:
        text: Markdown: sections, each with a list of one term per line.

    Returns:
        The terms, in order.

    Raises:
        InputError: a line of a section is not a term, or a term occurs twice.
    """
    found: list[Term] = []
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        head, term = _SECTION.fullmatch(line), _TERM.fullmatch(line)
        if head:
            section = head[1]
        elif term and section:
            found.append(Term(term[1], term[2], section))
        elif section and line.strip():
            raise InputError(f"{FILE}:{number} must be '- **term**: what it means', or a section")
    names = [each.name.casefold() for each in found]
    twice = [name for at, name in enumerate(names) if name in names[:at]]
    if twice:
        raise InputError(f"{FILE} explains {twice[0]} twice; keep one")
    return found


@cache
def glossary() -> list[Term]:
    """Read all terms.

    Raises:
        FileNotFoundError: neither the wheel nor a checkout has the file.
    """
    for folder in (PACKAGE / "docs", PACKAGE.parent / "docs"):
        if (folder / FILE).is_file():
            return terms_in((folder / FILE).read_text(encoding="utf-8"))
    raise FileNotFoundError(
        f"no docs/{FILE} beside {PACKAGE}; it belongs to the wheel and to a checkout: install again"
    )
