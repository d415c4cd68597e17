import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmuviz.recording.codec import content_hash
from mmuviz.recording.pair import Pair, split_pair
from mmuviz.studies.catalogue import CATALOGUE, Entry, build
from mmuviz.web import shipped
from mmuviz.web.shipped import DEFAULT, Scenario, Shelf

PATIENCE_S = 60
ENTRIES = {entry.name: entry for entry in CATALOGUE}
LEGACY = ENTRIES["legacy"]


def test_every_entry_is_a_scenario_in_the_catalogue_s_order() -> None:
    shelf = Shelf()
    assert list(shelf.scenarios) == [entry.name for entry in CATALOGUE]
    assert DEFAULT in shelf.scenarios
    assert [link.group for link in shelf.links] == [entry.group for entry in CATALOGUE]
    assert len({(link.group, link.title) for link in shelf.links}) == len(CATALOGUE)


def test_the_menu_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "build", lambda entry: pytest.fail(f"{entry.name} was run"))
    assert len(Shelf().links) == len(CATALOGUE)


def test_the_address_names_the_bytes() -> None:
    scenario = Scenario(LEGACY)
    assert scenario.address == f"/recording/{content_hash(scenario.made.data)}.bin?scenario=legacy"
    assert split_pair(scenario.made.data)[0] == scenario.made.header
    assert Scenario(LEGACY).address == scenario.address


def test_a_worker_knows_an_address_that_another_one_gave() -> None:
    scenario = Scenario(LEGACY)
    shelf = Shelf()
    assert shelf.bytes_of("legacy", scenario.made.digest) == scenario.made.data
    # What is made is found without a name; and nothing is made for a name that is not the bytes' own.
    assert shelf.bytes_of("", scenario.made.digest) == scenario.made.data
    assert [each.name for each in shelf.scenarios.values() if each.is_made] == ["legacy"]


@pytest.mark.parametrize("name", ["", "nope", "legacy"])
def test_bytes_that_nobody_made_are_none(name: str) -> None:
    assert Shelf().bytes_of(name, "0" * 64) is None


def test_visitors_at_once_share_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def counted(entry: Entry) -> Pair:
        runs.append(entry.name)
        return build(entry)

    monkeypatch.setattr(shipped, "build", counted)
    scenario = Scenario(LEGACY)
    with ThreadPoolExecutor(8) as visitors:
        seen = list(visitors.map(lambda _: id(scenario.made.data), range(32)))
    assert runs == ["legacy"]
    assert len(set(seen)) == 1


def test_a_scenario_that_takes_long_blocks_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_began, slow_may_end = threading.Event(), threading.Event()

    def held(entry: Entry) -> Pair:
        if entry.name == "1.5tib":
            slow_began.set()
            assert slow_may_end.wait(PATIENCE_S)
            return build(LEGACY)
        return build(entry)

    monkeypatch.setattr(shipped, "build", held)
    shelf = Shelf()
    with ThreadPoolExecutor(1) as visitor:
        slow = visitor.submit(lambda: shelf.scenarios["1.5tib"].made.data)
        assert slow_began.wait(PATIENCE_S)
        other = shelf.scenarios["legacy"]
        assert shelf.bytes_of("legacy", other.made.digest) == other.made.data
        assert shelf.bytes_of("nope", other.made.digest) == other.made.data
        assert not slow.done()
        slow_may_end.set()
        assert slow.result(PATIENCE_S) == other.made.data
