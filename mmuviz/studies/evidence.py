"""The page's evidence: published measurements with the model's values, and KVM recordings that it reproduces exactly.

It is made by `make evidence`, which runs every published experiment and replays every KVM recording in some twenty
minutes, and packaged. Tests compute a part of it again and compare it with the file.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from mmuviz.core.jit import COMPILED_ROOMS, PACKAGE
from mmuviz.core.version import __version__
from mmuviz.costs.hosts import PROFILES
from mmuviz.costs.ledger import ledger_hash
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.mmu.kvm_recording import read_document
from mmuviz.studies.experiments import experiment_of
from mmuviz.studies.measurements import read_measurements
from mmuviz.studies.scenario_files import of_recording
from mmuviz.studies.validate import Result, each_result, wrong_orders
from mmuviz.studies.verify import recordings_in, verify_document

PACKAGED: Final = "evidence/evidence.json"
MADE_FROM: Final = (
    *COMPILED_ROOMS,
    "costs",
    "data/costs",
    "data/published",
    "studies/experiments.py",
    "studies/measurements.py",
    "studies/point_scenarios.py",
    "studies/published_fields.py",
    "studies/published_sources.py",
    "studies/validate.py",
    "studies/verify.py",
)
"""Folders and files of the package on which the evidence depends."""
DIGITS: Final = 6
"""Significant digits of a modelled value; more would be meaningless."""
WITHIN: Final = 2 / 3
"""The share of a host's predicted values whose error its uncertainty covers."""
STEP_PERCENT: Final = 5
FEWEST: Final = 5
"""A host with fewer predicted values has no uncertainty of its own; that of all hosts is used."""


def model_hash() -> str:
    """Return a hash of all files in MADE_FROM, 16 hex digits; it depends on no commit and no machine."""
    digest = hashlib.sha256()
    for part in MADE_FROM:
        path = PACKAGE / part
        files = [path] if path.is_file() else [each for each in path.rglob("*.*") if each.suffix in (".py", ".json")]
        for each in sorted(files):
            digest.update(str(each.relative_to(PACKAGE)).encode())
            digest.update(each.read_bytes())
    return digest.hexdigest()[:16]


def row_of(result: Result) -> dict[str, Any]:
    """Make the row of a published value for the page."""
    point = result.point
    covered = result.modelled is not None
    profile = experiment_of(point).scenario.host.profile if covered else ""
    also = result.also and {"says": result.also[0], "modelled": _rounded(result.also[1])}
    return {
        "id": point.id,
        "table": result.table,
        "source": point.source_title,
        "url": point.source_url,
        "workload": {name: value for name, value in point.workload.items() if name != "tool"},
        "strategy": point.strategy,
        "metric": point.metric,
        "unit": point.unit,
        "measured": point.value,
        "modelled": _rounded(result.modelled),
        "error": None if result.error is None else round(result.error, 4),
        "fitted": result.fitted,
        "host": profile,
        "reason": result.reason,
        "also": also,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def uncertainty_of(errors: Iterable[float]) -> int:
    """Return the least multiple of 5 % that two thirds of the errors do not exceed, in percent.

    Args:
        errors: the errors max(modelled / measured, measured / modelled) - 1, one per published value.
    """
    found = sorted(errors)
    error = found[math.ceil(WITHIN * len(found)) - 1]
    return max(STEP_PERCENT, math.ceil(round(100 * error / STEP_PERCENT, 6)) * STEP_PERCENT)


def uncertainties(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Compute the uncertainty of modelled times, by host profile.

    Args:
        rows: rows made by row_of().

    Returns:
        By profile: `percent`; `values`, the number of published values behind it, none of them fitted; and `host`, the
        host that they are from, or empty if it has fewer than five and those of all hosts are used.
    """
    known = [row for row in rows if row["error"] is not None and not row["fitted"]]
    found = {}
    for name, profile in PROFILES.items():
        base = name.removesuffix("_416")
        own = [row["error"] for row in known if row["host"] == base]
        errors = own if len(own) >= FEWEST else [row["error"] for row in known]
        found[name] = {
            "percent": uncertainty_of(errors),
            "values": len(errors),
            "host": base if len(own) >= FEWEST else "",
            "extrapolated": profile.extrapolated,
        }
    return found


def document_of(results: Sequence[Result], recordings: Mapping[str, bool], mmus: Iterable[str]) -> dict[str, Any]:
    """Make the evidence as a document.

    Args:
        results: results of every published measurement, in order.
        recordings: file name -> whether the model reproduces the KVM recording exactly.
        mmus: MMUs of the recorded VMs.
    """
    rows = [row_of(each) for each in results]
    pairs = [[low.point.id, high.point.id] for low, high in wrong_orders(list(results))]
    return {
        "schema": "mmuviz-evidence/1",
        "version": __version__,
        "model": model_hash(),
        "ledgers": ledgers(),
        "recordings": {"exact": sum(recordings.values()), "of": len(recordings), "mmus": sorted(mmus)},
        "wrong_orders": pairs,
        "uncertainty": uncertainties(rows),
        "rows": rows,
    }


def ledgers() -> dict[str, str]:
    """Return the hash of the ledger of each host profile, by which the modelled times were priced."""
    return {name: ledger_hash(profile.values) for name, profile in PROFILES.items()}


def text_of(document: Mapping[str, Any]) -> str:
    """Write the evidence as the text of its file: one row per line, so that diffs are readable."""
    fields = {name: value for name, value in document.items() if name != "rows"}
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in fields.items()]
    rows = ",\n".join(f"  {json.dumps(row)}" for row in document["rows"])
    return "{\n" + ",\n".join([*lines, f' "rows": [\n{rows}\n ]']) + "\n}\n"


@cache
def packaged_evidence() -> dict[str, Any]:
    """Read the packaged evidence."""
    found: dict[str, Any] = json.loads(resources.files("mmuviz.data").joinpath(PACKAGED).read_bytes())
    return found


def main(folder: str) -> int:
    """`python -m mmuviz.studies.evidence FOLDER`: compute the evidence again, to standard output.

    Args:
        folder: folder of KVM recordings.

    Returns:
        Exit status: 0.
    """
    exact, mmus = {}, set()
    for path in recordings_in([Path(folder)]):
        document = read_document(path)
        exact[path.name] = not verify_document(document)
        mmus.add(Scenario.model_validate(of_recording(document)).vm.mmu)
    results = list(each_result(read_measurements(), _say))
    sys.stdout.write(text_of(document_of(results, exact, mmus)))
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
