"""No cost is written anywhere but in the ledger and the counted data."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from mmuviz.costs.counted import MITIGATIONS
from mmuviz.costs.ledger import rows

VIEW = {"components", "web", "figures"}
"""Rooms that know no cost: what equals one there is a width or a status."""
SUFFIXES = ("_instructions", "_ns", "_ps", "_us")
LEAST = 100

VALUES = {entry.value for mitigations in MITIGATIONS for entry in rows(mitigations).values() if entry.value > LEAST}
ROUND = {value for value in VALUES if value % 100 == 0}
"""Counted figures that happen to be round, and assumptions, which are: such a literal proves nothing."""


def targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []


def is_time(node: ast.BinOp) -> bool:
    """Whether a number stands before a unit of time, as in ``100 * PS_PER_NS``."""
    if not isinstance(node.op, ast.Mult):
        return False
    sides = [node.left, node.right]
    numbers = [side for side in sides if isinstance(side, ast.Constant)]
    return bool(numbers) and any(isinstance(side, ast.Name) and side.id == "PS_PER_NS" for side in sides)


def cost_literals(source: str) -> list[str]:
    """Return the cost literals in a source file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value in VALUES - ROUND:
            found.append(f"line {node.lineno}: {node.value} is a cost of the ledger")
        if isinstance(node, ast.BinOp) and is_time(node):
            found.append(f"line {node.lineno}: {ast.unparse(node)} is a time")
        value = getattr(node, "value", None)
        number = isinstance(value, ast.Constant) and type(value.value) in (int, float) and value.value != 0
        names = [ast.unparse(target) for target in targets(node)]
        found += [f"{name} is given a number" for name in names if number and name.lower().endswith(SUFFIXES)]
    return found


def test_no_cost_stands_outside_the_ledger(repository: Path) -> None:
    package = repository / "mmuviz"
    sources = [path for path in package.rglob("*.py") if path.relative_to(package).parts[0] not in {"costs", *VIEW}]
    assert len(sources) > 40
    assert {str(path): found for path in sources if (found := cost_literals(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source", ["x = 2753", "bill = count * 26687.69", "stall_ns = 5", "A_INSTRUCTIONS: int = 7", "x = 100 * PS_PER_NS"]
)
def test_a_cost_is_found_where_it_should_not_stand(source: str) -> None:
    assert cost_literals(source)


@pytest.mark.parametrize("source", ["x = 4096", "stall_ns = 0", "stall_ns = entry.value", "pages = 512"])
def test_what_is_no_cost_is_left_alone(source: str) -> None:
    assert cost_literals(source) == []
