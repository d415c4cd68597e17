"""The slow twin: KVM's page tables for one VM, one dict entry a page, plain Python.

It is written only from the kernel's rules and compared with the same recordings as the real model; it shares no code
with `mmuviz`, so that the two can be compared with each other.
"""

from __future__ import annotations

from tests.oracle_host import SPAN
from tests.oracle_tables import PML_ENTRIES, Leaf, RingEntry, Rules, Tables, Vcpu

__all__ = ["Oracle", "RingFullError", "Rules"]


class RingFullError(Exception):
    """KVM_RUN returned KVM_EXIT_DIRTY_RING_FULL."""


class Oracle(Tables):
    """One VM with one memslot: what guests, the host and the ioctls do with its tables."""

    counts_first_512g = False  # the program's own pages need the table of the first 512 GiB anyway

    # Guest accesses

    def enter_guest(self, vcpu: int) -> None:
        """A vCPU whose ring is soft-full does not enter the guest."""
        if self.ring_mode and len(self.vcpus[vcpu].ring) >= self.ring_limit:
            raise RingFullError

    def exit_guest(self, vcpu: int) -> None:
        """Every VM exit flushes the PML buffer."""
        buffer = self.vcpus[vcpu].pml
        for gfn in buffer if self.rules.pml_oldest_first else reversed(buffer):
            self.mark_page_dirty(vcpu, gfn)
        buffer.clear()

    def mark_page_dirty(self, vcpu: int, gfn: int) -> None:
        if not self.logging or not self.base <= gfn < self.base + self.pages:
            return
        if self.ring_mode:
            self.vcpus[vcpu].ring.append(RingEntry(gfn - self.base))
        else:
            self.dirty.add(gfn - self.base)

    def access(self, vcpu: int, offset: int, *, write: bool) -> None:
        """One guest access, faulting until it retires."""
        gfn = self.base + offset
        while True:
            leaf = self.leaf.get(gfn)
            if leaf is None or (write and not leaf.writable):
                self.exit_guest(vcpu)
                self.page_fault(vcpu, gfn, leaf, write=write)
                self.enter_guest(vcpu)
                continue
            if write and not leaf.dirty:
                if self.pml and self.logging:
                    if len(self.vcpus[vcpu].pml) == PML_ENTRIES:
                        self.pml_full_exits += 1
                        self.exit_guest(vcpu)
                        self.enter_guest(vcpu)
                        continue
                    self.vcpus[vcpu].pml.append(gfn)
                leaf.dirty = True
            return

    def page_fault(self, vcpu: int, gfn: int, leaf: Leaf | None, *, write: bool) -> None:
        kind = ("write" if write else "read") + ("_not_present" if leaf is None else "_protected")
        self.events.append((("fault", vcpu, kind), gfn))
        self.faults["pf_taken"] += 1
        if leaf is not None and self.fast_faults:
            too_large = self.logging and leaf.level > self.track
            huge_refused = too_large or (leaf.level > 1 and not self.rules.fast_fixes_huge)
            fixable = leaf.mmu_writable and not huge_refused
            self.events.append((("fast", vcpu, "fixed" if fixable else "declined"), gfn))
            if fixable:
                self.faults["pf_fast"] += 1
                self.faults["pf_fixed"] += 1
                leaf.writable = True
                self.mark_page_dirty(vcpu, gfn)
                return
        hpage = gfn - self.base + self.hva_offset
        done = self.host.fault(hpage, write=write)
        if done.invalidated:
            self.notifier_invalidates(*done.invalidated)
            return  # RET_PF_RETRY: the guest faults again
        self.map(vcpu, gfn, writable=done.writable)
        self.faults["pf_fixed"] += 1

    def goal(self, gfn: int) -> int:
        """The level at which a fault maps a page."""
        return 1 if self.logging else self.max_mapping_level(gfn)

    def map(self, vcpu: int, gfn: int, *, writable: bool) -> None:
        goal = self.goal(gfn)
        for level in range(4, goal, -1):
            base = gfn - gfn % (512 ** (level - 1))
            if level == 4 and base == 0 and not self.counts_first_512g:
                continue
            if (level, base) in self.table:
                continue
            leaf = self.leaf.get(gfn)
            if leaf is not None and self.rules.fault_splits_in_place and self.tdp_mmu:
                self.split(leaf)
                continue
            if leaf is not None:
                self.zap(leaf)
                self.flushes += 1
            self.table.add((level, base))
            self.unlinked.discard((level, base))
            self.relink(level, base)
            self.spte_event(level, "none", "table", base)
        base = gfn - gfn % SPAN[goal]
        new = Leaf(goal, base, writable, writable, writable)
        old = self.leaf.get(gfn)
        if (goal, base) in self.table:
            self.flushes += 1
            if self.tdp_mmu:
                self.zap_table(goal, base, new.label())
            else:
                self.unlink_table(goal, base)
        else:
            self.spte_event(goal, old.label() if old else "none", new.label(), base)
        self.install(new)
        if writable:
            self.mark_page_dirty(vcpu, gfn)
        if not self.tdp_mmu and goal == 1:
            self.prefetch(gfn)

    def unlink_table(self, level: int, base: int) -> None:
        """The shadow MMU drops the parent entry; the page stays in the hash and is used again."""
        self.table.discard((level, base))
        self.unlinked.add((level, base))
        for child in range(base, base + SPAN[level], SPAN[level - 1]):
            if (level - 1, child) in self.table:
                self.unlink_table(level - 1, child)
                self.kept.add((level - 1, child))

    def relink(self, level: int, base: int) -> int:
        """Link the remaining child tables of an unlinked table again, empty; return their number."""
        back = [each for each in self.kept if base <= each[1] < base + SPAN[level]] if level == 3 else []
        self.table |= set(back)
        self.unlinked -= set(back)
        self.kept -= set(back)
        return len(back)

    def prefetch(self, gfn: int) -> None:
        """direct_pte_prefetch(): up to 8 neighbours, never writable ones of a logged slot."""
        if self.logging:
            return
        first = gfn - gfn % 8
        runs: list[list[int]] = [[]]
        for each in range(first, first + 8):
            if each in self.leaf:
                runs.append([])
            else:
                runs[-1].append(each)
        if not self.rules.prefetch_finishes:
            runs.pop()
        for run in filter(None, runs):
            inside = self.base <= run[0] and run[-1] < self.base + self.pages
            wanted = [each - self.base + self.hva_offset for each in run]
            if not inside or self.host.page.get(wanted[0]) != "present":
                return
            for each, hpage in zip(run, wanted, strict=True):
                if self.host.page.get(hpage) != "present":
                    break
                self.install(Leaf(1, each, writable=True, mmu_writable=True, dirty=True))

    def notifier_invalidates(self, start: int, end: int) -> None:
        """kvm_unmap_gfn_range(): zap the leaves of these host pages, before 5.18 whole tables too."""
        shift = self.base - self.hva_offset
        low, high = max(start + shift, self.base), min(end + shift, self.base + self.pages)
        gfn = low
        while gfn < high:
            level = next((each for each in (3, 2) if self.whole_table(each, gfn, high)), 1)
            if level > 1:
                self.zap_table(level, gfn, "none")
            elif gfn in self.leaf:
                self.zap(self.leaf[gfn])
            gfn += SPAN[level]

    def whole_table(self, level: int, gfn: int, high: int) -> bool:
        """Whether a table begins here that goes whole with the range up to `high`."""
        takes = self.rules.notifier_takes_tables and self.tdp_mmu
        return takes and (level, gfn) in self.table and gfn + SPAN[level] <= high

    # Dirty logging

    def split_range(self, start: int, end: int) -> None:
        """kvm_mmu_try_split_huge_pages(): pre-order, down to 4K, or to 2M where that is tracked."""
        if not self.tdp_mmu or not self.rules.has_eager_split:
            return
        # The walk begins at the entry that maps `start`, even for an empty range inside it.
        for huge in self.leaves(start, max(end, start + 1)):
            if huge.base < end and huge.level == 3:
                self.split_gigantic(huge, start, end)
            elif huge.base < end and huge.level == 2 and self.track == 1:
                self.split_eagerly(huge)

    def split_gigantic(self, huge: Leaf, start: int, end: int) -> None:
        self.split_eagerly(huge)
        for child in range(huge.base, huge.base + SPAN[3], SPAN[2]):
            if child < end and child + SPAN[2] > start and self.track == 1:
                self.split_eagerly(self.leaf[child])

    def split_eagerly(self, huge: Leaf) -> None:
        """Split one huge leaf outside of a fault."""
        self.split(huge)

    def enable(self) -> None:
        """Set KVM_MEM_LOG_DIRTY_PAGES: kvm_mmu_slot_apply_flags()."""
        if self.logging:
            return
        self.logging = True
        if not self.ring_mode:
            self.dirty = set(range(self.pages)) if self.init_set else set()
        if self.init_set:
            return
        start, end = self.base, self.base + self.pages
        if self.eager:
            self.split_range(start, end)
        self.flushes += 1
        if self.pml:
            for leaf in self.leaves(start, end):
                if self.tdp_mmu or leaf.level == 1:
                    self.change(leaf, dirty=False)
        for leaf in self.leaves(start, end):
            if leaf.level > self.track or not self.pml:
                self.change(leaf, writable=False)

    def disable(self) -> None:
        """Clear KVM_MEM_LOG_DIRTY_PAGES: collapse what the host backs by huge pages."""
        if not self.logging:
            return
        self.logging = False
        self.dirty = set()
        if not self.tdp_mmu or self.rules.disable_zaps_leaves:
            self.zap_collapsible_leaves()
            return
        end, zaps = self.base + self.pages, 0
        # One walk in order of address, from the top: a table goes with all under it.
        for base, level in sorted(
            ((base, level) for level, base in self.table if level < 4), key=lambda at: (at[0], -at[1])
        ):
            inside = (level, base) in self.table and self.base <= base < end
            if inside and self.max_mapping_level(base) >= level:
                zaps += self.collapse(level, base)
        self.flushes += min(zaps, 1) if self.rules.recovers_in_place else zaps

    def zap_collapsible_leaves(self) -> None:
        zaps = 0
        for leaf in self.leaves(self.base, self.base + self.pages):
            if leaf.level < self.max_mapping_level(leaf.base):
                self.zap(leaf)
                zaps += 1
        self.flushes += zaps if self.tdp_mmu else min(zaps, 1)

    def collapse(self, level: int, base: int) -> bool:
        """Whether the table went."""
        if not self.rules.recovers_in_place:
            self.zap_table(level, base, "none")
            return True
        for gfn in range(base, base + SPAN[level]):
            child = self.leaf.get(gfn)
            if child is not None:
                huge = Leaf(level, base, child.writable, child.mmu_writable, child.dirty)
                self.zap_table(level, base, huge.label())
                self.install(huge)
                return True
        return False

    def log_dirty_pt_masked(self, offset: int, bits: list[int]) -> None:
        """kvm_arch_mmu_enable_log_dirty_pt_masked(): one word; bits count from offset."""
        first = self.base + offset
        self.armed += 1
        if self.init_set:
            start, end = first + bits[0], first + bits[-1]
            if self.eager:
                self.split_range(start, end if self.rules.clear_split_end_exclusive else end + 1)
            self.write_protect_gfn(start)
            if (start + 511) // 512 != (end + 511) // 512:
                self.write_protect_gfn(end)
        for bit in bits:
            leaf = self.leaf.get(first + bit)
            if leaf is None or leaf.level > self.track:
                continue
            if self.pml:
                self.change(leaf, dirty=False)
            elif leaf.writable:
                self.change(leaf, writable=False)

    def write_protect_gfn(self, gfn: int) -> None:
        leaf = self.leaf.get(gfn)
        if leaf is not None and leaf.level > self.track:
            self.change(leaf, writable=False, mmu_writable=False)

    def get(self) -> set[int]:
        """KVM_GET_DIRTY_LOG."""
        found = set(self.dirty)
        if not self.manual:
            self.dirty = set()
            self.by_word(found)
        return found

    def clear(self, offsets: set[int]) -> None:
        """KVM_CLEAR_DIRTY_LOG of these pages: only those whose bit KVM still holds count."""
        wanted = offsets & self.dirty
        self.dirty -= wanted
        self.by_word(wanted)

    def by_word(self, offsets: set[int]) -> None:
        words: dict[int, list[int]] = {}
        for offset in sorted(offsets):
            words.setdefault(offset // 64, []).append(offset % 64)
        for word, bits in words.items():
            self.log_dirty_pt_masked(word * 64, bits)

    # Dirty ring

    def ring_collect(self) -> set[int]:
        """Userspace harvests every vCPU's ring."""
        found: set[int] = set()
        for vcpu in self.vcpus:
            for entry in vcpu.ring:
                if not entry.harvested:
                    entry.harvested = True
                    found.add(entry.offset)
        return found

    def ring_reset(self) -> None:
        """KVM_RESET_DIRTY_RINGS: coalesce neighbours into masks of at most 64 pages."""
        for vcpu in self.vcpus:
            for offset, mask in self.coalesced(vcpu):
                self.reset_mask(offset, mask)

    def coalesced(self, vcpu: Vcpu) -> list[tuple[int, int]]:
        """The harvested entries of a ring, taken out, as (first page, mask)."""
        found: list[tuple[int, int]] = []
        while vcpu.ring and vcpu.ring[0].harvested:
            offset = vcpu.ring.pop(0).offset
            current, mask = found[-1] if found else (0, 0)
            delta = offset - current
            if mask and 0 <= delta < 64:
                found[-1] = current, mask | 1 << delta
            elif mask and -64 < delta < 0 and (mask << -delta) < (1 << 64):
                found[-1] = offset, (mask << -delta) | 1
            else:
                found.append((offset, 1))
        return found

    def reset_mask(self, offset: int, mask: int) -> None:
        bits = [bit for bit in range(64) if mask >> bit & 1]
        if offset + bits[-1] < self.pages:
            self.log_dirty_pt_masked(offset, bits)
