"""The Dockerfile, built and started without a container engine."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging import dockerfile
from tests.packaging.conftest import run
from tests.packaging.dockerfile import Image, instructions
from tests.served import Served

pytestmark = pytest.mark.xdist_group("docker")

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
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.mmu.config import Backing, Memslot, Mmu, Tracking, VmConfig
from mmuviz.mmu.features import features_of, kernel_row
from mmuviz.mmu.vm import Vm
from mmuviz.mmu.kvm_recording import read_document
from mmuviz.mmu.replay import replay_document
for name in sys.argv[1:]:
    replay_document(read_document(Path(name)))
pages = np.arange(1 << 18, (1 << 18) + 600)
for choices in (
    {},
    {"mmu": Mmu.NESTED},
    {"mmu": Mmu.SHADOW_PAGING},
    {"mmu": Mmu.STAGE2, "split_chunk_bytes": 1 << 30},
    {"tracking": Tracking(2, rounds_to_4k=1)},
    {"kernel": kernel_row("shadow-eager-v1"), "mmu": Mmu.DIRECT_SHADOW},
):
    machine = Vm(VmConfig(**{"kernel": features_of("6.12"), **choices}))
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
memory = [{"size": "1 GiB", "backing": "hugetlb_1g"}, {"size": "2 MiB", "backing": "4k", "host_populated": False}]
live = {"kind": "live_rounds", "interval": "20 us", "lead": "10 us", "disable": True}
for choices in (
    {"workload": {"pattern": "hot_set", "shared": True, "accesses": 2000}},
    {"workload": {"pattern": "uniform_random", "accesses": 2000, "exit_rate_hz": 10**5}, "driver": live},
    {"workload": {"pattern": "read_write_mix"}, "driver": {"kind": "enable_only", "tail": "20 us"}},
    {"workload": {"pattern": "strided"}, "driver": {"kind": "without_logging", "duration": "20 us"}},
    {"workload": {"pattern": "idle"}, "driver": {"kind": "pre_split"}},
    {"vm": {"vendor": "amd", "dirty_log_mode": "ring_initially_set", "ring_entries": 2048}, "driver": live},
    {"vm": {"kernel": "6.1", "dirty_log_mode": "legacy"}},
    {"vm": {"kernel": "6.18", "mmu": "nested"}, "driver": live},
    {"vm": {"kernel": "shadow-eager-v3", "mmu": "shadow_paging"}},
    {"vm": {"mmu": "stage2", "split_chunk": "1 GiB"}, "driver": live},
    {"vm": {"tracking": "2m", "dirty_log_mode": "legacy"}},
):
    choices = {**choices, "vm": {"vcpus": 2, **choices.get("vm", {})}}
    run(Scenario.model_validate({"memory": memory, **choices}))
run(Scenario.model_validate({"driver": {"kind": "listed_ops", "recording": "A_2m_ring_lazy__6.12"}}))
missed = []
for room in (mmuviz.mmu, mmuviz.engine):
    for module in pkgutil.iter_modules(room.__path__, room.__name__ + "."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if hasattr(value, "stats") and sum(value.stats.cache_misses.values()):
                missed.append(module.name + "." + name)
print(json.dumps(sorted(missed)))
"""


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
    assert served.get("/assets/tokens.css").status == 200
    assert served.get("/healthz").status == 200
    assert "stage-transport" in page.text


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


def test_nothing_is_compiled_after_warm(repository: Path, image: Image) -> None:
    """The image's cache holds what `mmuviz warm` put there; here every mode follows, and the machine alone."""
    # Copied, since the image's user may have no way into the checkout.
    recordings = image.root / "recordings"
    recordings.mkdir()
    files = [shutil.copy(repository / "tests" / "recordings" / name, recordings) for name in MODES]
    before = set((image.root / "home").rglob("*.nb[ci]"))
    python = str(image.root / "usr" / "local" / "bin" / "python")
    command = [python, "-c", COUNT_MISSES, *map(str, files)]
    # Not where the sources lie, which would be imported in place of what is installed.
    done = run(command, cwd=image.root, environment=image.surroundings(), user=image.user)
    assert json.loads(done) == []
    assert set((image.root / "home").rglob("*.nb[ci]")) == before
