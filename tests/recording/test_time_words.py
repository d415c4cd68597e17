"""What a comparison costs, in words and rows."""

from dataclasses import replace

import numpy as np
import pytest

from mmuviz.recording.columns import Op, Slot
from mmuviz.recording.pair import Pair
from mmuviz.recording.time_words import host_words, time_point, time_rows, time_text
from mmuviz.recording.timing import Ioctl, Timing
from tests.recording.samples import CONFIG, recording

SLOT = Slot(512, 1024, "hugetlb_2m", 0, host_populated=True)
LEFT = recording(SLOT, [], [])
RIGHT = replace(LEFT, config=CONFIG._replace(eager_page_split=True))
PAIR = Pair("sample", LEFT, RIGHT)


def timing(stall_ms: float, enable_ms: float, faults: int) -> Timing:
    """One op, the enabling, and then stalls of one vCPU."""
    return Timing(
        host="tdp_eager",
        host_says="host of somebody's series",
        causes=("exit_and_fault", "pml_full"),
        op_end_ms=np.array([enable_ms + 2 * stall_ms]),
        plain_ms=np.array([1.0]),
        ioctls=(Ioctl("enable", 0.0, enable_ms), Ioctl("get", enable_ms, 0.25), Ioctl("get", enable_ms + 1, 0.25)),
        bin_ms=1000.0,
        stall_ms=np.array([[stall_ms, 0.0]]),
        ioctl_ms=np.array([enable_ms + 0.5]),
        table_bytes=np.array([4096, 8192]),
        reach_bytes=np.array([1 << 30, 6 << 20]),
        accesses=np.array([10]),
        vcpu_stall_ms=np.array([[stall_ms, 0.0]]),
        faults=faults,
        fault_us=(1.0, 2.0, 3.0, 4.5),
    )


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "0"),
        (77.7767, "77.8 ms"),
        (1.16626, "1.17 ms"),
        (283.0, "283 ms"),
        (999.6, "1.00 s"),
        (27_268.0, "27.3 s"),
        (5_000_000.0, "5,000 s"),
        (0.0623, "62.3 \N{MICRO SIGN}s"),
        (0.00000042, "0.42 ns"),
    ],
)
def test_a_time_has_three_digits_and_a_unit(time_ms: float, text: str) -> None:
    assert time_text(time_ms) == text


def test_the_point_says_who_stalls_and_who_pays() -> None:
    assert time_point(PAIR, (timing(80, 0.1, 9), timing(1, 50, 0))) == (
        "Simulated: lazy stalls vCPUs for 80.0 ms in all, eager for 1.00 ms, but enabling takes 50.0 ms."
    )
    # A time beside which the other one is not nothing is said too; who wins both gets no "but".
    assert time_point(PAIR, (timing(80, 30, 9), timing(1, 50, 0))).endswith(
        "but enabling takes 50.0 ms (lazy: 30.0 ms)."
    )
    assert "and enabling takes 50.0 ms" in time_point(PAIR, (timing(1, 60, 9), timing(0.5, 50, 0)))


def test_the_host_is_named_and_the_times_are_called_modelled() -> None:
    says = host_words(timing(80, 0.1, 9))
    assert "Modelled, not measured" in says
    assert "host of somebody's series" in says
    assert "tdp_eager" in says


def test_the_rows_are_the_timing_s_own_figures() -> None:
    ops = (Op("enable", ()),)
    pair = Pair("sample", replace(LEFT, ops=ops), replace(RIGHT, ops=ops))
    rows = {name: values for name, *values in time_rows(pair, (timing(80, 0.1, 9), timing(1, 50, 0)))}
    assert rows["Stall of all vCPUs together"] == ["80.0 ms", "1.00 ms"]
    assert rows["of it exit and fault"] == ["80.0 ms", "1.00 ms"]
    assert "of it PML full" not in rows  # never happened
    assert rows["Faults while logging is on"] == ["9", "0"]
    assert rows["Stall of a fault, p99.9"] == ["3.00 \N{MICRO SIGN}s", "none"]
    assert rows["Stall of a fault, longest"] == ["4.50 \N{MICRO SIGN}s", "none"]
    assert rows["ioctl: enable"] == ["100 \N{MICRO SIGN}s", "50.0 ms"]
    assert rows["ioctl: GET, 2 calls"] == ["500 \N{MICRO SIGN}s"] * 2
    assert "ioctl: CLEAR" not in rows
    assert rows["Guest's accesses, against no logging"] == ["160 times as long", "52 times as long"]
    assert rows["Page tables at most"] == ["8 KiB", "8 KiB"]
    assert rows["TLB reach of a core, as logging is enabled"] == ["1 GiB", "1 GiB"]
