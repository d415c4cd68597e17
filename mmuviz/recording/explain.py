"""What each event means, in one sentence, and the kernel function that did it.

Function names are those of arch/x86/kvm/mmu (mmu.c, tdp_mmu.c) unless a file is named. Sentences
hold places to fill in: {n} entries, {page} and {last} pages counted from the slot's start, {gfn},
{vcpu}. Rows that mean the same share one sentence.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmuviz.ground.pages import PG_LEVEL_4K
from mmuviz.recording.columns import (
    CPU_DIRTY,
    DIRTY,
    FAST,
    FAST_FIXED,
    FAULT,
    I64,
    MMU_WRITABLE,
    PRESENT,
    SPLIT,
    SPTE,
    TABLE,
    UNTRACED,
    WRITABLE,
    Recording,
)
from mmuviz.recording.quiet import quiet
from mmuviz.recording.totals import ACCESS_OPS

__all__ = ["Say", "explained", "quiet"]

LEVELS: Final = ("", "4K", "2M", "1G", "512G")
NX_BELOW: Final = {2: "512 4K entries", 3: "512 2M entries", 4: "512 1G entries"}


class Say(NamedTuple):
    """The sentence of a kind of event.

    Attributes:
        one: for one entry.
        many: for a run of entries.
        function: the function of KVM, with its caller where that tells more; or what else did it.
    """

    one: str
    many: str
    function: str


class Event(NamedTuple):
    """What rows that share a sentence have in common.

    Attributes:
        op: kind of the op.
        kind: SPTE to UNTRACED.
        level: PG_LEVEL_4K to PG_LEVEL_512G.
        old: word before.
        new: word after.
        detail: as in `Runs`.
        logged: whether the slot is logged.
        recovers: whether the op puts huge leaves in the place of tables that stand.
        tdp_mmu: the TDP MMU, or the shadow MMU.
        pml: whether the processor logs pages of logged slots.
        vendor: amd or intel.
    """

    op: str
    kind: int
    level: int
    old: int
    new: int
    detail: int
    logged: bool
    recovers: bool
    tdp_mmu: bool
    pml: bool
    vendor: str


def explained(recording: Recording) -> tuple[list[Say], I64]:
    """Give every row of the event log its sentence.

    Args:
        recording: not changed.

    Returns:
        The sentences, and int64[rows], which of them each row has.
    """
    runs, columns = recording.runs, recording.op_columns
    kinds = sorted({op.kind for op in recording.ops})
    rows = np.diff(columns.first_run)
    op = np.repeat(np.array([kinds.index(each.kind) for each in recording.ops], dtype=np.int64), rows)
    state = np.repeat(columns.logging + 2 * _recovers(recording), rows)
    key = np.zeros(len(runs.kind), dtype=np.int64)
    for part in (op, state, runs.kind, runs.level, runs.old, runs.new, runs.detail):
        key = key << 8 | part
    distinct, say = np.unique(key, return_inverse=True)
    config = recording.config
    says = []
    for each in distinct.tolist():
        which, flags, kind, level, old, new, detail = each.to_bytes(7, "big")
        of_op = (kinds[which], kind, level, old, new, detail, bool(flags & 1), bool(flags & 2))
        says.append(sentence_of(Event(*of_op, config.tdp_mmu, config.pml, config.vendor)))
    return says, say.astype(np.int64)


def _recovers(recording: Recording) -> I64:
    """1 for each op in which a leaf takes the place of a table, else 0."""
    runs, first = recording.runs, recording.op_columns.first_run
    found = (runs.kind == SPTE) & (runs.old == TABLE) & (runs.new & PRESENT != 0)
    before = np.concatenate([[0], np.cumsum(found)])
    recovered: I64 = (np.diff(before[first]) > 0).astype(np.int64)
    return recovered


def sentence_of(event: Event) -> Say:
    """Explain one kind of event.

    Args:
        event: what its rows have in common.

    Returns:
        The sentence and the function.
    """
    others = {FAULT: _fault, FAST: _fast, SPLIT: _split, CPU_DIRTY: _cpu_dirty, UNTRACED: _untraced}
    return others.get(event.kind, _spte_changed)(event)


def _spte_changed(event: Event) -> Say:
    if event.new == TABLE:
        return _table_linked(event)
    if event.old == TABLE:
        return _table_taken(event)
    if not event.old & PRESENT:
        return _mapped(event)
    if not event.new & PRESENT:
        return _zapped(event)
    return _bits_changed(event)


def _fault(event: Event) -> Say:
    verb = "reads" if event.detail in (0, 2) else "writes"
    why = "nothing is mapped there" if event.detail <= 1 else "the entry does not allow it"
    one = f"vCPU {{vcpu}} {verb} page {{page}}: {why}, so it leaves the guest and waits for KVM."
    many = f"vCPU {{vcpu}} {verb} pages {{page}} to {{last}} and faults {{n}} times: {why}."
    handler = "handle_ept_violation(), vmx/vmx.c" if event.vendor == "intel" else "npf_interception(), svm/svm.c"
    return Say(one, many, f"{handler}, tracepoint kvm_page_fault; then kvm_mmu_do_page_fault()")


def _fast(event: Event) -> Say:
    if event.detail == FAST_FIXED:
        marks, all_mark = (" and marks the page dirty", " and marks the pages dirty") if event.logged else ("", "")
        done = "writable again without taking mmu_lock"
        one = f"The fast path makes the entry that maps page {{page}} {done}{marks}."
        many = f"The fast path makes the entries that map {{n}} pages from {{page}} {done}{all_mark}."
    else:
        lock = "for read" if event.tdp_mmu else "for write"
        one = f"The fast path cannot fix page {{page}}; the vCPU goes on to the slow path and takes mmu_lock {lock}."
        many = f"The fast path cannot fix these {{n}} pages from {{page}}; the slow path takes mmu_lock {lock}."
    return Say(one, many, "fast_page_fault()")


def _split(event: Event) -> Say:
    level, parts = LEVELS[event.level], NX_BELOW[event.level]
    one = f"The {level} page at {{page}} is split: {parts} map the same memory with the same rights. No TLB flush."
    many = f"{{n}} {level} pages from {{page}} are split into {parts} each, rights as before. No TLB flush."
    return Say(one, many, f"tdp_mmu_split_huge_page(){_split_caller(event)}, tracepoint kvm_mmu_split_huge_page")


def _split_caller(event: Event) -> str:
    if event.op in ACCESS_OPS:
        return " in kvm_tdp_mmu_map()"
    if event.op == "enable":
        return " in kvm_mmu_slot_try_split_huge_pages()"
    return " in kvm_mmu_try_split_huge_pages()"


def _cpu_dirty(event: Event) -> Say:
    if event.pml and event.logged:
        after = " and logs it in the vCPU's PML buffer: no fault. KVM hears of it when it flushes the buffer."
        function = "the processor (PML); KVM reads the buffer in vmx_flush_pml_buffer(), vmx/vmx.c"
    else:
        after = "; KVM is not told."
        function = "the processor's page walk"
    one = f"The processor sets the dirty bit of the entry that maps page {{page}}{after}"
    many = f"The processor sets the dirty bits of the entries that map {{n}} pages from {{page}}{after}"
    return Say(one, many.replace("logs it", "logs each"), function)


def _untraced(event: Event) -> Say:
    if event.op == "delslot":
        return Say(
            "The slot is deleted: the entry at page {page} goes with the whole page table.",
            "The slot is deleted: {n} entries from page {page} go with the whole page table.",
            "kvm_mmu_zap_all_fast()",
        )
    was, now = _state(event.old), _state(event.new)
    level = LEVELS[event.level]
    function = {
        "enable": "kvm_mmu_slot_remove_write_access()",
        "disable": "kvm_mmu_zap_collapsible_spte()",
        "get": "kvm_mmu_write_protect_pt_masked()",
        "clear": "kvm_arch_mmu_enable_log_dirty_pt_masked()",
        "ring_reset": "kvm_mmu_write_protect_pt_masked()",
    }.get(event.op, "direct_page_fault()" if event.op in ACCESS_OPS else "kvm_unmap_gfn_range()")
    when = "KVM traces no changed SPTE of the shadow MMU"
    return Say(
        f"After this op the {level} entry at page {{page}} is {now} (it was {was}); {when}.",
        f"After this op {{n}} {level} entries from page {{page}} are {now} (they were {was}); {when}.",
        function,
    )


def _table_linked(event: Event) -> Say:
    level, parts = LEVELS[event.level], NX_BELOW[event.level]
    if event.old & PRESENT:
        one = f"A full table takes the place of the {level} leaf at {{page}}: {parts} now map it."
        many = f"Full tables take the place of {{n}} {level} leaves from {{page}}: {parts} each."
        return Say(one, many, f"tdp_mmu_split_huge_page(){_split_caller(event)}")
    one = f"An empty table is linked under the {level} entry of page {{page}}."
    many = f"Empty tables are linked under {{n}} {level} entries from page {{page}}."
    return Say(one, many, "tdp_mmu_link_sp() in kvm_tdp_mmu_map()")


def _table_taken(event: Event) -> Say:
    level = LEVELS[event.level]
    if event.new & PRESENT:
        recovered = event.op == "disable"
        verb = "is recovered in place" if recovered else "takes the place of its table"
        function = "kvm_mmu_recover_huge_pages()" if recovered else "tdp_mmu_map_handle_target_level()"
        one = f"A {level} leaf, {_state(event.new)}, {verb} at page {{page}}; the table's entries go next."
        many = f"{{n}} {level} leaves, {_state(event.new)}, from page {{page}} on: each {verb}."
        return Say(one, many, function)
    function = {
        "disable": "handle_removed_pt()" if event.recovers else "kvm_mmu_zap_collapsible_sptes()",
        "dontneed": "kvm_tdp_mmu_unmap_gfn_range()",
        "hostwrite": "kvm_tdp_mmu_unmap_gfn_range()",
    }.get(event.op, "handle_removed_pt()")
    one = f"The table under the {level} entry of page {{page}} is taken away; its entries go next."
    many = f"The tables under {{n}} {level} entries from page {{page}} are taken away."
    return Say(one, many, function)


def _mapped(event: Event) -> Say:
    level, state = LEVELS[event.level], _state(event.new)
    marks = ""
    if event.logged and event.new & WRITABLE:
        marks = "; a read, but KVM marks it dirty" if event.op == "read" else "; KVM marks it dirty"
    one = f"Page {{page}} is mapped by a {level} entry, {state}{marks}."
    many = f"{{n}} {level} entries from page {{page}} are mapped, {state}{marks.replace(' it ', ' each ')}."
    return Say(one, many, "tdp_mmu_map_handle_target_level() in kvm_tdp_mmu_map()")


def _zapped(event: Event) -> Say:
    level = LEVELS[event.level]
    if event.op == "disable" and event.recovers:
        one = f"The {level} entry of page {{page}} goes with its table; the recovered leaf maps the page."
        many = f"{{n}} {level} entries from page {{page}} go with their table; the recovered leaf maps the pages."
        return Say(one, many, "handle_removed_pt() in kvm_mmu_recover_huge_pages()")
    if event.op in ACCESS_OPS and not event.old & (WRITABLE | MMU_WRITABLE | DIRTY):
        why = "the host puts a page of its own there, so KVM must zap the old one"
        one = f"The read-only {level} entry of page {{page}} is zapped: {why}. The vCPU faults again."
        many = f"{{n}} read-only {level} entries from page {{page}} are zapped: {why}. The vCPU faults again."
        return Say(one, many, "kvm_tdp_mmu_unmap_gfn_range() in kvm_unmap_gfn_range(), an MMU notifier")
    if event.op in ACCESS_OPS and event.level > PG_LEVEL_4K:
        one = f"The whole {level} page at {{page}} is zapped and flushed from the TLBs: all of it must fault again."
        many = f"{{n}} whole {level} pages from {{page}} are zapped and flushed: all of each must fault again."
        return Say(one, many, "tdp_mmu_zap_spte_atomic() in kvm_tdp_mmu_map()")
    function = {
        "disable": "handle_removed_pt() in zap_collapsible_spte_range()",
        "dontneed": "kvm_tdp_mmu_unmap_gfn_range()",
        "hostwrite": "kvm_tdp_mmu_unmap_gfn_range()",
    }.get(event.op, "handle_removed_pt()")
    one = f"The {level} entry of page {{page}} is zapped: the next access faults."
    many = f"{{n}} {level} entries from page {{page}} are zapped: the next access to each faults."
    return Say(one, many, function)


def _bits_changed(event: Event) -> Say:
    level, now = LEVELS[event.level], _state(event.new)
    if event.new & WRITABLE and not event.old & WRITABLE:
        marks, all_mark = (" and marks the page dirty", " and marks the pages dirty") if event.logged else ("", "")
        one = f"The slow path makes the {level} entry of page {{page}} {now}{marks}."
        many = f"The slow path makes {{n}} {level} entries from page {{page}} {now}{all_mark}."
        return Say(one, many, "tdp_mmu_map_handle_target_level() in kvm_tdp_mmu_map()")
    if event.old & WRITABLE and not event.new & WRITABLE:
        how = "and stays MMU-writable" if event.new & MMU_WRITABLE else "and no longer MMU-writable"
        one = f"The {level} entry of page {{page}} is write-protected {how}: {_next_write(event)}."
        all_how = how.replace("stays", "stay")
        many = f"{{n}} {level} entries from page {{page}} are write-protected {all_how}: {_next_write(event)}."
    else:
        one = f"The dirty bit of the {level} entry of page {{page}} is cleared: {_next_write(event)}."
        many = f"The dirty bits of {{n}} {level} entries from page {{page}} are cleared: {_next_write(event)}."
    return Say(one, many, _arming_function(event))


def _next_write(event: Event) -> str:
    """What arming an entry leads to."""
    if event.new & WRITABLE:
        if event.level > PG_LEVEL_4K:
            return "write protection follows, as a huge page must fault before it is written"
        return "the processor logs the next write (PML)"
    if event.new & MMU_WRITABLE and event.level == PG_LEVEL_4K:
        return "the next write faults, takes the fast path and is logged"
    return "the next write faults, takes the slow path and is logged"


def _arming_function(event: Event) -> str:
    loses_write = bool(event.old & WRITABLE and not event.new & WRITABLE)
    if event.op == "enable":
        return "wrprot_gfn_range()" if loses_write else "clear_dirty_gfn_range()"
    if event.level > PG_LEVEL_4K:
        return "write_protect_gfn() in kvm_tdp_mmu_write_protect_gfn()"
    return "clear_dirty_pt_masked() in kvm_arch_mmu_enable_log_dirty_pt_masked()"


def _state(word: int) -> str:
    """A word in words, e.g. "writable and dirty"."""
    if word == TABLE:
        return "a table"
    if not word & PRESENT:
        return "not mapped"
    if word & WRITABLE:
        return "writable and dirty" if word & DIRTY else "writable, not dirty"
    if word & MMU_WRITABLE:
        return "write-protected, MMU-writable"
    return "read-only"
