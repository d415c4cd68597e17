"""The Dockerfile, built and started without a container engine."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging import dockerfile
from tests.packaging.dockerfile import Image, instructions
from tests.served import Served

pytestmark = pytest.mark.xdist_group("docker")


@pytest.fixture(scope="module")
def image(repository: Path) -> Iterator[Image]:
    with dockerfile.build(repository) as image:
        yield image


@pytest.fixture(scope="module")
def served(image: Image) -> Iterator[Served]:
    with dockerfile.start(image) as served:
        yield served


def test_the_parser_reads_continued_lines_and_no_comments() -> None:
    text = "# first\nENV A=1 \\\n    B=2\n\nRUN a && \\\n  b\n"
    assert instructions(text) == [("ENV", "A=1  B=2"), ("RUN", "a &&  b")]


def test_the_context_holds_what_is_copied_and_nothing_more(repository: Path) -> None:
    lines = instructions((repository / "Dockerfile").read_text())
    copied = {source for name, rest in lines if name == "COPY" for source in rest.split()[:-1]}
    admitted = re.findall(r"^!(.+)$", (repository / ".dockerignore").read_text(), re.MULTILINE)
    assert copied == set(admitted)
    assert all((repository / source).exists() for source in copied)


def test_requirements_are_checked_by_their_hashes(repository: Path) -> None:
    lines = instructions((repository / "Dockerfile").read_text())
    installs = [rest for name, rest in lines if name == "RUN" and "pip install" in rest]
    assert len(installs) == 2
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)


def test_the_container_serves_the_page(served: Served) -> None:
    page = served.get("/")
    assert page.status == 200
    assert "<title>MMUViz</title>" in page.text
    assert served.get("/assets/layout.css").status == 200
    assert served.get("/healthz").status == 200
    assert "shown.children" in served.get("/_dash-dependencies").text


def test_the_container_listens_on_every_address_on_its_exposed_port(image: Image, served: Served) -> None:
    assert image.exposed == [image.environment["PORT"]] == ["8050"]
    # Another address of this machine: whoever listens on 127.0.0.1 alone refuses it.
    assert served.get("/healthz", host="127.0.0.2").status == 200


def test_the_container_runs_as_its_own_user(image: Image, served: Served) -> None:
    assert image.user_name == "mmuviz"
    if not image.can_become_user:
        pytest.skip("only root can become another user, and only where that user can run a Python")
    assert image.user not in {None, 0}
    assert Path(f"/proc/{served.process.pid}").stat().st_uid == image.user


def test_the_code_is_compiled_for_any_machine_before_it_runs(image: Image) -> None:
    assert image.environment["NUMBA_CPU_NAME"] == "generic"
    compiled = list((image.root / "home" / "mmuviz").rglob("*.nbc"))
    assert compiled
