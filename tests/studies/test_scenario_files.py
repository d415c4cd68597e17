"""Scenario files: valid ones are read, and arbitrary other input is refused with one line."""

from __future__ import annotations

import json
import os
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.core.errors import InputError
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.drivers.listed_ops import ListedOps
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.overrides import apply_overrides, overridden, value_of
from mmuviz.studies.scenario_files import read_base, read_scenario, scenario_from_document
from mmuviz.studies.scenario_text import parsed
from tests.engine.choices.drawn import documents

LABELS: dict[str, tuple[str, ...]] = {
    "perf-test-96": ("lazy", "eager_in_clear"),
    "running-guest": ("manual_lazy", "eager_at_enable"),
    "smeared-over-clear": ("eager_at_enable", "eager_in_clear", "eager_in_clear, clear_chunk 64 GiB", "lazy"),
    "two-slots": (),
}


def toml(document: dict[str, Any]) -> str:
    """A document as TOML: a table a part, in inline tables below."""

    def inline(value: object) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(name)} = {inline(each)}" for name, each in value.items()) + "}"
        if isinstance(value, list | tuple):
            return "[" + ", ".join(map(inline, value)) + "]"
        text = json.dumps(value, ensure_ascii=False)
        return text.replace("\x7f", "\\u007f")

    return "".join(f"{name} = {inline(value)}\n" for name, value in document.items())


@pytest.mark.parametrize("name", sorted(LABELS))
def test_files_that_must_be_read_as_they_stand(name: str, repository: Path) -> None:
    path = repository / "tests" / "data" / "scenarios" / f"{name}.toml"
    read = read_scenario(path)
    labels = read.labels if isinstance(read, Comparison) else ()
    assert labels == LABELS[name]
    made = read.scenarios if isinstance(read, Comparison) else (read,)
    document = tomllib.loads(path.read_text())
    for scenario in made:
        assert scenario.title == document["title"]
        assert scenario.vm.vcpus == document["vm"]["vcpus"]
        assert Scenario.model_validate(scenario.as_document()) == scenario


@given(documents())
def test_toml_and_json_say_the_same(document: dict[str, Any]) -> None:
    made = Scenario.model_validate(document)
    assert scenario_from_document(parsed(toml(document).encode())) == made
    assert scenario_from_document(parsed(json.dumps(document).encode())) == made


def test_a_recording_of_real_kvm_is_a_scenario(repository: Path, tmp_path: Path) -> None:
    packaged = read_scenario("A_2m_ring_lazy__6.12")
    read = read_scenario(repository / "tests" / "recordings" / "A_2m_ring_lazy__6.12.json.gz")
    assert isinstance(read, Scenario)
    assert isinstance(packaged, Scenario)
    assert isinstance(read.driver, ListedOps)
    assert read.ops() == packaged.ops()
    assert read.vm == packaged.vm
    again = tmp_path / "again.json"
    again.write_text(json.dumps(read.as_document()))
    assert read_scenario(again) == read
    assert scenario_from_document({"driver": {"kind": "listed_ops", "recording": "A_2m_ring_lazy__6.12"}}) == packaged


BOMBS: dict[str, bytes] = {
    "dotted": b"a." * 20_000 + b"a=1",
    "dotted inside": b"x={" + b"a." * 20_000 + b"a=1}",
    "quoted": b'"a".' * 20_000 + b"a=1",
    "spaced": b"a\t." * 20_000 + b"a=1",
    "only dots": b"a." * 400_000,
    "keys": b"".join(b"a%d.b.c = 1\n" % each for each in range(50_000)),
    "tables": b"".join(b"[a%d]\n" % each for each in range(80_000)),
    "list": b"x = [" + b"1," * 400_000 + b"]",
    "nested list": b"x = " + b"[" * 200_000,
    "nested tables": b"x = " + b"{a=" * 200_000,
    "nested JSON": b'{"a":' * 100_000,
    "digits": b"x = " + b"9" * 1_000_000,
    "digits in JSON": b'{"vm":{"vcpus":' + b"9" * 5_000 + b"}}",
    "many digits": b"[vm]\nvcpus = " + b"9" * 390,
    "quotes": b'"' * 1_000_000,
    "mixed quotes": b"'a\"b" * 200_000,
    "one word": b"a" * 1_000_000,
    "escapes": b'title = "' + b"\\u0041" * 150_000 + b'"',
    "large": b"#" * (10 << 20),
    "large JSON": b"{" + b" " * (10 << 20),
    "Latin-1": b'title = "\xe4"',
    "UTF-16": 'title = "a"'.encode("utf-16"),
    "null": b"\0",
    "empty": b"",
    "infinite": b"[workload]\npattern = 'zipf'\nexponent = inf\n[[memory]]\nsize = '1 GiB'",
    "date": b"[vm]\nvcpus = 1979-05-27\n[[memory]]\nsize = '1 GiB'",
    "NaN": b'{"vm": {"vcpus": NaN}}',
    "twice": b'{"vm": {}, "vm": {}}',
    "gzip": b"\x1f\x8b" + b"\0" * 100,
    "a list": b"[1]",
}


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_a_bad_file_is_one_line_within_a_second(name: str, tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_bytes(BOMBS[name])
    start = time.process_time()
    with pytest.raises(InputError) as caught:
        read_scenario(path)
    assert time.process_time() - start < 1
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 500


@pytest.mark.parametrize("text", ['{"vm": {"vcpus": DIGITS}}', "[vm]\nvcpus = DIGITS", "[vm]\nvcpus = 0.DIGITS"])
def test_a_long_number_is_refused_in_our_words(text: str) -> None:
    """Python's own remedy is a function to call."""
    with pytest.raises(InputError, match="holds a number of 400 digits or more; no field takes such a number"):
        parsed(text.replace("DIGITS", "9" * 5000).encode())


def test_long_words_are_no_numbers() -> None:
    words = "#" + 500 * "_" + '\ntitle = "' + 500 * "deadbeef" + '"\n'
    assert parsed(words.encode()) == {"title": 500 * "deadbeef"}


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in ((tmp_path / "pipe", "pipe"), (tmp_path, "folder"), (Path("/dev/zero"), "device")):
        with pytest.raises(InputError, match=said):
            read_scenario(path)
    with pytest.raises(InputError, match="did you mean running-guest"):
        read_scenario("running-gest")
    with pytest.raises(InputError, match="No such file"):
        read_scenario(tmp_path / "none.toml")
    with pytest.raises(InputError, match="must name a file"):
        read_scenario("")


@given(st.binary(max_size=60) | st.text(alphabet="[]{}=.\"'#\n ax1", max_size=40).map(str.encode))
def test_any_bytes_are_a_document_or_one_line(data: bytes) -> None:
    lines: list[str] = []
    try:
        scenario_from_document(parsed(data))
    except InputError as error:
        lines.append(str(error))
    assert len(lines) == 1  # nothing so short is a scenario
    assert "\n" not in lines[0]


def test_a_value_is_toml_a_plain_word_or_text() -> None:
    assert value_of("vm.vcpus", "8") == 8
    assert value_of("vm.pml", "true") is True
    assert value_of("vm.kernel", "6.10") == "6.10"
    assert value_of("memory[0].size", "4 GiB") == "4 GiB"
    assert value_of("memory[0].base", "0x1000") == 4096
    assert value_of("memory[0].backing", "4k") == "4k"
    assert value_of("host.overrides.cpus", "8") == 8


@pytest.mark.parametrize(
    ("given", "release"),
    [("7.2", "7.2"), ("10.0", "10.0"), ("10", "10.0"), ('"7.2"', "7.2"), (7.2, "7.2"), (10.0, "10.0"), (10, "10.0")],
)
def test_a_release_of_qemu_may_be_given_as_a_number(given: str | float, release: str) -> None:
    found = apply_overrides({"driver": {"kind": "qemu_precopy"}}, {"driver.version": given})
    assert found["driver"]["version"] == release
    changed = read_base("migration-small-hot", {"driver.version": given})[0]
    assert changed.given()["driver"]["version"] == release


@pytest.mark.parametrize("given", ["8.1", 8.1, True, "1" * 500, 10**400, "nan"])
def test_another_release_is_refused_with_those_that_there_are(given: str | float) -> None:
    with pytest.raises(InputError, match=r"driver\.version=.* must be one of 7\.2, 10\.0"):
        read_base("migration-small-hot", {"driver.version": given})


def test_overrides_are_laid_over_what_was_given() -> None:
    document: dict[str, Any] = {"memory": [{"size": "4 GiB"}, {"size": "1 GiB"}], "vm": {"kernel": "6.1"}}
    found = apply_overrides(
        document, {"vm.kernel": "6.12", "memory[1].size": "2 GiB", "vm.vcpus": "3", "driver.lead": "1 ms"}
    )
    assert found == {
        "memory": [{"size": "4 GiB"}, {"size": "2 GiB"}],
        "vm": {"kernel": "6.12", "vcpus": 3},
        "driver": {"lead": "1 ms"},
    }
    assert document["vm"] == {"kernel": "6.1"}


def test_a_field_of_the_item_behind_the_last_one_adds_it() -> None:
    document: dict[str, Any] = {"memory": [{"size": "4 GiB"}]}
    found = apply_overrides(
        document, {"memory[1].size": "2 GiB", "memory[1].backing": "thp", "memory[2].size": "1 GiB"}
    )
    assert found["memory"] == [{"size": "4 GiB"}, {"size": "2 GiB", "backing": "thp"}, {"size": "1 GiB"}]
    assert document["memory"] == [{"size": "4 GiB"}]
    assert apply_overrides(document, {"vm.vcpus": 2, "memory[0].size": "1 GiB"})["memory"] == [{"size": "1 GiB"}]


def test_another_pattern_keeps_the_fields_that_it_has() -> None:
    document = {"workload": {"pattern": "hot_set", "hot_percent": 5, "seed": 3}}
    found = overridden(document, {"workload": {"pattern": "zipf", "exponent": 1}})
    assert found == {"workload": {"pattern": "zipf", "seed": 3, "exponent": 1}}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"vm..x": "1"}, "must be names with dots between"),
        ({"": "1"}, "must be names with dots between"),
        ({"vm.kernel.x": "1"}, "vm.kernel.x is no field"),
        (
            {"memory[2].size": "1 GiB"},
            "memory[2] is not there: the scenario has 1 of them; count from 0, and a field of memory[1]",
        ),
        ({"vm.kernal": "6.1"}, "vm.kernal is no field here; did you mean kernel?"),
        ({"vm.vcpus": "many"}, "vm.vcpus='many' must be a whole number"),
        ({"policy": "lasy"}, "policy='lasy' must be one of lazy, eager_at_enable"),
        ({"title": "x" * 20_000}, "give at most 10000"),
    ],
)
def test_a_bad_override_is_refused(overrides: dict[str, str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_scenario("running-guest", overrides)
    assert said in str(caught.value)
    assert str(caught.value).startswith("running-guest: ")
