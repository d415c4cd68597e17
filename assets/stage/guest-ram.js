// The guest's RAM as numbered by its workload, and the interpolated position of a vCPU that sweeps it.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const PAGE_BYTES = 4096;
  const NO_GFN = -1;
  // Patterns that access their range in order; positions of other patterns cannot be interpolated.
  const SWEEPS = new Set(["sequential", "read_write_mix", "strided"]);

  S.isSweep = (pattern) => SWEEPS.has(pattern);

  // All writable memslots, concatenated, and each vCPU's range of them.
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

    // The position of a sweep between two gfns; at the end of the vCPU's range it restarts.
    between(from, to, share, vcpu) {
      const { first, pages } = this.partOf(vcpu);
      const start = this.indexOf(from) - first;
      const way = (this.indexOf(to) - first - start + pages) % pages;
      return this.gfnOf(first + Math.floor((start + way * share) % pages));
    }
  }

  S.GuestRam = GuestRam;
})();
