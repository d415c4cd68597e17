"""A guest of 1.5 TiB in the browser: what its event log costs to read, to follow and to keep.

The limits lie far above what was measured: they catch work that grows with 4K pages, not a slow machine.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mmuviz.recording.codec import encode
from mmuviz.recording.columns import OpColumns, Recording, Runs, Slot
from tests.browser.harness import Harness
from tests.recording.samples import LEAF, recording

GIBS = 1536
BASE = 1 << 18
SLOT = Slot(BASE, GIBS << 18, "hugetlb_1g", 0, host_populated=True)
PROTECTED = LEAF & ~2
RUN_OF_SPLITS = 2 * (1 + 512)
DONE = 1 + GIBS * RUN_OF_SPLITS
"""Rows when everything is split: one that maps, then two for each 1G page and its 512 pages of 2M."""


def split_whole() -> Recording:
    """1,536 leaves of 1G, each split to 4K in the kernel's order, then one write-protect run over every page."""
    gib = np.repeat(np.arange(GIBS), RUN_OF_SPLITS)
    within = np.tile(np.arange(RUN_OF_SPLITS) // 2, GIBS)
    rows = np.zeros((DONE + 1, len(Runs._fields)), dtype=np.int64)
    rows[:, -1] = 1
    rows[0] = (1, 3, 0, LEAF, 0, 0, 0, BASE, 1 << 18, GIBS)
    splits = rows[1:-1]
    splits[:, 0] = np.tile([1, 2], len(splits) // 2)
    splits[:, 1] = np.where(within == 0, 3, 2)
    splits[:, 2] = LEAF
    splits[:, 3] = np.where(splits[:, 0] == 1, 16, 0)
    splits[:, 7] = BASE + (gib << 18) + np.maximum(within - 1, 0) * 512
    rows[-1] = (1, 1, LEAF, PROTECTED, 0, 0, 0, BASE, 1, GIBS << 18)
    made = recording(SLOT, [], [])
    runs = Runs._make(rows[:, at].astype(np.uint8 if at < 5 else np.int64) for at in range(len(Runs._fields)))
    columns = OpColumns(**{**made.op_columns._asdict(), "first_run": np.array([0, len(rows)])})
    return replace(made, runs=runs, op_columns=columns)


@pytest.fixture(scope="module")
def timed(harness: Harness) -> Iterator[dict[str, Any]]:
    """Milliseconds of each thing, and what the map holds."""
    harness.give(encode(split_whole()))
    yield harness.run(
        """done => {
            const took = {};
            const timed = (name, act) => { const at = performance.now(); const made = act();
                took[name] = performance.now() - at; return made; };
            const read = timed('decode', () => window.mmuviz.decode(window.buffer));
            window.map = timed('map', () => new window.mmuviz.PageMap(read));
            timed('splits', () => map.seek(done));
            timed('protect', () => map.seek(done + 1));
            timed('back', () => map.seek(done));
            timed('again', () => map.seek(done + 1));
            const shape = window.mmuviz.geometry(read.slot, window.mmuviz.views(read.slot)[0], 620, 420);
            timed('paint', () => window.mmuviz.paint(document.getElementById('map'), map, shape, true, 'all'));
            const kept = new Set([map, map.near, ...map.checkpoints].filter(Boolean).flatMap(each => each.gigabytes));
            took.bytes = map.isTouched.length;
            for (const each of kept) {
                took.bytes += each ? 1200 + (each.tables ? 4200 + each.tables.filter(Boolean).length * 800 : 0) : 8;
            }
            return took;
        }""",
        DONE,
    )
    harness.run("() => { delete window.map; delete window.buffer; }")


def test_it_is_read_and_followed_in_time(timed: dict[str, Any]) -> None:
    assert timed["decode"] < 1500
    assert timed["splits"] < 5000
    assert timed["protect"] < 200
    assert timed["back"] < 1000
    assert timed["paint"] < 200


def test_the_map_stays_small(timed: dict[str, Any]) -> None:
    assert timed["bytes"] < 20e6


@pytest.mark.usefixtures("timed")
def test_it_is_right(harness: Harness) -> None:
    stack = "([cursor, first, pages]) => { map.seek(cursor); return map.stack(first, pages); }"
    whole = (BASE, GIBS << 18)
    found = [harness.run(stack, [cursor, *whole]) for cursor in (0, 1, DONE, DONE + 1)]
    pages = GIBS << 18
    assert [(each["none"], each["g1"], each["k4"], each["protected4k"], each["dirtyBits"]) for each in found] == [
        (pages, 0, 0, 0, 0),
        (0, pages, 0, 0, pages),
        (0, 0, pages, 0, pages),
        (0, 0, pages, pages, 0),
    ]
    half = harness.run(stack, [1 + 700 * RUN_OF_SPLITS + 2 + 2 * 100, *whole])
    assert (half["k4"], half["m2"], half["g1"]) == (700 * (1 << 18) + 100 * 512, 412 * 512, (GIBS - 701) << 18)
