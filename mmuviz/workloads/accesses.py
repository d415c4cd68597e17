"""The access at a position of a vCPU's stream.

A stream is a rule, not a list: the access at a position is computed from the columns and the position
alone, so looking ahead costs nothing.
"""

from __future__ import annotations

from mmuviz.core.jit import jit_inline_llvm
from mmuviz.workloads.draws import hot_page, uniform, zipf_page
from mmuviz.workloads.stream import (
    ACCESSES,
    ALWAYS,
    COPY,
    FIRST_PAGE,
    HOT_SET,
    I64,
    KIND,
    LISTED,
    PAGES,
    PASS,
    RAM_FIRST,
    RAM_MOVE,
    RANDOM,
    SEED,
    STRIDE,
    TRACE_DUE,
    TRACE_ENTRIES,
    TRACE_GFN,
    TRACE_MORE,
    TRACED,
    WRITE_PERMILLE,
    ZIPF,
)


@jit_inline_llvm
def ram_row(ram: I64, index: int) -> int:
    """Return the row of `ram` that contains a page of the guest's RAM, counted over all its memslots."""
    row = ram.shape[0] - 1
    while row > 0 and index < ram[row, RAM_FIRST]:
        row -= 1
    return int(row)


@jit_inline_llvm
def ram_row_of_gfn(ram: I64, gfn: int) -> int:
    """Return the row of `ram` that contains a gfn."""
    row = ram.shape[0] - 1
    while row > 0 and gfn < ram[row, RAM_FIRST] + ram[row, RAM_MOVE]:
        row -= 1
    return int(row)


@jit_inline_llvm
def page_at(stream: I64, vcpu: int, position: int) -> int:
    """Return the page of RAM that a vCPU accesses at a position of its pass; not for streams that list their gfns."""
    first, pages = stream[vcpu, FIRST_PAGE], stream[vcpu, PAGES]
    if stream[vcpu, KIND] == RANDOM:
        return int(first + uniform(stream[vcpu, SEED] + stream[vcpu, PASS], position, pages))
    if stream[vcpu, KIND] == HOT_SET:
        return int(first + hot_page(stream, vcpu, stream[vcpu, SEED] + stream[vcpu, PASS], position))
    if stream[vcpu, KIND] == ZIPF:
        return int(first + zipf_page(stream, vcpu, stream[vcpu, SEED] + stream[vcpu, PASS], position))
    if stream[vcpu, KIND] == COPY:
        return int(first + copy_page(pages, position))
    offset = position * stream[vcpu, STRIDE]
    return int(first + (offset if offset < pages else offset % pages))  # a division costs more than the rest


@jit_inline_llvm
def copy_page(pages: int, position: int) -> int:
    """Return the page that a copy reads (even position, lower half) or writes (odd position, upper half)."""
    half = max(pages >> 1, 1)
    step = (position >> 1) % half
    return int(step + (pages - half if position & 1 else 0))


@jit_inline_llvm
def trace_at(stream: I64, vcpu: int, position: int) -> int:
    """Return the index in `listed` of the access at a position of a TRACED stream."""
    return int(stream[vcpu, FIRST_PAGE] + TRACE_ENTRIES * position)


@jit_inline_llvm
def due_at(stream: I64, listed: I64, vcpu: int, position: int) -> int:
    """Return the earliest time of the access at a position, ps; 0 if the stream is no trace or has no such access."""
    if stream[vcpu, KIND] != TRACED or position >= stream[vcpu, ACCESSES]:
        return 0
    return int(listed[trace_at(stream, vcpu, position) + TRACE_DUE])


@jit_inline_llvm
def more_at(stream: I64, vcpu: int, position: int) -> int:
    """Return the time of a trace's next part for a vCPU that executed its last one, ps; 0 if there is none."""
    if stream[vcpu, KIND] != TRACED or position < stream[vcpu, ACCESSES]:
        return 0
    return int(stream[vcpu, TRACE_MORE])


@jit_inline_llvm
def gfn_at(stream: I64, ram: I64, listed: I64, vcpu: int, position: int) -> int:
    """Return the gfn that a vCPU accesses at a position of its pass.

    Args:
        stream: int64[vcpus, COLUMNS]; for a list, FIRST_PAGE is the start of the vCPU's part in `listed`.
        ram: int64[slots, 2], memslots in order of gfn: the first page of RAM in each, and the difference between a
            page's gfn and its number.
        listed: int64[n], gfns of all lists.
        vcpu: row of the stream.
        position: 0 to ACCESSES - 1.
    """
    if stream[vcpu, KIND] == LISTED:
        return int(listed[stream[vcpu, FIRST_PAGE] + position])
    if stream[vcpu, KIND] == TRACED:
        return int(listed[trace_at(stream, vcpu, position) + TRACE_GFN] >> 1)
    page = page_at(stream, vcpu, position)
    return int(page + ram[ram_row(ram, page), RAM_MOVE])


@jit_inline_llvm
def is_write_at(stream: I64, listed: I64, vcpu: int, position: int) -> int:
    """Return 1 if the access at a position is a write, else 0."""
    if stream[vcpu, KIND] == TRACED:
        return int(listed[trace_at(stream, vcpu, position) + TRACE_GFN] & 1)
    if stream[vcpu, KIND] == COPY:
        return position & 1
    share = stream[vcpu, WRITE_PERMILLE]
    if share >= ALWAYS or share <= 0:
        return 1 if share > 0 else 0
    return 1 if uniform(~(stream[vcpu, SEED] + stream[vcpu, PASS]), position, ALWAYS) < share else 0
