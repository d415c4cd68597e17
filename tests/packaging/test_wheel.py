"""The wheel, in an empty environment in another folder, serves the page."""

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

# That the installed code compiles, and is warmed, is what the image's tests prove; the page is the same without.
UNCOMPILED = {"NUMBA_DISABLE_JIT": "1"}


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
    environment = clean_environment(MMUVIZ_CACHE_DIR=str(folder / "cache"), **UNCOMPILED)
    run([sys.executable, "-m", "venv", "env"], cwd=folder, environment=environment)
    pip = ["env/bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile"]
    run([*pip, "--require-hashes", "-r", str(repository / "requirements.txt")], cwd=folder, environment=environment)
    run([*pip, "--no-deps", str(wheel)], cwd=folder, environment=environment)
    mmuviz = folder / "env" / "bin" / "mmuviz"
    with serve([str(mmuviz), "serve", "--port", "0"], cwd=folder, environment=environment) as served:
        yield served


def test_the_wheel_has_one_top_level_name_and_all_that_the_page_needs(repository: Path, wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {"mmuviz"}
    for folder, inside in [("assets", "mmuviz/assets"), ("mmuviz/data/recordings", "mmuviz/data/recordings")]:
        root = repository / folder
        files = [str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()]
        assert len(files) > 2
        assert {f"{inside}/{name}" for name in files} <= names
    assert {"mmuviz/docs/glossary.md", "mmuviz/data/evidence/evidence.json"} <= names
    modules = {str(path.relative_to(repository)) for path in (repository / "mmuviz").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}


def test_the_installed_page_is_served_with_its_assets_and_data(served: Served) -> None:
    page = served.get("/")
    assert page.status == 200
    assert "<title>MMUViz</title>" in page.text
    (style,) = re.findall(r'href="(/page\.css[^"]*)"', page.text)
    asset = served.get(style)
    assert asset.status == 200
    assert "--ground" in asset.text
    assert served.get("/_dash-layout").status == 200
    assert served.get("/api/evidence.json").status == 200


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
