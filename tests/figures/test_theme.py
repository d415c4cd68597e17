"""Units of charts."""

from hypothesis import given
from hypothesis import strategies as st

from mmuviz.figures.theme import unit_for

UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


@given(st.integers(0, 1 << 50))
def test_a_unit_is_the_largest_that_two_of_fit_in(most: int) -> None:
    unit = unit_for(most)
    assert unit.size == UNITS[unit.name]
    assert unit.name == "bytes" or most / unit.size >= 2
    assert unit.name == "TiB" or most / unit.size < 2 * 1024
