"""The wheel, in an empty environment in another folder, serves the page."""

import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmuviz import __version__
from tests.packaging.conftest import run
from tests.served import Served, clean_environment, serve

pytestmark = pytest.mark.xdist_group("wheel")

MODES = (
    "A_2m_legacy_lazy__6.1.json.gz",
    "A_2m_legacy_eager__6.18-intel-pml.json.gz",
    "A_2m_ring_lazy__6.12-intel-pml.json.gz",
    "A_2m_manual_initset_eager__6.12.json.gz",
    "B_thp_dontneed_logging_lazy__6.12.json.gz",
    "D_thp_unpopulated_host_eager__6.12.json.gz",
    "C_2m_2vcpu_legacy_lazy__6.12.json.gz",
    "S_shadow_2m_manual_initset_lazy__6.12.json.gz",
    "B_2m_delslot_eager__6.12.json.gz",
)

# Names of functions that this process had to compile.
COUNT_MISSES = """
import importlib, json, pkgutil, sys
from pathlib import Path
import numpy as np
import mmuviz.engine
import mmuviz.mmu
from mmuviz.engine.replayed import record_file
from mmuviz.mmu.config import Backing, Memslot, Mmu, Tracking, VmConfig
from mmuviz.mmu.features import features_of, kernel_row
from mmuviz.mmu.machine import Machine
from mmuviz.mmu.recordings import read_document
from mmuviz.mmu.replay import replayed
for name in sys.argv[1:]:
    replayed(read_document(Path(name)))
    record_file(Path(name))
pages = np.arange(1 << 18, (1 << 18) + 600)
for choices in (
    {},
    {"mmu": Mmu.NESTED},
    {"mmu": Mmu.SHADOW_PAGING},
    {"mmu": Mmu.STAGE2, "split_chunk_bytes": 1 << 30},
    {"tracking": Tracking(2, rounds_to_4k=1)},
    {"kernel": kernel_row("shadow-eager-v1"), "mmu": Mmu.DIRECT_SHADOW},
):
    machine = Machine(VmConfig(**{"kernel": features_of("6.12"), **choices}))
    machine.add_memslot(0, Memslot(1 << 18, 1 << 18, Backing.HUGETLB_1G))
    if machine.config.mmu is Mmu.TDP:
        machine.split_by_faulting(0)
    for step in (None, machine.enable_dirty_logging, machine.disable_dirty_logging):
        if step is not None:
            step(0)
        for l2 in (False, True) if machine.config.mmu is Mmu.NESTED else (False,):
            machine.run(0, pages, write=True, l2=l2)
        if step == machine.enable_dirty_logging:
            machine.clear_dirty_log(0, 0, 1 << 18, machine.get_dirty_log(0))
    machine.delete_memslot(0)
missed = []
for room in (mmuviz.mmu, mmuviz.engine):
    for module in pkgutil.iter_modules(room.__path__, room.__name__ + "."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if hasattr(value, "stats") and sum(value.stats.cache_misses.values()):
                missed.append(module.name + "." + name)
print(json.dumps(sorted(missed)))
"""


@pytest.fixture(scope="module")
def built(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    # The wheel comes from the source distribution, so both are known to be complete.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(repository)]
    run(command, cwd=folder, environment=clean_environment())
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def served(repository: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("elsewhere")
    environment = clean_environment(MMUVIZ_CACHE_DIR=str(folder / "cache"))
    run([sys.executable, "-m", "venv", "env"], cwd=folder, environment=environment)
    pip = ["env/bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--require-hashes", "-r", str(repository / "requirements.txt")], cwd=folder, environment=environment)
    run([*pip, "--no-deps", str(wheel)], cwd=folder, environment=environment)
    mmuviz = folder / "env" / "bin" / "mmuviz"
    run([str(mmuviz), "warm"], cwd=folder, environment=environment)
    with serve([str(mmuviz), "serve", "--port", "0"], cwd=folder, environment=environment) as served:
        yield served


def test_the_wheel_has_one_top_level_name_and_all_that_the_page_needs(repository: Path, wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {"mmuviz"}
    for folder, inside in [("assets", "mmuviz/assets"), ("mmuviz/data/recordings", "mmuviz/data/recordings")]:
        files = [file.name for file in (repository / folder).iterdir()]
        assert len(files) > 2
        assert {f"{inside}/{name}" for name in files} <= names
    modules = {str(path.relative_to(repository)) for path in (repository / "mmuviz").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}


def test_the_installed_page_is_served_with_its_assets_and_recordings(repository: Path, served: Served) -> None:
    page = served.get("/")
    assert page.status == 200
    assert "<title>MMUViz</title>" in page.text
    (style,) = re.findall(r'href="(/assets/tokens\.css[^"]*)"', page.text)
    asset = served.get(style)
    assert asset.status == 200
    assert "--surface" in asset.text
    assert served.get("/_dash-layout").status == 200
    assert served.get("/assets/" + next((repository / "assets").glob("plotly-*")).name).status == 200


def test_the_installed_server_says_its_version(served: Served) -> None:
    health = served.get("/healthz")
    assert health.status == 200
    assert f'"version":"{__version__}"' in health.text.replace(" ", "")


def test_what_runs_is_the_wheel_and_not_the_checkout(repository: Path, served: Served) -> None:
    python = served.command.parent / "python"
    code = "import mmuviz; print(mmuviz.__file__)"
    where = run([str(python), "-c", code], cwd=python.parent, environment=clean_environment()).strip()
    assert Path(where).is_relative_to(python.parent.parent)
    assert not Path(where).is_relative_to(repository)


def test_nothing_is_compiled_after_warm(repository: Path, served: Served) -> None:
    """The page's default scenario was made when the server started; here every mode follows, and the machine alone."""
    python = served.command.parent / "python"
    files = [str(repository / "tests" / "recordings" / name) for name in MODES]
    environment = clean_environment(MMUVIZ_CACHE_DIR=str(python.parents[2] / "cache"))
    done = run([str(python), "-c", COUNT_MISSES, *files], cwd=python.parent, environment=environment)
    assert json.loads(done) == []
