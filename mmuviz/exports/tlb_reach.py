"""TLB reach: the guest memory that one core's second-level TLB can map."""

from __future__ import annotations

from mmuviz.core.pages import PAGE_BYTES, PG_LEVEL_1G, PG_LEVEL_2M, pages_per_hpage


def reach_bytes(leaves: dict[str, int], stlb_entries: int, stlb_1g_entries: int) -> int:
    """Compute the most guest memory that a core's second-level TLB can map.

    2M leaves take entries first, since they map more; 4K leaves take the rest. 1G leaves have entries of
    their own.

    Args:
        leaves: number of leaves "4k", "2m" and "1g".
        stlb_entries: entries for 4K and 2M.
        stlb_1g_entries: entries for 1G.

    Returns:
        Bytes.
    """
    mid = min(leaves["2m"], stlb_entries)
    small = min(leaves["4k"], stlb_entries - mid)
    large = min(leaves["1g"], stlb_1g_entries)
    pages = small + mid * pages_per_hpage(PG_LEVEL_2M) + large * pages_per_hpage(PG_LEVEL_1G)
    return pages * PAGE_BYTES
