// The bits of a page-table entry by the vendor's names, and the change in an example.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const [PRESENT, WRITABLE, DIRTY, TABLE] = [1, 2, 8, 16];
  // Letter, and its bit in a Recording. KVM sets the accessed bit in every entry that it creates.
  const FORMATS = {
    EPT: [["R", PRESENT], ["W", WRITABLE], ["A", PRESENT], ["D", DIRTY]],
    NPT: [["P", PRESENT], ["W", WRITABLE], ["A", PRESENT], ["D", DIRTY]],
    "stage 2": [["V", PRESENT], ["R", PRESENT], ["W", WRITABLE], ["AF", PRESENT]],
    shadow: [["P", PRESENT], ["W", WRITABLE], ["A", PRESENT], ["D", DIRTY]],
  };
  const DEEDS = {
    map_4k: "maps 4K",
    map_2m: "maps 2M",
    map_1g: "maps 1G",
    fix_4k: "makes writable",
    fix_huge: "makes writable",
    slow_fix: "makes writable",
    split_2m: "splits 2M",
    split_1g: "splits 1G",
    zap_4k: "zaps 4K",
    zap_2m: "zaps 2M",
    zap_1g: "zaps 1G",
    protect_4k: "write-protects",
    protect_2m: "write-protects",
    protect_1g: "write-protects",
    clear_dirty_4k: "clears D",
    clear_dirty_huge: "clears D",
    link_table: "links a table",
    remove_table: "removes a table",
    cpu_dirty: "CPU sets D",
  };

  // The format of a run's entries.
  S.spteFormat = function (run) {
    const vm = (run.header.scenario || {}).vm || {};
    if (vm.vendor === "arm64" || vm.mmu === "stage2") {
      return "stage 2";
    }
    return vm.mmu === "shadow_paging" ? "shadow" : vm.vendor === "intel" ? "EPT" : "NPT";
  };

  // Letters of an entry and whether each is set; null if it is not a leaf.
  S.spteBits = function (format, bits) {
    return bits & TABLE || !(bits & PRESENT) ? null : FORMATS[format].map(([name, bit]) => [name, Boolean(bits & bit)]);
  };

  // The change of an entry in an example: text, and its letters before and after; null if it changed none.
  S.spteChange = function (format, example) {
    const deed = example && DEEDS[example.kind];
    if (!deed) {
      return null;
    }
    const kindOf = (bits) => (bits & TABLE ? "table" : "none");
    const side = (bits) => S.spteBits(format, bits) || kindOf(bits);
    return { deed, level: example.level, before: side(example.old), after: side(example.new) };
  };
})();
