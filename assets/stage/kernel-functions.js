// Kernel functions by task, MMU and release, and links to their source.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const SOURCE = "https://elixir.bootlin.com/linux";
  const SHADOWS = ["direct_shadow", "shadow_paging", "nested"];
  // Names as in the model's own modules. If a release changed the function: [old name, first release, new name].
  const X86 = {
    enable: "kvm_mmu_slot_apply_flags",
    protect: "kvm_mmu_slot_remove_write_access",
    write_protect: "wrprot_gfn_range",
    clear_dirty: "clear_dirty_gfn_range",
    split: "tdp_mmu_split_huge_pages_root",
    split_in_clear: "kvm_mmu_try_split_huge_pages",
    arm: "kvm_arch_mmu_enable_log_dirty_pt_masked",
    get: "kvm_get_dirty_log_protect",
    clear: "kvm_clear_dirty_log_protect",
    reset: "kvm_dirty_ring_reset",
    collapse: ["kvm_mmu_zap_collapsible_sptes", [6, 13], "kvm_mmu_recover_huge_pages"],
    fast: "fast_page_fault",
    slow: "kvm_tdp_mmu_map",
    fault_split: ["tdp_mmu_zap_spte_atomic", [6, 2], "tdp_mmu_split_huge_page"],
    lock: ["direct_page_fault", [6, 3], "kvm_tdp_mmu_page_fault"],
    allocation: "mmu_topup_memory_caches",
    flush: "kvm_flush_remote_tlbs",
    ring_full: "kvm_dirty_ring_soft_full",
    pml: "vmx_flush_pml_buffer",
    pml_full: "handle_pml_full",
  };
  // The shadow MMU handles each fault under mmu_lock and walks rmaps.
  const SHADOW = {
    ...X86,
    write_protect: "slot_rmap_write_protect",
    clear_dirty: "__rmap_clear_dirty",
    split: "kvm_shadow_mmu_try_split_huge_pages",
    slow: "kvm_mmu_do_page_fault",
    fault_split: "kvm_mmu_do_page_fault",
    lock: "direct_page_fault",
  };
  const STAGE2 = {
    ...X86,
    enable: "kvm_arch_commit_memory_region",
    protect: "kvm_mmu_wp_memory_region",
    write_protect: "kvm_mmu_wp_memory_region",
    split: "kvm_mmu_split_huge_pages",
    split_in_clear: "kvm_mmu_split_huge_pages",
    collapse: "kvm_arch_commit_memory_region",
    fast: "kvm_pgtable_stage2_relax_perms",
    slow: "user_mem_abort",
    fault_split: "stage2_map_walker",
    lock: "user_mem_abort",
  };
  // In a nested guest L1's tables belong to the TDP MMU; their walks come last and take longest.
  const TABLES = { stage2: STAGE2, nested: { ...SHADOW, write_protect: X86.write_protect, split: X86.split } };

  // The first release in which a write fault of the TDP MMU splits a huge page in place; earlier ones zap it.
  S.FIRST_IN_PLACE = [6, 2];

  const releaseOf = (run) => /^\d+\.\d+$/.test(run.header.versions.kernel) && run.header.versions.kernel;

  // Whether the kernel of a run is at least a release: [major, minor]. A series that was never merged counts as old.
  S.kernelIsFrom = function (run, [major, minor]) {
    const [first, second] = (releaseOf(run) || "0.0").split(".").map(Number);
    return first > major || (first === major && second >= minor);
  };

  // {name, href} of the function for the task `what` in the kernel of a run; href is null if no release has its source.
  S.kernelFunction = function (run, what) {
    const { mmu } = run.header.scenario.vm;
    const found = (TABLES[mmu] || (SHADOWS.includes(mmu) ? SHADOW : X86))[what];
    if (!found) {
      return { name: "", href: null };
    }
    const name = Array.isArray(found) ? found[S.kernelIsFrom(run, found[1]) ? 2 : 0] : found;
    const release = releaseOf(run);
    return { name, href: release ? `${SOURCE}/v${release}/A/ident/${name}` : null };
  };
})();
