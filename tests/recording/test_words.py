from dataclasses import replace

import numpy as np
import pytest

from mmuviz.recording.columns import DirtyRanges, Op, Recording, Slot, Touches
from mmuviz.recording.labels import PLAIN, op_label
from mmuviz.recording.words import kernel_name, sentence, short_title, side_word, size_text, title
from tests.recording.samples import CONFIG, recording

SLOT = Slot(512, 1024, "hugetlb_2m", 0, host_populated=True)


def with_op(op: Op, *touches: tuple[int, int, int]) -> Recording:
    made = recording(SLOT, [], [])
    columns = np.array(touches, dtype=np.int64).reshape(-1, 3).T
    first = np.array([0, len(touches)])
    return recording(
        SLOT,
        [],
        [],
        ops=(op,),
        touches=Touches(*columns.copy()),
        op_columns=made.op_columns._replace(first_touch=first),
    )


@pytest.mark.parametrize(
    ("op", "touches", "label"),
    [
        (Op("write", ()), [(0, 1, 8192)], "write 8,192 pages from 0"),
        (Op("write", ()), [(7, 512, 16)], "write 16 pages from 7, every 512"),
        (Op("write", ()), [(9, 0, 1)], "write page 9"),
        (Op("write", ()), [(9, 0, 3)], "write page 9 3 times"),
        (Op("read", ()), [(0, 1, 2), (9, 0, 1)], "read 3 scattered pages"),
        (Op("read", ()), [], "read no page"),
        (Op("slot", (("pages", 1),)), [], "add a slot of 1 page"),
        (Op("parallel_write", (("how", "contig"),)), [], "write from all 1 vCPUs, contig"),
        (
            Op("parallel_write", (("count", 65_536), ("how", "contig"), ("stride", 16))),
            [],
            "write 65,536 pages from all 1 vCPUs, contig, every 16",
        ),
        (Op("set_eager_page_split", (("value", True),)), [], "set eager_page_split=Y"),
        (
            Op("clear", (("bits", "last"), ("first_page", 64), ("num_pages", 128))),
            [],
            "CLEAR_DIRTY_LOG pages 64 to 191, the bits of the last GET",
        ),
        (
            Op("clear", (("bits", "list"), ("first_page", 0), ("listed", 3), ("num_pages", 64))),
            [],
            "CLEAR_DIRTY_LOG pages 0 to 63, 3 listed pages",
        ),
        (Op("dontneed", (("count", 512), ("start", 0))), [], "MADV_DONTNEED of 512 pages from 0"),
        (Op("hostwrite", (("count", 1), ("start", 5))), [], "host writes 1 page from 5"),
        *((Op(kind, ()), [], label) for kind, label in PLAIN.items()),
    ],
)
def test_an_op_is_named_by_its_fields(op: Op, touches: list[tuple[int, int, int]], label: str) -> None:
    assert op_label(with_op(op, *touches), 0) == label


def test_a_recording_is_named_by_its_choices() -> None:
    made = recording(SLOT, [], [])
    assert title(made) == "4 MiB of 2M huge pages, legacy dirty log, lazy, Linux 6.12"
    assert title(made, without="eager_page_split") == "4 MiB of 2M huge pages, legacy dirty log, Linux 6.12"
    several = recording(SLOT, [], [], config=CONFIG._replace(vcpus=4))
    assert title(several) == "4 MiB of 2M huge pages, legacy dirty log, lazy, 4 vCPUs, Linux 6.12"
    assert short_title(made) == "2M, legacy, lazy, 6.12"
    other = CONFIG._replace(eager_page_split=True, pml=True, tdp_mmu=False, dirty_log_mode="ring")
    assert short_title(recording(SLOT, [], [], config=other, kernel="7.3.4")) == "2M, ring, eager, PML, shadow MMU, 7.3"


def test_a_recording_in_which_nothing_splits_says_so() -> None:
    assert sentence(recording(SLOT, [], [])).endswith("no huge page is split.")


@pytest.mark.parametrize(
    ("pages", "text"), [(1, "4 KiB"), (8192, "32 MiB"), (1 << 18, "1 GiB"), (295_012, "1.13 GiB"), (3 << 27, "1.5 TiB")]
)
def test_sizes_read_well(pages: int, text: str) -> None:
    assert size_text(pages) == text


def test_ranges_stand_beside_touches() -> None:
    assert DirtyRanges._fields == ("page", "pages")


@pytest.mark.parametrize("series", ["shadow-eager-v1", "nested-eager-v4", "rfc-2021"])
def test_a_patch_series_is_called_never_merged(series: str) -> None:
    made = replace(recording(SLOT, [], []), kernel=series)
    name = f"{series} (never merged)"
    assert kernel_name(made) == name
    assert title(made).endswith(name)
    assert short_title(made).endswith(name)
    assert side_word(made, "kernel") == name
    assert "Linux" not in title(made)
