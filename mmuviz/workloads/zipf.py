"""A pattern in which each vCPU accesses random pages by Zipf's law."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache
from typing import Final

from mmuviz.core.errors import InputError, short_repr
from mmuviz.workloads import stream
from mmuviz.workloads.stream import I64
from mmuviz.workloads.uniform_random import UniformRandom

HUNDREDTHS: Final = 100
MOST_HUNDREDTHS: Final = 400
SUMMED: Final = 9
"""Octaves whose ranks are summed one by one; for higher ones the integral differs by less than a millionth."""
DIGITS: Final = 30
HALF: Final = Decimal("0.5")


@cache
def octave_sums(pages: int, exponent_hundredths: int) -> tuple[int, ...]:
    """Compute the cumulative probabilities of the octaves of ranks.

    Rank r of n has the weight r ** -s. Octave k contains the ranks from 2**k to 2**(k+1) - 1, or to n;
    its weight is the sum of theirs, from octave 9 on the integral from half a rank below the first
    to half a rank above the last. Decimal rounds correctly, so this is the same on every machine.

    Args:
        pages: n.
        exponent_hundredths: 100 s.

    Returns:
        For every octave the probability of it and all before it, times 2**63; the last one is 2**63 - 1.
    """
    with localcontext() as context:
        context.prec = DIGITS
        power = Decimal(exponent_hundredths) / HUNDREDTHS
        weights = []
        for octave in range(pages.bit_length()):
            first, last = 1 << octave, min((2 << octave) - 1, pages)
            if octave < SUMMED:
                weights.append(sum((Decimal(rank) ** -power for rank in range(first, last + 1)), Decimal(0)))
            else:
                weights.append(_integral(first - HALF, last + HALF, power))
        total, summed, sums = sum(weights), Decimal(0), []
        for weight in weights:
            summed += weight
            sums.append(int(summed * (1 << 63) / total))
    return (*sums[:-1], (1 << 63) - 1)


def _integral(low: Decimal, high: Decimal, power: Decimal) -> Decimal:
    """Return the integral of x ** -power from low to high."""
    if power == 1:
        return (high / low).ln()
    return (high ** (1 - power) - low ** (1 - power)) / (1 - power)


@dataclass(frozen=True)
class Zipf(UniformRandom):
    """Random pages by Zipf's law, the first page of the part most often; every pass draws anew.

    A page's probability depends on its octave: the first page has the weight 1, the next two equally share that
    of ranks 2 and 3, the next four that of ranks 4 to 7, and so on; see octave_sums().

    Attributes:
        exponent_hundredths: exponent of Zipf's law times 100; 0 is uniform.
    """

    exponent_hundredths: int = 99

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            InputError: a field is out of range.
        """
        super().__post_init__()
        if not 0 <= self.exponent_hundredths <= MOST_HUNDREDTHS:
            raise InputError(
                f"exponent_hundredths={short_repr(self.exponent_hundredths)} must be 0 to {MOST_HUNDREDTHS}"
            )

    @property
    def kind(self) -> int:
        """KIND of the streams: the rule from positions to pages."""
        return stream.ZIPF

    def streams(self, first_page: int, pages: int, vcpus: int) -> I64:
        """Return the vCPUs' streams; see Pattern.streams()."""
        rows = super().streams(first_page, pages, vcpus)
        for row in rows:
            sums = octave_sums(int(row[stream.PAGES]), self.exponent_hundredths)
            row[stream.ZIPF_FIRST : stream.ZIPF_FIRST + len(sums)] = sums
        return rows
