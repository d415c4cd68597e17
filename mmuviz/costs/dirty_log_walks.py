"""Costs of GET, CLEAR and ring reset per 64-page bitmap word, and of dirty rings.

A word with dirty pages on a split slot costs `word` + `page` for each page that it protects +
`walk` for each further present entry between its lowest and its highest dirty page, and `hole` for
each entry that is not present. If holes follow the highest page, the walk continues over them to
the next present entry, or to the end of the word.
"""

from __future__ import annotations

from typing import Final

from mmuviz.costs.counted import Counts
from mmuviz.costs.estimate import Estimate, assumption
from mmuviz.costs.recipe import ONE_AND, Cost
from mmuviz.costs.slot_ioctls import WORDS_PER_1G, WORDS_PER_2M, protect_huge

BITS: Final = 64
WORDS: Final = 1024
"""Bitmap words of the slot in the runs with sparse and with no dirty pages."""


def _walk(counts: Counts) -> Estimate:
    return counts.value("d_word_b")


def _hole(counts: Counts) -> Estimate:
    old = counts.on((6, 1))
    less = assumption(40, 25, 55) - _walk(old)
    return (_walk(counts) + less).assumed()


def _page(dense: str, *sparse: str, counts: Counts) -> Estimate:
    """Compute the cost of a page after the first of a dense word: the whole word less a one-page word and the walk."""
    word = counts.slope(dense) * BITS - counts.slope(*sparse)
    value = (word - _walk(counts) * (BITS - 1)) / (BITS - 1)
    return value.within(0.8, 1.2)


def _word(dense: str, *sparse: str, counts: Counts) -> Estimate:
    return counts.slope(*sparse) - _page(dense, *sparse, counts=counts)


GET: Final = ("get_dense", "get_sparse64", "get_sparse512")
CLEAR: Final = ("clearm_dense", "clearm_sparse64", "clearm_sparse512")
INITSET: Final = ("clearis_second_dense", "clearis_second_sparse64")
RING: Final = ("ringreset_dense", "ringreset_sparse")
"""Labels of the runs with dense words, and with words of one page."""


def _clear_word(counts: Counts) -> Estimate:
    return counts.slope("clearm_none")


def _clear_flush(counts: Counts) -> Estimate:
    return counts.base("clearm_sparse64", counts.slope(*CLEAR[1:])) - counts.at("clearm_none", WORDS)


def _walk_down(counts: Counts) -> Estimate:
    more = counts.slope(INITSET[1]) - counts.slope(*CLEAR[1:])
    return (more / 2).within(0.7, 1.3).assumed()


def _huge_word_2m(counts: Counts) -> Estimate:
    words = counts.slope("clearis_lazy_2m_chunk") - protect_huge(counts)
    return words / WORDS_PER_2M - _clear_word(counts)


def _huge_word_1g(counts: Counts) -> Estimate:
    words = counts.at("clearis_lazy_1g", 1) - counts.base("clearm_none") - _clear_flush(counts)
    return (words - protect_huge(counts)) / WORDS_PER_1G - _clear_word(counts)


def _split_clear(counts: Counts) -> Estimate:
    words = counts.slope(INITSET[1]) + _clear_word(counts) * WORDS_PER_2M
    return counts.slope("clearis_first_sparse512") - words


WORD: Final = "instructions/word"
PAGE: Final = "instructions/page"

DIRTY_LOG_WALKS: Final = (
    Cost("get", "instructions/ioctl", "GET, legacy", lambda c: c.base("get_clean")),
    Cost("get_idle_word", WORD, "GET, legacy: what every word costs", lambda c: c.slope("get_clean")),
    Cost("get_word", WORD, "GET, legacy: what a word with dirty pages adds", lambda c: _word(*GET, counts=c)),
    Cost("get_page", PAGE, "GET, legacy: take write access of a page", lambda c: _page(*GET, counts=c), (ONE_AND,)),
    Cost(
        "get_flush",
        "instructions/ioctl",
        "GET, legacy: the flush where any word was dirty",
        lambda c: c.base("get_sparse64", c.slope(*GET[1:])) - c.at("get_clean", WORDS),
    ),
    Cost("get_manual", "instructions/ioctl", "GET, manual", lambda c: c.base("get_initset_first")),
    Cost("get_copy_word", WORD, "GET, manual: copy a word", lambda c: c.slope("get_initset_first")),
    Cost("clear", "instructions/ioctl", "CLEAR", lambda c: c.base("clearm_none")),
    Cost("clear_idle_word", WORD, "CLEAR: what every word costs", _clear_word),
    Cost(
        "clear_clean_word",
        WORD,
        "CLEAR: what a word adds that is asked for but clean",
        lambda c: c.slope("clearm_all_clean") - _clear_word(c),
    ),
    Cost("clear_flush", "instructions/ioctl", "CLEAR: the flush where any word was dirty", _clear_flush),
    Cost("clear_word", WORD, "CLEAR: what a word with dirty pages adds", lambda c: _word(*CLEAR, counts=c)),
    Cost("clear_page", PAGE, "CLEAR: take write access of a page", lambda c: _page(*CLEAR, counts=c), (ONE_AND,)),
    Cost(
        "clear_initset_word",
        WORD,
        "CLEAR, initially-all-set and eager: what a word with dirty pages adds",
        lambda c: _word(*INITSET, counts=c),
    ),
    Cost(
        "clear_initset_page",
        PAGE,
        "the same: take write access of a page",
        lambda c: _page(*INITSET, counts=c),
        (ONE_AND,),
    ),
    Cost(
        "clear_walk_down",
        WORD,
        "CLEAR, initially-all-set: one walk from the root to a 2M entry, to split or to protect it",
        _walk_down,
        derived="half of what initially-all-set and eager splitting add to a word",
    ),
    Cost("clear_huge_word_2m", WORD, "CLEAR, initially-all-set and lazy: a word inside a 2M page", _huge_word_2m),
    Cost("clear_huge_word_1g", WORD, "the same inside a 1G page", _huge_word_1g),
    Cost("split_clear_2m", "instructions/split", "split a 2M page in CLEAR", _split_clear),
    Cost(
        "split_clear_1g",
        "instructions/split",
        "split a 1G page in CLEAR",
        lambda c: c.at("clearis_1g_firstword", 1) - c.at("clearis_firstword", 1),
    ),
    Cost("walk", "instructions/entry", "GET, CLEAR, reset: walk past a present 4K entry inside a word", _walk),
    Cost(
        "hole",
        "instructions/entry",
        "GET, CLEAR, reset: walk past an entry that is not present",
        _hole,
        derived="6.1: an estimate from one run, about 40; elsewhere as much below walk as there",
    ),
    Cost(
        "ring_reset", "instructions/ioctl", "RESET_DIRTY_RINGS with nothing to do", lambda c: c.at("ringreset_empty", 0)
    ),
    Cost(
        "ring_flush",
        "instructions/ioctl",
        "RESET_DIRTY_RINGS: the flush where anything was reset",
        lambda c: c.base("ringreset_sparse") - c.at("ringreset_empty", 0),
    ),
    Cost(
        "ring_word",
        WORD,
        "RESET_DIRTY_RINGS: a group of entries less than 64 pages apart",
        lambda c: _word(*RING, counts=c),
    ),
    Cost(
        "ring_page",
        PAGE,
        "RESET_DIRTY_RINGS: an entry, its page protected",
        lambda c: _page(*RING, counts=c),
        (ONE_AND,),
    ),
    Cost(
        "collect_entry",
        "instructions/entry",
        "userspace harvests an entry",
        lambda c: c.slope("ringcollect", least=256),
    ),
    Cost(
        "collect_first",
        "instructions/VM",
        "the first harvest: userspace touches its mapping of the rings",
        lambda c: c.at("ringcollect", 64) - c.slope("ringcollect", least=256) * BITS,
    ),
)
