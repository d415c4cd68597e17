"""Sizes and times as people write them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.core.errors import InputError
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.choices.units import (
    SIZE_UNITS,
    TIME_UNITS,
    address_of,
    limit_of,
    parts_of_percent,
    size_of,
    size_text,
    time_of,
    time_text,
)


@given(st.integers(0, 1 << 62))
def test_a_size_and_a_time_are_read_back(value: int) -> None:
    assert size_of(size_text(value)) == value
    assert time_of(time_text(value)) == value


@given(st.integers(0, 10**6), st.sampled_from(sorted(SIZE_UNITS)), st.sampled_from(["", " "]))
def test_a_size_is_so_many_of_its_unit(count: int, unit: str, space: str) -> None:
    assert size_of(f"{count}{space}{unit}") == count * SIZE_UNITS[unit]


@given(st.integers(0, 10**6), st.sampled_from(sorted(TIME_UNITS)))
def test_a_time_is_so_many_of_its_unit(count: int, unit: str) -> None:
    assert time_of(f"{count} {unit}") == count * TIME_UNITS[unit]


def test_what_people_write() -> None:
    assert size_of("1.5 TiB") == 3 << 39
    assert size_of(4096) == 4096
    assert time_of("300 ms") == 300_000_000
    assert time_of("0.5 us") == 500
    assert address_of("0xfffc0000") == (4 << 30) - (256 << 10)
    assert address_of("4 GiB") == 4 << 30


@pytest.mark.parametrize("read", [size_of, time_of])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "4",
        "GiB",
        "- 1 B",
        "--1 s",
        "4 GB",
        "4 gib",
        "1e3 B",
        "0x10",
        "4  GiB",
        "٤ GiB",
        "nan s",
        "4 GiB ",
        "9" * 99,
        1.5,
    ],
)
def test_anything_else_is_refused_with_the_units(read: Callable[[object], object], text: object) -> None:
    with pytest.raises(ValueError, match="must be a number with a unit"):
        read(text)


@given(st.integers(-(10**6), -1), st.sampled_from(sorted(SIZE_UNITS)))
def test_a_negative_size_is_refused_with_the_least_one(count: int, unit: str) -> None:
    with pytest.raises(ValueError, match="must be at least 0 B"):
        limit_of(f"{count} {unit}")


@pytest.mark.parametrize("text", ["-3 ms", "-0.5 us", "-1 min"])
def test_a_negative_time_is_refused_with_the_range(text: str) -> None:
    with pytest.raises(InputError, match=rf"driver\.lead='{text}' must be 0 ns to 60 min$"):
        Scenario.model_validate({"driver": {"kind": "enable_only", "lead": text}})


@pytest.mark.parametrize("kernel", ["-3 ms", "7 GiB", "none", "4.9 beta"])
def test_a_kernel_is_refused_as_it_was_written(kernel: str) -> None:
    with pytest.raises(InputError, match=rf"vm\.kernel='{re.escape(kernel)}' must b"):
        Scenario.model_validate({"vm": {"kernel": kernel}})


def test_the_unit_that_was_meant_is_named() -> None:
    with pytest.raises(ValueError, match="did you mean 4 GiB"):
        size_of("4 GB")
    with pytest.raises(ValueError, match="did you mean 20 ms"):
        time_of("20 msec")


def test_a_part_of_a_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="whole number of bytes"):
        size_of("0.3 B")


@pytest.mark.parametrize(("percent", "parts"), [(0, 0), (0.1, 1), (5, 50), (99.9, 999), (100, 1000)])
def test_a_percentage_in_parts(percent: float, parts: int) -> None:
    assert parts_of_percent(percent, 1000) == parts
