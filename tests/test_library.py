"""`import mmuviz`: seven names, imported when they are used."""

import subprocess
import sys
from pathlib import Path

import pytest

import mmuviz
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from tests.cli.small_files import SMALL, VARIANTS
from tests.served import clean_environment

NAMES = ["Comparison", "Focus", "Recording", "Scenario", "compare", "load", "run"]


def test_these_names_are_public() -> None:
    assert mmuviz.__all__ == NAMES
    assert {*NAMES, "__version__"} <= set(dir(mmuviz))
    assert mmuviz.run is run
    assert mmuviz.Scenario is Scenario


def test_another_name_is_none() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'simulate'; it has Comparison"):
        getattr(mmuviz, "simulate")  # noqa: B009 - a type checker would refuse the attribute


def test_the_package_and_its_command_start_without_numpy(repository: Path) -> None:
    code = (
        "import contextlib, sys, mmuviz; from mmuviz.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--version'])\n"
        "assert not {'numpy', 'numba', 'pydantic', 'plotly', 'click'} & set(sys.modules), sorted(sys.modules)\n"
        "from mmuviz import *\n"
        "assert callable(run) and 'numpy' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=repository, env=clean_environment(), check=True)


def test_a_recording_draws_itself_and_is_read_again(tmp_path: Path) -> None:
    recording = mmuviz.run(mmuviz.Scenario.model_validate(SMALL), mmuviz.Focus(first_gfn=0x100000, pages=512))
    assert isinstance(recording, mmuviz.Recording)
    assert len(recording.figure().data) > 3
    assert "A small guest" in recording._repr_html_()
    recording.save(tmp_path / "out.mmuviz")
    assert mmuviz.load(tmp_path / "out.mmuviz") == recording


def test_variants_are_compared_by_label() -> None:
    comparison = mmuviz.Comparison(mmuviz.Scenario.model_validate(SMALL), tuple(VARIANTS))
    found = mmuviz.compare(comparison)
    assert list(found) == ["manual_lazy", "eager_at_enable"]
    assert [each.header.digest for each in found.values()] == [each.digest() for each in comparison.scenarios]
