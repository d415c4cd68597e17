"""Guests whose story is told in simulated time, as documents in the schema of the recordings."""

from __future__ import annotations

from typing import Any, Final

from mmuviz.ground.pages import PAGES_PER_1G, PAGES_PER_512G
from mmuviz.studies.made import intel_config

VCPUS: Final = 4
ROUNDS: Final = 2


def timed_guest(*, eager_page_split: bool, kernel: str, mode: str, gib: int, every: int) -> dict[str, Any]:
    """The loop of dirty_log_perf_test: populate, enable, rounds of writes, GET and CLEAR, disable.

    Args:
        eager_page_split: the module parameter.
        kernel: release.
        mode: dirty_log_mode, one with CLEAR.
        gib: memory in hugetlb pages of 1G; each vCPU writes to its share.
        every: of how many pages one is written; each write is a step of the map, too many were it every page.

    Returns:
        A document of schema kvm-recording/1, without `after`; the same on every call.
    """
    pages = gib * PAGES_PER_1G
    slot = {
        "op": "slot",
        "backing": "hugetlb_1g",
        "base_gfn": PAGES_PER_512G,
        "pages": pages,
        "hva_offset_pages": 0,
        "host_populated": True,
    }
    writes = {"op": "parallel_write", "how": "contig", "start": 0, "stride": every, "count": pages // every}
    populate = writes | {"stride": PAGES_PER_1G, "count": gib}
    clear = {"op": "clear", "first_page": 0, "num_pages": pages, "bits": "last"}
    rounds = [writes, {"op": "get"}, clear] * ROUNDS
    return {
        "schema": "kvm-recording/1",
        "name": f"{gib} GiB of 1G pages in time, {mode}, eager_page_split={'Y' if eager_page_split else 'N'}",
        "kernel": kernel,
        "note": (
            f"Made for this page, the model alone: {VCPUS} vCPUs write every {every}th page of {gib} GiB in {ROUNDS} "
            "rounds, as dirty_log_perf_test does."
        ),
        "config": intel_config(mode, VCPUS, eager_page_split=eager_page_split),
        "ops": [slot, populate, {"op": "enable"}, *rounds, {"op": "disable"}],
    }
