"""How fast a migration can be sent: by its link, its bandwidth limit, and the threads of userspace that copy pages."""

from __future__ import annotations

from typing import Final

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.choices.annotations import field_at
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.drivers.migrates import Migrates
from mmuviz.engine.drivers.qemu_precopy import QemuPrecopy
from mmuviz.engine.qemu.state import FEATURES

GBIT: Final = 10**9 // 8
LINKS: Final = tuple(each * GBIT for each in (1, 10, 25, 40, 100, 200, 400))
"""Speeds of Ethernet links, bytes per second."""
CHANNELS: Final = (2, 4, 8, 16, 32, 64, 128)
"""Numbers of multifd channels that are tried, from QEMU's default up."""
NS_PER_S: Final = 10**9
MOST_LONGEST_NS: Final = int(field_at(QemuPrecopy, ("longest",)).high or 0)
"""Largest value of driver.longest, ns."""


def sendable(driver: Migrates) -> int:
    """Return the bytes per second that are sent while the guest runs: the lower of link and bandwidth limit."""
    return int(min(driver.link, getattr(driver, "bandwidth", driver.link)))


def channels_of(driver: Migrates) -> int:
    """Return the number of multifd channels; 0 if the migration thread sends all."""
    return driver.multifd_channels if isinstance(driver, QemuPrecopy) else 0


def threads_bytes_per_s(scenario: Scenario, channels: int) -> int:
    """Return the most bytes per second that userspace's threads send, if no page is zero.

    Args:
        scenario: a migration.
        channels: multifd channels, which copy pages while the migration thread hands them out; 0: it copies them too.
    """
    host, driver = scenario.host.values(), scenario.driver
    check_ns, copy_ns = host["zero_check_ns"], host["send_page_ns"]
    if not channels:
        return PAGE_BYTES * NS_PER_S // (check_ns + copy_ns)
    thread_ns, shared_ns = host["multifd_page_ns"], copy_ns
    if isinstance(driver, QemuPrecopy) and not FEATURES[driver.version].zero_pages_in_channels:
        thread_ns += check_ns
    else:
        shared_ns += check_ns
    return min(PAGE_BYTES * NS_PER_S // thread_ns, PAGE_BYTES * NS_PER_S * channels // shared_ns)


def channels_for(scenario: Scenario, bytes_per_s: int) -> int | None:
    """Return the least number of multifd channels in CHANNELS that send as fast as that; None if no number does."""
    return next((each for each in CHANNELS if threads_bytes_per_s(scenario, each) >= bytes_per_s), None)


def full_bytes(scenario: Scenario) -> int:
    """Return the bytes of all pages that are sent with their content, each once; zero pages are not."""
    size = sum(slot.size for slot in scenario.memory if slot.logged)
    return round(size * (100 - getattr(scenario.driver, "zero_percent", 0)) / 100)


def one_pass_ns(scenario: Scenario) -> int:
    """Return the least time in which all memory is sent once, ns; 0 for a driver that does not migrate."""
    driver = scenario.driver
    if not isinstance(driver, Migrates):
        return 0
    return full_bytes(scenario) * NS_PER_S // min(sendable(driver), threads_bytes_per_s(scenario, channels_of(driver)))
