// The state of each vCPU at a time: running, slower, stopped, or idle, with the reason. A Recording has shares of a bin, not
// instants: the state is what the vCPU does for most of the bin, which is the most likely one at any instant of it.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const SLOWER = 0.9; // slower: under this share of its rate before logging, in the time in which it is not idle
  const [RUNS, SLOW, STOPS, IDLE] = ["runs", "slower", "stopped", "idle"];
  const CAUSES = {
    exit_and_fault: "write fault",
    lock_wait: "mmu_lock",
    split_or_zap: "splits",
    allocation: "new table",
    tlb_flush: "TLB flush",
    ring_full: "ring full",
    pml_full: "PML full",
    userspace_lock: "user lock",
  };
  const IN_FAULT = ["exit_and_fault", "split_or_zap", "allocation", "tlb_flush", "pml_full"];

  S.VcpuStates = class {
    constructor(run) {
      this.run = run;
      this.shares = new Float64Array(4);
      this.bin = -1;
      this.states = [];
    }

    // The bin that determines the state; the bin in which logging is enabled counts only after the call.
    binOf(ps) {
      const { run } = this;
      const bin = run.binAt(ps);
      const call = run.enablePs === null ? null : run.calls.find(({ kind }) => kind === "enable");
      const before = call && run.binAt(call.startPs) === bin && ps < Math.min(call.endPs, run.framePs(bin + 1));
      return bin > 0 && before ? bin - 1 : bin;
    }

    at(ps) {
      const bin = this.binOf(ps);
      if (bin !== this.bin) {
        this.bin = bin;
        this.why = this.causesOf(bin);
        this.states = Array.from({ length: this.run.vcpus }, (_, vcpu) => this.stateOf(bin, vcpu));
      }
      return this.states;
    }

    causesOf(bin) {
      const { run } = this;
      const [before, after] = [run.stallBy(run.framePs(bin)), run.stallBy(run.framePs(bin + 1))];
      const [a, b] = [run.faults(run.framePs(bin)), run.faults(run.framePs(bin + 1))];
      const stall = {};
      run.header.causes.forEach((cause, at) => (stall[cause] = after[at] - before[at]));
      const unmapped = b[0] - a[0] > b[1] - a[1] + (b[2] - a[2]);
      return { stall, unmapped, logged: run.slowPs(run.framePs(bin + 1)) > run.slowPs(run.framePs(bin)) };
    }

    // {state, text, stalled}: the reason if it does not just run, and the stalled share of the bin.
    stateOf(bin, vcpu) {
      const [running, inFault, lockWait, blocked] = this.run.vcpuShares(bin, vcpu, this.shares);
      const stalled = inFault + lockWait + blocked;
      const idle = Math.max(0, 1 - running - stalled);
      if (idle > Math.max(running, stalled)) {
        return { state: IDLE, text: "idle", stalled };
      }
      if (stalled > running) {
        return { state: STOPS, text: this.reason(inFault, lockWait, blocked), stalled };
      }
      if (this.progress(bin, vcpu) < SLOWER * (1 - idle)) {
        const logged = this.why.logged ? "logged" : "slower";
        return { state: SLOW, text: stalled > 1 - SLOWER ? this.reason(inFault, lockWait, blocked) : logged, stalled };
      }
      return { state: RUNS, text: "", stalled };
    }

    reason(inFault, lockWait, blocked) {
      const { stall, unmapped } = this.why;
      const most = Math.max(inFault, lockWait, blocked);
      const largest = (causes) => causes.reduce((a, b) => ((stall[a] || 0) >= (stall[b] || 0) ? a : b));
      if (most === lockWait) {
        return CAUSES[largest(["lock_wait", "userspace_lock"])];
      }
      const cause = most === blocked ? largest(["ring_full", "userspace_lock", "pml_full"]) : largest(IN_FAULT);
      if (most === blocked && !stall[cause]) {
        return "userspace";
      }
      return unmapped && cause === IN_FAULT[0] ? "page fault" : CAUSES[cause];
    }

    // A vCPU's rate in a bin relative to that before the first ioctl: by its positions if it sweeps, else the mean of all.
    progress(bin, vcpu) {
      const { run } = this;
      if (run.enablePs === null || run.framePs(bin + 1) <= run.enablePs) {
        return 1;
      }
      const full = this.fullWay(vcpu);
      const took = (run.framePs(bin + 1) - run.framePs(bin)) / run.binPs;
      return full && took > 0.05 ? this.way(bin, vcpu) / took / full : run.speed(run.framePs(bin));
    }

    way(bin, vcpu) {
      const { run } = this;
      const { ram } = run;
      const at = (frame) => ram.indexOf(run.vcpuGfn(run.framePs(frame), vcpu));
      const { pages } = ram.partOf(vcpu);
      return (at(bin + 1) - at(bin) + pages) % pages;
    }

    // Pages that a vCPU passes in a bin without stalls; 0 if unknown, because it may pass its whole range in a bin.
    fullWay(vcpu) {
      this.full = this.full || [];
      if (this.full[vcpu] === undefined) {
        const { run } = this;
        const last = Math.min(run.bins, run.binAt(run.enablePs)) - 1;
        const known = run.ram && run.ram.sweeps && last >= 1 && run.vcpuGfn(run.framePs(last), vcpu) >= 0;
        const expected = (run.fullRate / run.vcpus) * (run.binPs / 1e12);
        const fits = known && expected > 0 && expected < run.ram.partOf(vcpu).pages / 2;
        this.full[vcpu] = fits ? Math.max(this.way(last - 1, vcpu), this.way(last, vcpu)) : 0;
      }
      return this.full[vcpu];
    }
  };
})();
