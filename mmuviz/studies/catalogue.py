"""The scenarios that the page offers: pairs of runs that differ in one choice."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.resources import as_file, files
from typing import Any, Final, NamedTuple

from mmuviz.engine.replayed import header_of_file, record_file, record_replay
from mmuviz.engine.timed_replay import timing_of
from mmuviz.recording.columns import Recording
from mmuviz.recording.pair import Pair, differences
from mmuviz.recording.timing import Timing
from mmuviz.recording.words import side_word, title
from mmuviz.studies.large import large_guest
from mmuviz.studies.timed_guest import timed_guest

SUFFIX: Final = ".json.gz"
HOST: Final = "tdp_eager"
"""Whose costs the page's times are of: the host of the published tables on eager splitting."""

MADE: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    "large": large_guest,
    "made-6.1": partial(timed_guest, kernel="6.1", mode="manual", gib=4, every=16),
    "made-6.12": partial(timed_guest, kernel="6.12", mode="manual", gib=4, every=16),
    "made-initially-set": partial(timed_guest, kernel="6.12", mode="manual_initially_set", gib=64, every=512),
}
"""Documents made in code, which the engine runs with time; each is given eager_page_split."""


class Entry(NamedTuple):
    """One scenario.

    Attributes:
        name: its name in the page's address.
        group: what it is about.
        left: the left side's recording in mmuviz/data/recordings, without suffix; or a key of MADE, for both sides.
        right: the right side's.
    """

    name: str
    group: str
    left: str
    right: str

    @property
    def recorded(self) -> bool:
        """Whether it shows recordings of real KVM, which know no time."""
        return self.left not in MADE


def _lazy_and_eager(name: str, group: str, recording: str, kernel: str = "6.12") -> Entry:
    return Entry(name, group, *(f"{recording}_{policy}__{kernel}" for policy in ("lazy", "eager")))


def _made(name: str, group: str, made: str) -> Entry:
    return Entry(name, group, made, made)


def _kernels(name: str, group: str, recording: str, left: str, right: str) -> Entry:
    return Entry(name, group, f"{recording}__{left}", f"{recording}__{right}")


START: Final = "Start here"
TIME: Final = "Stalls in simulated time, lazy beside eager"
MODES: Final = "Dirty-log modes, lazy beside eager"
BACKINGS: Final = "Backings, lazy beside eager"
KERNELS: Final = "Kernels side by side"
DEFECTS: Final = "Known defects of KVM"
HARDWARE: Final = "Hardware, MMU and vCPUs"

CATALOGUE: Final = (
    _lazy_and_eager("random", START, "B_2m_64M_random1000_x5", "6.12-intel-pml"),
    _made("4gib-in-time", START, "made-6.1"),
    _made("1.5tib", START, "large"),
    _made("split-in-place-in-time", TIME, "made-6.12"),
    _made("clear-in-time", TIME, "made-initially-set"),
    _lazy_and_eager("legacy", MODES, "A_2m_legacy"),
    _lazy_and_eager("manual", MODES, "A_2m_manual"),
    _lazy_and_eager("initially-all-set", MODES, "A_2m_manual_initset"),
    _lazy_and_eager("ring", MODES, "A_2m_ring"),
    _lazy_and_eager("ring-initially-set", MODES, "B_2m_ring_initset"),
    _lazy_and_eager("4k", BACKINGS, "A_4k_legacy"),
    _lazy_and_eager("thp", BACKINGS, "A_thp_legacy"),
    _lazy_and_eager("2m", BACKINGS, "B_2m_64M_random1000_x5"),
    _lazy_and_eager("1g", BACKINGS, "A_1g_legacy"),
    _lazy_and_eager("head-and-tail", BACKINGS, "H_1g_head2M_body1G_tail4K_legacy"),
    _kernels("zap-or-split-2m", KERNELS, "A_2m_legacy_lazy", "6.1", "6.12"),
    _kernels("zap-or-split-1g", KERNELS, "A_1g_legacy_lazy", "6.1", "6.12"),
    _kernels("disable", KERNELS, "B_thp_toggle_x3_eager", "6.12", "6.18"),
    _lazy_and_eager("lost-dirty-page", DEFECTS, "G_lostdirty_base32"),
    _kernels("clear-off-by-one", DEFECTS, "G_clear_firstpage_of_2M_eager", "6.1", "6.12"),
    _kernels("pml", HARDWARE, "A_2m_legacy_eager", "6.12-intel-nopml", "6.12-intel-pml"),
    _lazy_and_eager("shadow-mmu", HARDWARE, "S_shadow_2m_manual_initset"),
    _lazy_and_eager("four-vcpus", HARDWARE, "C_2m_4vcpu_legacy"),
)
DEFAULT: Final = CATALOGUE[0].name


def build(entry: Entry) -> Pair:
    """Run both sides.

    Args:
        entry: one of the catalogue.

    Returns:
        Both recordings; the same entry gives the same ones.

    Raises:
        MmuvizError: a file is refused, or the sides differ in more than one choice.
    """
    if entry.recorded:
        return Pair(entry.name, _recorded(entry.left), _recorded(entry.right))
    left, right = (record_replay(document) for document in _documents(entry))
    return Pair(entry.name, left, right)


def timings(entry: Entry) -> tuple[Timing, Timing] | None:
    """Run both sides under the clock.

    Args:
        entry: one of the catalogue.

    Returns:
        What each side costs in time; None for recordings of real KVM.
    """
    if entry.recorded:
        return None
    left, right = (timing_of(document, HOST) for document in _documents(entry))
    return left, right


def _documents(entry: Entry) -> list[dict[str, Any]]:
    return [MADE[entry.left](eager_page_split=eager) for eager in (False, True)]


def menu_title(entry: Entry) -> str:
    """Name an entry by its choices, without running it.

    Args:
        entry: one of the catalogue.

    Returns:
        E.g. "32 MiB of 2M huge pages, legacy dirty log, Linux 6.12: lazy | eager".
    """
    left, right = (_header(name, eager=side == 1) for side, name in enumerate((entry.left, entry.right)))
    differs = differences(left, right)[0]
    return f"{title(left, without=differs)}: {side_word(left, differs)} | {side_word(right, differs)}"


def _recorded(name: str) -> Recording:
    with as_file(files("mmuviz") / "data" / "recordings" / f"{name}{SUFFIX}") as path:
        return record_file(path)


def _header(name: str, *, eager: bool) -> Recording:
    if name in MADE:
        document = MADE[name](eager_page_split=eager)
        return record_replay({**document, "ops": document["ops"][:1]})
    with as_file(files("mmuviz") / "data" / "recordings" / f"{name}{SUFFIX}") as path:
        return header_of_file(path)
