from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmuviz.engine.replayed import record_file
from mmuviz.recording.codec import content_hash, decode
from mmuviz.recording.columns import Recording
from mmuviz.web import shipped
from mmuviz.web.shipped import DEFAULT, Scenario, Shelf


def test_every_shipped_file_is_a_scenario(repository: Path) -> None:
    files = {file.name for file in (repository / "mmuviz" / "data" / "recordings").glob("*.json.gz")}
    shelf = Shelf()
    assert {f"{name}.json.gz" for name in shelf.scenarios} == files
    assert len({link.title for link in shelf.links}) == len(files)
    assert DEFAULT in shelf.scenarios


def test_each_mode_policy_backing_and_kernel_that_the_page_promises_is_there() -> None:
    promised = {"1G, legacy, lazy, 6.1", "1G, legacy, lazy, 6.12", "2M, legacy, lazy, 6.1", "2M, legacy, lazy, 6.12"}
    promised |= {"2M, legacy, eager, 6.12", "2M, initially set, eager, 6.12", "2M, ring, lazy, 6.12"}
    assert promised <= {link.title for link in Shelf().links}


def test_the_folder_tells_where_they_come_from(repository: Path) -> None:
    assert "unmodified Debian kernels" in (repository / "mmuviz/data/recordings/README.md").read_text()


def test_the_address_names_the_bytes() -> None:
    scenario = Scenario(DEFAULT)
    assert scenario.address == f"/recording/{content_hash(scenario.data)}.bin"
    assert decode(scenario.data) == scenario.recording
    assert Scenario(DEFAULT).address == scenario.address


def test_a_worker_knows_an_address_that_another_one_gave() -> None:
    address = Scenario(DEFAULT).address
    assert Shelf().by_address(address) == Scenario(DEFAULT).data
    assert Shelf().by_address("/recording/0.bin") is None


def test_visitors_at_once_share_one_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    replays = []

    def counted(path: Path) -> Recording:
        replays.append(path)
        return record_file(path)

    monkeypatch.setattr(shipped, "record_file", counted)
    scenario = Scenario(DEFAULT)
    with ThreadPoolExecutor(8) as visitors:
        seen = list(visitors.map(lambda _: id(scenario.data), range(32)))
    assert len(replays) == 1
    assert len(set(seen)) == 1
