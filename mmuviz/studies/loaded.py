"""Loads the compiled simulation before anybody waits for it."""

from __future__ import annotations

from mmuviz.engine.run import run
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.packaged_scenarios import DEFAULT
from mmuviz.studies.scenario_files import read_scenario


def load_engine() -> None:
    """Run the default story once: a process that forks then gives its children the code as it stands in memory."""
    found = read_scenario(DEFAULT)
    for scenario in found.scenarios if isinstance(found, Comparison) else (found,):
        run(scenario)
