"""Predefined guests of realistic sizes: each is a catalogue entry with a few fields changed."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from mmuviz.studies.packaged_scenarios import DEFAULT


class Guest(NamedTuple):
    """A predefined guest.

    Attributes:
        title: its size.
        description: its description, e.g. that its host is extrapolated.
        set: fields that differ from the catalogue entry's.
        policies: policies to compare; if empty, those of the catalogue entry.
    """

    title: str
    description: str
    set: dict[str, Any]

    policies: tuple[str, ...] = ()

    def request(self) -> dict[str, Any]:
        """Return the guest as a request, see requests.py."""
        return {"base": DEFAULT, "set": self.set, "policies": list(self.policies) or None}


GUESTS: Final = (
    Guest(
        "96 vCPUs, 384 GiB",
        "As large as the host that was measured; each vCPU writes 100,000 pages a second.",
        {
            "vm.vcpus": 96,
            "memory[0].size": "384 GiB",
            "workload.rate_hz": 100_000,
        },
    ),
    Guest(
        "416 vCPUs, 12 TiB",
        "Extrapolated: no host of this size was measured. Two memslots, since one is at most 8 TiB less 4 KiB; each "
        "vCPU writes 2,000 pages a second, a part of its memory.",
        {
            "vm.vcpus": 416,
            "memory[0].size": "6 TiB",
            "memory[1].size": "6 TiB",
            "memory[1].backing": "hugetlb_1g",
            "workload.rate_hz": 2_000,
            "host.profile": "tdp_eager_416",
        },
    ),
)
"""Guests that write all the time while logging is enabled, with lazy and with eager splitting."""

MIGRATED: Final = {
    "workload.pattern": "hot_set",
    "workload.hot_percent": 5,
    "workload.hot_access_percent": 100,
    "driver.kind": "qemu_precopy",
    "driver.bandwidth": "25 Gbit/s",
    "driver.link": "25 Gbit/s",
    "driver.downtime_limit": "300 ms",
    "driver.multifd_channels": 8,
}
"""Fields that all guests in MIGRATING have in common.

Assumption: the guest writes to a twentieth of its memory, again and again. One thread of QEMU cannot fill a link of
25 Gbit/s, so multifd channels are used."""
SPLITTING: Final = ("eager_in_clear", "lazy")
MIGRATING: Final = (
    Guest(
        "96 vCPUs, 384 GiB",
        "As large as the host that was measured; each vCPU writes 2,000 pages a second.",
        {
            "vm.vcpus": 96,
            "memory[0].size": "384 GiB",
            "host.profile": "tdp_eager",
            "workload.rate_hz": 2_000,
            **MIGRATED,
            "driver.longest": "10 min",
        },
        SPLITTING,
    ),
    Guest(
        "416 vCPUs, 12 TiB",
        "Extrapolated: no host of this size was measured. Two memslots, since one is at most 8 TiB less 4 KiB; each "
        "vCPU writes 100 pages a second. The link has 40 Gbit/s: over 25 Gbit/s one pass takes 70 min, and a migration "
        "is given up after 60.",
        {
            "vm.vcpus": 416,
            "memory[0].size": "6 TiB",
            "memory[1].size": "6 TiB",
            "memory[1].backing": "hugetlb_1g",
            "host.profile": "tdp_eager_416",
            "workload.rate_hz": 100,
            **MIGRATED,
            "driver.bandwidth": "40 Gbit/s",
            "driver.link": "40 Gbit/s",
            "driver.longest": "60 min",
        },
        ("eager_in_clear",),
    ),
)
"""Guests that are migrated by QEMU 10.0 over 25 or 40 Gbit/s."""
