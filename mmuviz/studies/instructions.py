"""`mmuviz instructions`: cost of each op of a recording in instructions, by the ledger.

An op costs the sum over all ledger entries of their count times their price. The machine counts the entries while it
runs the op; the recording's own answers are ignored. The engine prices the same counts. The unit is instructions of
kernel and guest, with mitigations off.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from mmuviz.costs.counted import Release
from mmuviz.costs.ledger import COSTS, SCALE, lookup
from mmuviz.mmu.features import parse_release
from mmuviz.studies.instruction_counts import counts_of_ops
from mmuviz.studies.replay import answer_files


@cache
def unit_costs(release: Release) -> dict[str, int]:
    """Return the cost of one unit of each entry on a kernel release, in hundredths of an instruction."""
    return {name: lookup(name, release).hundredths for name in COSTS}


def total(counts: Mapping[str, int], release: Release) -> int:
    """Sum the instructions of counts of entries, rounded to an integer."""
    each = unit_costs(release)
    return (sum(count * each[name] for name, count in counts.items()) + SCALE // 2) // SCALE


def instructions(document: dict[str, Any]) -> dict[str, Any]:
    """Compute the cost of each op of a KVM recording.

    Args:
        document: schema kvm-recording/1; the `after` of its ops, if any, is ignored.

    Returns:
        {"name", "ops": [{"op", "instructions"}]}.

    Raises:
        MmuvizError: the document or one of its ops is refused.
    """
    found = list(counts_of_ops(document))
    release = parse_release(document["kernel"])
    ops = zip(document["ops"], found, strict=True)
    return {
        "name": document["name"],
        "ops": [{"op": op["op"], "instructions": total(counts, release)} for op, counts in ops],
    }


def instructions_command(paths: list[Path], out: TextIO) -> int:
    """`mmuviz instructions FILE...`: see answer_files()."""
    return answer_files(paths, out, instructions)
