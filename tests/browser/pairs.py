"""Pairs and recordings of real KVM for tests of the scripts: every mode, backing and kernel, and what is odd."""

from functools import cache

from mmuviz.engine.replayed import record_file
from mmuviz.recording.columns import Recording
from mmuviz.recording.pair import Pair
from tests.mmu.recording_files import FOLDER

# Each stands for two recordings, lazy and eager.
LAZY_AND_EAGER = (
    ("A_2m_legacy", "6.12"),
    ("A_2m_legacy", "6.1"),
    ("A_2m_legacy", "6.18"),
    ("A_2m_legacy", "6.12-intel-pml"),
    ("A_2m_manual_initset", "6.12"),
    ("A_2m_manual", "6.1"),
    ("A_2m_ring", "6.12"),
    ("A_1g_legacy", "6.1"),
    ("A_1g_manual_initset", "6.18"),
    ("A_1g_ring", "6.12"),
    ("A_4k_legacy", "6.12"),
    ("A_thp_manual", "6.12"),
    ("B_2m_64M_random1000_x5", "6.12-intel-pml"),
    ("B_2m_ring_initset", "6.12"),
    ("B_2m_ring256_full", "6.1"),
    ("B_2m_legacy_partialpop", "6.12"),
    ("B_2m_legacy_readpopulated", "6.12"),
    ("B_4k_toggle_x3", "6.12"),
    ("B_thp_toggle_x3", "6.18"),
    ("B_thp_dontneed_logging", "6.12"),
    ("B_unal_2m_base1_congruent_manual_initset", "6.12"),
    ("B_unal_2m_aligned_tail100_manual_initset", "6.12"),
    ("B_unal_1g_base32868_congruent_manual_initset", "6.12"),
    ("C_2m_4vcpu_legacy", "6.12"),
    ("C_1g_4vcpu_manual", "6.12"),
    ("G_lostdirty_base32", "6.12"),
    ("H_1g_head2M_body1G_tail4K_legacy", "6.12"),
    ("P_2m_rewrite", "6.12-intel-pml"),
    ("S_shadow_2m_manual_initset", "6.12"),
    ("S_shadow_1g_manual_initset", "6.1"),
)
NAMES = [f"{name}__{kernel}" for name, kernel in LAZY_AND_EAGER]


@cache
def side(name: str) -> Recording:
    return record_file(FOLDER / f"{name}.json.gz")


@cache
def pair(name: str) -> Pair:
    stem, kernel = name.rsplit("__", 1)
    return Pair(name, side(f"{stem}_lazy__{kernel}"), side(f"{stem}_eager__{kernel}"))
