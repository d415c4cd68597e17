"""A guest of 1.5 TiB, as a document in the schema of the recordings; no recording of real KVM is so large."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from mmuviz.ground.pages import PAGES_PER_1G, PAGES_PER_512G
from mmuviz.studies.made import intel_config

PAGES: Final = 1536 * PAGES_PER_1G
VCPUS: Final = 4
WRITES_PER_VCPU: Final = 500
SEED: Final = 20260907


def large_guest(*, eager_page_split: bool) -> dict[str, Any]:
    """1,536 hugetlb pages of 1G; four vCPUs write scattered pages, in two rounds of GET and CLEAR.

    Args:
        eager_page_split: the module parameter.

    Returns:
        A document of schema kvm-recording/1, without `after`; the same on every call.
    """
    random = np.random.Generator(np.random.Philox(SEED))
    rounds = [_round(random) for _ in range(2)]
    slot = {
        "op": "slot",
        "backing": "hugetlb_1g",
        "base_gfn": PAGES_PER_512G,
        "pages": PAGES,
        "hva_offset_pages": 0,
        "host_populated": True,
    }
    populate = {"op": "write", "vcpu": 0, "pages": {"start": 0, "stride": PAGES_PER_1G, "count": PAGES // PAGES_PER_1G}}
    return {
        "schema": "kvm-recording/1",
        "name": f"1.5 TiB of 1G pages, eager_page_split={'Y' if eager_page_split else 'N'}",
        "kernel": "6.12",
        "note": "Made for this page: the model alone, no recording of real KVM has a guest of this size.",
        "config": intel_config("manual", VCPUS, eager_page_split=eager_page_split),
        "ops": [slot, populate, {"op": "enable"}, *rounds[0], *rounds[1]],
    }


def _round(random: np.random.Generator) -> list[dict[str, Any]]:
    writes = [
        {"op": "write", "vcpu": vcpu, "pages": random.integers(0, PAGES, WRITES_PER_VCPU).tolist()}
        for vcpu in range(VCPUS)
    ]
    clear = {"op": "clear", "first_page": 0, "num_pages": PAGES, "bits": "last"}
    return [*writes, {"op": "get"}, clear]
