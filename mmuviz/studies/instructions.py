"""`mmuviz instructions`: what each op of a recording costs in instructions, by the ledger.

A cost is a sum that can be argued with: an op takes so many of each entry of the ledger, as our own
machine counts them while it carries the op out; what the recording says happened is not looked at.
The engine prices the same counts. Instructions of kernel and guest, mitigations off.
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
def prices(release: Release) -> dict[str, int]:
    """What a kernel release pays for one of each entry, in hundredths of an instruction."""
    return {name: lookup(name, release).hundredths for name in COSTS}


def total(counts: Mapping[str, int], release: Release) -> int:
    """Instructions of so many of each entry, to the nearest whole one."""
    each = prices(release)
    return (sum(count * each[name] for name, count in counts.items()) + SCALE // 2) // SCALE


def instructions(document: dict[str, Any]) -> dict[str, Any]:
    """What each op of a recording costs.

    Args:
        document: schema kvm-recording/1; the `after` of its ops, if any, is not looked at.

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
