// The guest's memory as its workload counts it, and where a vCPU that sweeps it is between two known places.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const PAGE_BYTES = 4096;
  const NO_GFN = -1;
  // Patterns that go over their part of memory in order; any other jumps, and nothing lies between two places.
  const SWEEPS = new Set(["sequential", "read_write_mix", "strided"]);

  S.isSweep = (pattern) => SWEEPS.has(pattern);

  // All writable memslots one behind the other, and each vCPU's part of them.
  class GuestRam {
    constructor({ memory = [], workload = {} }, vcpus) {
      const slots = memory.filter((slot) => !slot.read_only).sort((a, b) => a.base - b.base);
      this.pages = 0;
      this.slots = slots.map(({ base, size }) => {
        const slot = { first: this.pages, gfn: base / PAGE_BYTES, pages: size / PAGE_BYTES };
        this.pages += slot.pages;
        return slot;
      });
      this.part = workload.shared ? this.pages : Math.floor(this.pages / vcpus);
      this.vcpus = vcpus;
      this.shared = Boolean(workload.shared);
      this.sweeps = this.pages > 0 && S.isSweep(workload.pattern);
    }

    indexOf(gfn) {
      const slot = this.slots.find((each) => gfn >= each.gfn && gfn < each.gfn + each.pages);
      return slot ? slot.first + gfn - slot.gfn : NO_GFN;
    }

    gfnOf(index) {
      const slot = this.slots.find((each) => index < each.first + each.pages);
      return slot ? slot.gfn + index - slot.first : NO_GFN;
    }

    partOf(vcpu) {
      const first = this.shared ? 0 : vcpu * this.part;
      return { first, pages: (vcpu === this.vcpus - 1 ? this.pages : first + this.part) - first };
    }

    // Where a sweep of a vCPU's part is on its way from one gfn to another; at the end of the part it starts anew.
    between(from, to, share, vcpu) {
      const { first, pages } = this.partOf(vcpu);
      const start = this.indexOf(from) - first;
      const way = (this.indexOf(to) - first - start + pages) % pages;
      return this.gfnOf(first + Math.floor((start + way * share) % pages));
    }
  }

  S.GuestRam = GuestRam;
})();
