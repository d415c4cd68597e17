"""What an op is called, derived from its fields."""

from __future__ import annotations

from typing import Final

from mmuviz.recording.columns import Op, Recording, Touches

PLAIN: Final = {
    "enable": "enable dirty logging",
    "disable": "disable dirty logging",
    "get": "GET_DIRTY_LOG",
    "ring_collect": "collect the dirty rings",
    "ring_reset": "RESET_DIRTY_RINGS",
    "delslot": "delete the slot",
}
CLEARED: Final = {
    "last": "the bits of the last GET",
    "all": "all bits",
}


def op_label(recording: Recording, index: int) -> str:
    """Name an op in a few words.

    Args:
        recording: not changed.
        index: the op.

    Returns:
        E.g. "write 200 scattered pages".
    """
    op = recording.ops[index]
    match op.kind:
        case "read" | "write":
            label = f"{op.kind} {touched(recording.touches_of_op(index))}"
        case "parallel_write":
            label = _parallel(op, recording.config.vcpus)
        case "slot":
            label = f"add a slot of {counted(int(op.field('pages')), 'page')}"
        case "set_eager_page_split":
            label = f"set eager_page_split={'Y' if op.field('value') else 'N'}"
        case "clear":
            label = f"CLEAR_DIRTY_LOG {_clear(op)}"
        case "hostwrite" | "dontneed":
            verb = "host writes" if op.kind == "hostwrite" else "MADV_DONTNEED of"
            label = f"{verb} {counted(int(op.field('count')), 'page')} from {int(op.field('start')):,}"
        case _:
            label = PLAIN[op.kind]
    return label


def _parallel(op: Op, vcpus: int) -> str:
    pages = f" {counted(int(op.field('count')), 'page')}" if op.field("count") else ""
    stride = int(op.field("stride", 1))
    return f"write{pages} from all {vcpus} vCPUs, {op.field('how')}" + (f", every {stride:,}" if stride > 1 else "")


def _clear(op: Op) -> str:
    first, pages = int(op.field("first_page")), int(op.field("num_pages"))
    what = CLEARED.get(str(op.field("bits")), f"{int(op.field('listed')):,} listed pages")
    return f"pages {first:,} to {first + pages - 1:,}, {what}"


def touched(touches: Touches) -> str:
    """Say which pages the guest touches.

    Args:
        touches: the accesses of one op.

    Returns:
        E.g. "8,192 pages from 0", or "200 scattered pages".
    """
    accesses = int(touches.accesses.sum())
    pages = counted(accesses, "page")
    if len(touches.page) != 1:
        return pages.replace(" ", " scattered ") if accesses else "no page"
    first, stride = int(touches.page[0]), int(touches.stride[0])
    if accesses == 1:
        return f"page {first:,}"
    if stride == 0:
        return f"page {first:,} {accesses:,} times"
    return f"{pages} from {first:,}" + (f", every {stride:,}" if stride != 1 else "")


def counted(count: int, noun: str) -> str:
    """A count and its noun, e.g. "1 page" or "8,192 pages"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
