"""Predefined guests: each can be run unchanged, and its description names an extrapolated host."""

from __future__ import annotations

import pytest

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.drivers.qemu_precopy import QemuPrecopy
from mmuviz.studies.guests import GUESTS, MIGRATING, Guest
from mmuviz.studies.requests import costs_of, request_of

TIB = 1 << 40


@pytest.mark.parametrize("guest", GUESTS, ids=lambda guest: guest.title)
def test_a_guest_is_within_the_limits_and_of_the_size_that_it_says(guest: Guest) -> None:
    asked = request_of(guest.request())
    assert len(costs_of(asked)) == 2
    vcpus, size = guest.title.split(", ")
    number, unit = size.split(" ")
    scale = {"GiB": TIB >> 10, "TiB": TIB}[unit]
    for each in asked.scenarios:
        assert f"{each.vm.vcpus} vCPUs" == vcpus
        assert sum(slot.pages for slot in each.memory) * PAGE_BYTES == int(number) * scale


@pytest.mark.parametrize("guest", GUESTS, ids=lambda guest: guest.title)
def test_a_guest_on_an_extrapolated_host_says_so(guest: Guest) -> None:
    host = request_of(guest.request()).base.host
    assert host.profile.endswith("_416") == guest.description.startswith("Extrapolated")


@pytest.mark.parametrize("guest", MIGRATING, ids=lambda guest: guest.title)
def test_the_time_that_a_migration_gets_is_enough_for_a_pass(guest: Guest) -> None:
    """Sending all memory once takes its bytes over the link's speed; a migration needs more than that."""
    (scenario, *_) = request_of(guest.request()).scenarios
    driver = scenario.driver
    assert isinstance(driver, QemuPrecopy)
    pass_ns = sum(slot.pages for slot in scenario.memory) * PAGE_BYTES * 10**9 // min(driver.link, driver.bandwidth)
    assert driver.longest > pass_ns
