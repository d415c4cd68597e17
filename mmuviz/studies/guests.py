"""Guests of realistic sizes: each is a catalogue entry with a few fields changed."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from mmuviz.studies.packaged_scenarios import DEFAULT


class Guest(NamedTuple):
    """One guest.

    Attributes:
        title: its size.
        says: what a reader has to know.
        set: fields that differ from the catalogue entry's.
    """

    title: str
    says: str
    set: dict[str, Any]

    def request(self) -> dict[str, Any]:
        """The guest as a request."""
        return {"base": DEFAULT, "set": self.set, "policies": None}


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
"""Guests that never stop writing while logging is enabled, with lazy next to eager splitting."""
