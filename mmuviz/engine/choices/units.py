"""Sizes and times in the form that people write, kept as whole bytes and nanoseconds."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from mmuviz.core.pages import PAGE_BYTES

SIZE_UNITS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
TIME_UNITS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9}
RATE_UNITS: Final = {
    **{f"{unit}/s": size for unit, size in SIZE_UNITS.items()},
    **{f"{unit}bit/s": size // 8 for unit, size in (("k", 10**3), ("M", 10**6), ("G", 10**9), ("T", 10**12))},
}
"""Bytes per second of each unit; a byte has 8 bits."""
LONGEST_TEXT: Final = 40
"""Most characters of a size or a time."""
_NUMBER: Final = re.compile(r"(-?[0-9]{1,20}(?:\.[0-9]{1,12})?) ?([A-Za-zµμ]+(?:/s)?)", re.ASCII)
_HEX: Final = re.compile(r"0[xX][0-9a-fA-F]{1,16}")
MOST_DECIMALS: Final = 4
"""Decimals of a percentage."""
MOST_EXPONENT: Final = 4
"""Largest exponent of Zipf's law."""


def rule_broken(rule: str) -> PydanticCustomError:
    """The error of a field whose value breaks a rule: "must be …"; the message puts path and value before it."""
    return PydanticCustomError("rule", "{rule}", {"rule": rule})


def _whole(value: object, units: dict[str, int], example: str, plain: str) -> Any:  # noqa: ANN401  # pydantic checks the rest
    """A number with its unit as a whole number of the smallest unit; a value that is not text passes unchanged.

    A negative one too: the field's bounds refuse it, and say what it may be.
    """
    rule = f"must be a number with a unit ({', '.join(units)}), e.g. {example}, or a whole number of {plain}"
    if type(value) is float:
        raise rule_broken(rule)
    if not isinstance(value, str):
        return value
    found = _NUMBER.fullmatch(value) if len(value) <= LONGEST_TEXT else None
    unit = units.get(found[2]) if found else None
    if found is None or unit is None:
        near = _near(found[2], units) if found else ""
        raise rule_broken(rule + (f"; did you mean {found[1]} {near}?" if found and near else ""))
    try:
        exact = Decimal(found[1]) * unit
    except InvalidOperation as error:  # pragma: no cover  # the pattern matches no such number
        raise rule_broken(rule) from error
    if exact != int(exact):
        raise rule_broken(f"must be a whole number of {plain}; {found[1]} {found[2]} is {exact.normalize():f}")
    return int(exact)


def _near(wrong: str, units: dict[str, int]) -> str:
    """The unit that somebody means who writes another one: "Gb" is bits, "GB" bytes, and "G" may be both."""
    same = [each for each in units if each[0].lower() == wrong[0].lower()]
    same.sort(key=lambda each: each.lower() != wrong.lower())
    plain = wrong.removesuffix("/s").removesuffix("ps")
    if plain.lower() in ("bit", "bits"):
        return ""  # no unit is as small, and a byte is not meant
    bits = [each for each in same if "bit" in each]
    others = [each for each in same if "bit" not in each]
    if plain.endswith("b") or "bit" in plain.lower():
        same = bits or others
    elif bits and len(plain) == 1:
        return " or ".join([*bits[:1], *others[:1]])
    return (same or [""])[0]


def size_of(value: object) -> Any:  # noqa: ANN401  # as _whole()
    """Bytes of a size such as "4 GiB"; whole numbers are bytes."""
    return _whole(value, SIZE_UNITS, '"4 GiB"', "bytes")


def limit_of(value: object) -> int:
    """Bytes of a limit such as "4 GiB", which has no field whose bounds would refuse a negative one.

    Raises:
        PydanticCustomError: the value is no size, or is negative.
    """
    size = int(size_of(value))
    if size < 0:
        raise rule_broken("must be at least 0 B")
    return size


def address_of(value: object) -> Any:  # noqa: ANN401  # as _whole()
    """Bytes of an address: hexadecimal text, or a size."""
    if isinstance(value, str) and value[:2].lower() == "0x":
        if not _HEX.fullmatch(value):
            raise rule_broken('must be a hexadecimal address of at most 64 bits, e.g. "0x100000000", or a size')
        return int(value, 16)
    return size_of(value)


def time_of(value: object) -> Any:  # noqa: ANN401  # as _whole()
    """Nanoseconds of a time such as "20 ms"; whole numbers are nanoseconds."""
    return _whole(value, TIME_UNITS, '"20 ms"', "ns")


def rate_of(value: object) -> Any:  # noqa: ANN401  # as _whole()
    """Bytes a second of a rate such as "10 Gbit/s", "10Gbit" or "100 MiB/s"; whole numbers are bytes a second."""
    if isinstance(value, str) and value.endswith("bit"):
        value += "/s"  # as networks' rates are said
    return _whole(value, RATE_UNITS, '"10 Gbit/s"', "bytes a second")


def _in_units(value: int, units: dict[str, int]) -> str:
    fits = [unit for unit, size in units.items() if value % size == 0 and value >= size]
    unit = fits[-1] if fits else next(iter(units))
    return f"{value // units[unit]} {unit}"


def size_text(size_bytes: int) -> str:
    """A size in the largest unit that leaves it whole, as size_of() reads it."""
    return _in_units(size_bytes, SIZE_UNITS)


def limit_text(size_bytes: int) -> str:
    """A size as a readable bound: one page less than a round size is written as such."""
    plain, more = size_text(size_bytes), size_text(size_bytes + PAGE_BYTES)
    return f"{more} less {size_text(PAGE_BYTES)}" if len(more) + len("less") < len(plain) else plain


def time_text(time_ns: int) -> str:
    """A time in the largest unit that leaves it whole, as time_of() reads it."""
    return _in_units(time_ns, TIME_UNITS)


def rate_text(bytes_per_s: int) -> str:
    """A rate in the shortest unit that leaves it whole, as rate_of() reads it."""
    texts = [
        f"{bytes_per_s // size} {unit}"
        for unit, size in RATE_UNITS.items()
        if bytes_per_s % size == 0 and bytes_per_s >= size
    ]
    return min(texts or [f"{bytes_per_s} B/s"], key=len)


AS_TEXT: Final[dict[str, Callable[[int], str]]] = {"size": limit_text, "time": time_text, "rate": rate_text}
"""How a bound is written, by the unit of its field."""
MEANT: Final = {"time": ("ms", "s"), "rate": ("Gbit/s", "Mbit/s")}
"""Units that people leave out, the likeliest first."""


def meant_by(number: int, unit: str, low: int, high: int | None) -> str:
    """The value that a number without a unit probably stands for: 300 is 300 ms.

    Args:
        number: what was given.
        unit: of the field: time, rate, or another, for which nothing is meant.
        low: the least value of the field.
        high: the greatest one; None for none.

    Returns:
        A value within the limits, or nothing.
    """
    sizes = {**TIME_UNITS, **RATE_UNITS}
    fits = (each for each in MEANT.get(unit, ()) if low <= number * sizes[each] <= (high or number * sizes[each]))
    found = next(fits, "")
    return f"{number} {found}" if found and number else ""


def _decimal(most: int, decimals: int) -> Callable[[object], Any]:
    """A check of numbers from 0 to `most`; a whole number becomes int, so that 5 and 5.0 are the same document."""

    def check(value: object) -> Any:  # noqa: ANN401  # as _whole()
        if type(value) not in (int, float):
            raise rule_broken(f"must be a number from 0 to {most}, without quotes")
        if isinstance(value, float):
            if not 0 <= value <= most:
                raise rule_broken(f"must be 0 to {most}")
            if round(value, decimals) != value:
                raise rule_broken(f"must have at most {decimals} decimals; {round(value, decimals)} is the nearest")
            return int(value) if value == int(value) else value
        return value

    return check


Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
Size = Annotated[int, BeforeValidator(size_of), Field(strict=True, ge=0, json_schema_extra={"unit": "size"})]
PagedSize = Annotated[Size, Field(multiple_of=PAGE_BYTES)]
Address = Annotated[
    int,
    BeforeValidator(address_of),
    Field(strict=True, ge=0, multiple_of=PAGE_BYTES, json_schema_extra={"unit": "size"}),
]
Time = Annotated[int, BeforeValidator(time_of), Field(strict=True, ge=0, json_schema_extra={"unit": "time"})]
Rate = Annotated[int, BeforeValidator(rate_of), Field(strict=True, ge=1, json_schema_extra={"unit": "rate"})]
RateOrNone = Annotated[int, BeforeValidator(rate_of), Field(strict=True, ge=0, json_schema_extra={"unit": "rate"})]
"""0 for none."""
Percent = Annotated[
    int | float,
    BeforeValidator(_decimal(100, MOST_DECIMALS)),
    Field(ge=0, le=100, json_schema_extra={"unit": "%, at most 4 decimals"}),
]
Tenths = Annotated[
    int | float,
    BeforeValidator(_decimal(100, 1)),
    Field(ge=0, le=100, json_schema_extra={"unit": "%, at most 1 decimal"}),
]
Exponent = Annotated[
    int | float,
    BeforeValidator(_decimal(MOST_EXPONENT, 2)),
    Field(ge=0, le=MOST_EXPONENT, json_schema_extra={"unit": "at most 2 decimals"}),
]


def parts_of_percent(percent: float, whole: int) -> int:
    """A percentage as a number of `whole` parts, e.g. of 1000.

    Args:
        percent: at most four decimals.
        whole: parts that are 100 %.

    Returns:
        The nearest whole number of parts.
    """
    return round(round(percent * 10**MOST_DECIMALS) * whole / (100 * 10**MOST_DECIMALS))
