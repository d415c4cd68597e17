"""Rates and times as people say them: without "/s" after bits, or without any unit."""

from __future__ import annotations

import pytest

from mmuviz.engine.choices.units import meant_by, rate_of


@pytest.mark.parametrize("text", ["25Gbit", "25 Gbit", "25Gbit/s", "25 Gbit/s", "25000Mbit", 3_125_000_000])
def test_a_rate_in_bits_is_also_said_without_its_second(text: object) -> None:
    assert rate_of(text) == 3_125_000_000


def test_bytes_without_their_second_are_no_rate_and_a_byte_is_no_bit() -> None:
    with pytest.raises(ValueError, match="did you mean 25 GiB/s"):
        rate_of("25 GiB")
    with pytest.raises(ValueError, match=r"or a whole number of bytes a second$"):
        rate_of("1 bit")


@pytest.mark.parametrize(
    ("number", "unit", "low", "high", "meant"),
    [
        (300, "time", 10**6, 2000 * 10**9, "300 ms"),
        (2_000_001, "time", 10**6, 2000 * 10**9, ""),
        (25, "rate", 64 << 10, 1 << 40, "25 Gbit/s"),
        (25_000, "rate", 64 << 10, 1 << 40, "25000 Mbit/s"),
        (3, "rate", 1, None, "3 Gbit/s"),
        (0, "time", 0, None, ""),
        (7, "size", 4096, None, ""),
    ],
)
def test_what_a_number_without_a_unit_stands_for(
    number: int, unit: str, low: int, high: int | None, meant: str
) -> None:
    assert meant_by(number, unit, low, high) == meant
