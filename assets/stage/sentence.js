// A sentence on the state of a run at an instant, with the kernel function that causes it.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  // Smaller shares of a vCPU's time are not mentioned; the largest share is mentioned first.
  const STALLS = 0.15;
  const SLOWED = 0.08;
  const SELDOM = 0.002;
  const EVERY = 0.9; // faults per dirty page, from which a vCPU counts as stopped at every page
  const FIRST_RECOVERS = [6, 13];

  const t = (text) => S.toned("", text);
  const ioctl = (text) => S.toned("ioctl", text);
  const stall = (text) => S.toned("stall", text);
  const dirty = (text) => S.toned("dirty", text);
  const runs = (text) => S.toned("run", text);
  const of = (what, ...parts) => ({ what, parts });

  // "vCPUs wait", "The vCPU waits".
  const vcpusDo = (run, verb) => (run.vcpus === 1 ? `The vCPU ${verb}s` : `vCPUs ${verb}`);
  const freely = (run) => [t(run.vcpus === 1 ? "The vCPU " : "The vCPUs "), runs(run.vcpus === 1 ? "runs freely" : "run freely"), t(".")];

  const splitsEagerly = ({ header }) => Boolean(header.scenario.vm.eager_page_split || header.scenario.vm.split_chunk);

  // ---- while an ioctl runs

  // Splits of a kind from the begin of a call to the last bin's end, as the tables that the pane counts.
  const splitsSince = (run, call, ps, kind) =>
    Math.max(0, run.splits(run.framePs(run.frame(ps)))[kind] - run.splits(call.startPs)[kind]);

  function enabling(run, call, ps, walk) {
    const { dirty_log_mode: mode } = run.header.scenario.vm;
    const parts = S.callParts(run, call);
    const since = splitsSince(run, call, ps, 0);
    const splitting = walk ? walk === "split" : parts && ps < call.startPs + parts.splitPs;
    if (mode.endsWith("initially_set")) {
      return of("enable", ioctl("Logging is on."), t(" All bits are set, and nothing is protected until CLEAR."));
    }
    if (splitting && call.splits && splitsEagerly(run)) {
      const done = S.count(Math.min(call.splits, Math.round(since)));
      const waits = stalledShare(run, ps) < SELDOM ? " No vCPU waits." : "";
      return of("split", ioctl("The ioctl"), t(` splits huge pages: ${done} of ${S.count(call.splits)}.${waits}`));
    }
    const took = parts ? [t(`Splitting took ${S.timeText(parts.splitPs)}. `)] : [];
    if (walk === "clear_dirty" || (parts && run.header.scenario.vm.pml)) {
      const now = took.length ? " now" : "";
      return of("clear_dirty", ...took, ioctl("The ioctl"), t(`${now} clears dirty bits.`));
    }
    if (walk === "write_protect" || parts) {
      return of("write_protect", ...took, ioctl("The ioctl"), t(" takes write access away."));
    }
    return of("protect", ioctl("Logging is on."), t(" The ioctl only takes write access away."));
  }

  function clearing(run, call, ps) {
    const { pml, dirty_log_mode: mode } = run.header.scenario.vm;
    if (call.splits && splitsEagerly(run)) {
      const done = Math.min(call.splits, Math.round(splitsSince(run, call, ps, 1)));
      const how = `${S.count(done)} of ${S.count(call.splits)}`;
      return of("split_in_clear", ioctl("CLEAR"), t(` splits huge pages, ${how}, and protects what it clears.`));
    }
    if (mode === "manual_initially_set" && run.leaves(ps).g1 + run.leaves(ps).m2 > 0) {
      return of("arm", ioctl("CLEAR"), t(" protects huge pages; the first write to each will split it."));
    }
    const does = pml ? "clears the dirty bits of" : "protects";
    return of("arm", ioctl("CLEAR"), t(` ${does} reported pages: the next write is logged.`));
  }

  const CALLS = {
    enable: enabling,
    clear: clearing,
    get(run, call) {
      const { dirty_log_mode: mode } = run.header.scenario.vm;
      const found = call.reported < 0 ? "what is dirty" : `${S.count(call.reported)} dirty pages`;
      const then = mode === "legacy" ? " and protects them again." : ". It protects nothing.";
      return of("get", ioctl("GET"), t(` reports ${found}${then}`));
    },
    reset: () => of("reset", ioctl("The reset of the rings"), t(" protects their pages again.")),
    disable(run) {
      if (run.header.scenario.vm.mmu === "stage2") {
        return of("collapse", ioctl("Logging is off."), t(" Tables stay as they are."));
      }
      return S.kernelIsFrom(run, FIRST_RECOVERS)
        ? of("collapse", ioctl("Disabling"), t(" puts huge pages back in the place of their tables."))
        : of("collapse", ioctl("Disabling"), t(" zaps tables; huge pages come back at the next touch."));
    },
    pre_split: () =>
      of("slow", ioctl("A dummy vCPU"), t(" faults every page, so that it is split before logging starts.")),
  };

  // ---- between ioctls

  // The state around an instant, over a few bins between two ioctls: shares of the vCPUs' time, and rates.
  function around(run, ps) {
    const before = run.calls.filter((call) => call.endPs <= ps).map((call) => call.endPs);
    const after = run.calls.filter((call) => call.startPs > ps).map((call) => call.startPs);
    const from = Math.max(0, ps - 2 * run.binPs, ...before);
    const to = Math.max(from + 1, Math.min(run.endPs, ps + 2 * run.binPs, ...after));
    const span = to - from;
    const late = run.stallBy(to);
    const early = run.stallBy(from);
    const causes = Array.from(late, (value, i) => (value - early[i]) / span);
    const faults = run.faults(to).map((count, i) => count - run.faults(from)[i]);
    return {
      from,
      to,
      span,
      stalled: causes.reduce((all, share) => all + share, 0),
      cause: run.header.causes[causes.indexOf(Math.max(...causes))],
      slower: (run.slowPs(to) - run.slowPs(from)) / span,
      accesses: run.accesses(to) - run.accesses(from),
      faults,
      path: ["not_present", "fast", "slow_protected", "spurious"][faults.indexOf(Math.max(...faults))],
      splits: run.splits(to)[2] - run.splits(from)[2],
      dirtied: run.dirtyPages(to) - run.dirtyPages(from),
    };
  }

  const stalledShare = (run, ps) => around(run, ps).stalled;

  function notLogged(run, ps, now, everLogged) {
    const { workload } = run.header.scenario;
    if (everLogged) {
      return now.stalled > STALLS
        ? of("slow", t("Logging is off. "), stall(vcpusDo(run, "stop")), t(" once more where tables were taken away."))
        : !now.accesses
          ? of(null, t(`Logging is off, and the ${run.vcpus === 1 ? "vCPU is" : "vCPUs are"} idle.`))
          : of(null, t("Logging is off. "), ...freely(run));
    }
    const guest = S.guestPages(run) ? S.guestText(run) : ""; // KVM recordings have none
    if (!now.accesses) {
      return of(null, t(`${S.vcpusText(run)}${guest && `, ${guest}`}. Nothing runs yet.`));
    }
    if (now.faults[0] > 0.01 * now.accesses) {
      return of("slow", t("The guest touches its memory for the first time: KVM maps it."));
    }
    const share = (workload || {}).write_percent;
    const one = run.vcpus === 1 ? "s" : "";
    const verb = share === 0 ? `read${one}` : share > 0 && share < 100 ? `read${one} and write${one}` : `write${one}`;
    const yet = run.enablePs === null ? "" : " yet";
    const where = S.isSweep((workload || {}).pattern) ? "through" : "in";
    return of(null, t(`${S.vcpusText(run)} ${verb}${guest && ` ${where} ${guest}`}. Nothing is logged${yet}.`));
  }

  const percent = (share) => (share < 0.01 ? "under 1 %" : `${Math.round(100 * share)} %`);

  function faultRate(run, now) {
    const faults = now.faults.reduce((all, count) => all + count, 0);
    return S.rateText(faults / now.span / run.vcpus, "time", "times");
  }

  function faulting(run, now) {
    const each = run.vcpus === 1 ? "The vCPU " : "Each vCPU ";
    const rate = faultRate(run, now);
    if (now.path === "not_present") {
      const gone = run.header.scenario.vm.mmu === "stage2" ? "unmapped" : "zapped";
      return of("slow", t(each), stall("stops at every page"), t(` that was ${gone}: ${rate}.`));
    }
    const end = now.path === "slow_protected" ? ", under mmu_lock" : "";
    const what = end ? "slow" : "fast";
    const all = now.faults.reduce((sum, count) => sum + count, 0);
    const part = now.stalled < STALLS ? `, ${percent(now.stalled)} of its time` : "";
    return all >= EVERY * now.dirtied
      ? of(what, t(each), stall("stops at every page"), t(" it "), dirty("dirties"), t(`${end}: ${rate}${part}.`))
      : of(what, t(each), stall("stops at write faults"), t(`${end}: ${rate}${part}.`));
  }

  function splitting(run, now) {
    const rate = S.rateText((now.splits || 0) / now.span, "split", "splits");
    return S.kernelIsFrom(run, S.FIRST_IN_PLACE) && run.header.scenario.vm.mmu === "tdp"
      ? of("fault_split", t("The first write to each huge page "), stall("splits it"), t(`: ${rate}.`))
      : of("fault_split", t("The first write to each huge page "), stall("zaps it"), t(": all of it faults again."));
  }

  const STALLED = {
    exit_and_fault: faulting,
    split_or_zap: splitting,
    lock_wait: (run, now) =>
      of("lock", stall(`${vcpusDo(run, "wait")} for mmu_lock`), t(`, ${Math.round(100 * now.stalled)} % of their time.`)),
    allocation: (run) => of("allocation", stall(vcpusDo(run, "wait")), t(" for memory for page tables.")),
    tlb_flush: (run) => of("flush", stall(vcpusDo(run, "wait")), t(" for TLB flushes.")),
    ring_full: (run) => of("ring_full", stall(`Full rings stop the vCPU${run.vcpus === 1 ? "" : "s"}`), t(" until userspace has reset them.")),
    pml_full: (run) => of("pml_full", stall(`Full PML buffers stop the vCPU${run.vcpus === 1 ? "" : "s"}`), t(".")),
    userspace_lock: (run) => of(null, stall(vcpusDo(run, "wait")), t(" for a lock that userspace holds.")),
  };

  const firstSplits = new WeakMap();

  // The first bin in which a fault split a huge page, -1 if there is none.
  function firstSplitBin(run) {
    if (!firstSplits.has(run)) {
      firstSplits.set(run, run.tables.bins.splits_fault.findIndex((count) => count > 0));
    }
    return firstSplits.get(run);
  }

  function logged(run, ps, now) {
    const { dirty_log_mode: mode, pml } = run.header.scenario.vm;
    if (mode === "ring_initially_set") {
      return of("enable", t("Nothing is protected, the ring stays empty: "), dirty("every write is lost"), t("."));
    }
    const first = firstSplitBin(run);
    if (first >= 0 && run.binAt(ps) >= first && run.binAt(ps) <= first + 1) {
      const then = ": 512 entries, one of them writable.";
      return of("fault_split", t("A first write "), stall("splits a huge page"), t(then));
    }
    if (now.stalled > STALLS) {
      return STALLED[now.cause](run, now);
    }
    if (!now.accesses) {
      return of(null, t(`The ${run.vcpus === 1 ? "vCPU is" : "vCPUs are"} idle until userspace goes on.`));
    }
    if (now.slower > SLOWED) {
      const stops = now.stalled > SELDOM ? `Stalls take ${percent(now.stalled)}` : "No stop";
      return pml
        ? of("pml", t(`${stops}: the processor logs `), dirty("dirty"), t(" pages. Writes are "), runs("slower"), t("."))
        : of(null, t(`${stops}, but logged writes are `), runs("slower"), t("."));
    }
    if (mode.endsWith("initially_set") && !run.calls.some((call) => call.kind === "clear" && call.startPs < ps)) {
      const why = "All bits are set, nothing is protected: writes ";
      return of("enable", t(why), runs("cost nothing"), t(" until CLEAR."));
    }
    if (now.stalled > SELDOM && now.faults.some((count) => count > 0)) {
      return faulting(run, now);
    }
    const all = run.dirtyPages(ps) === S.guestPages(run);
    const what = all ? "Every page is in the log." : `What ${run.vcpus === 1 ? "it writes" : "they write"} is in the log already.`;
    return of(null, t(`${what} `), ...freely(run));
  }

  const completed = ({ header: { migration } }) => Boolean(migration) && migration.outcome === "completed";

  // From a migration's stop on, the vCPUs of this machine are idle for another reason; null before it.
  function stopped(run, ps) {
    const { stop_ps: stopPs, switch_ps: switchPs, end_ps: endPs } = completed(run) ? run.header.migration : {};
    if (ps >= endPs) {
      return of(null, t("Migrated: the guest "), runs("runs at the destination"), t("."));
    }
    if (switchPs !== null && ps >= switchPs) {
      return of(null, t("The guest "), runs("runs at the destination"), t("; pages that it lacks follow."));
    }
    return stopPs !== null && ps >= stopPs
      ? of(null, stall("The guest is stopped"), t(": what is left is sent, then it goes on at the destination."))
      : null;
  }

  function betweenCalls(run, ps) {
    const over = stopped(run, ps);
    if (over) {
      return over;
    }
    const now = around(run, ps);
    const last = run.calls.filter((call) => call.endPs <= ps && ["enable", "disable"].includes(call.kind)).pop();
    return last && last.kind === "enable" ? logged(run, ps, now) : notLogged(run, ps, now, Boolean(last));
  }

  // ---- in detail: the last change of an entry

  const EXAMPLES = {
    map_4k: "maps a 4K page",
    map_2m: "maps a 2M page",
    map_1g: "maps a 1G page",
    fix_4k: "makes a 4K page writable without mmu_lock",
    fix_huge: "makes a huge page writable without mmu_lock",
    slow_fix: "makes a 4K page writable under mmu_lock",
    split_2m: "splits a 2M page",
    split_1g: "splits a 1G page",
    zap_4k: "zaps a 4K page",
    zap_2m: "zaps a 2M page",
    zap_1g: "zaps a 1G page",
    protect_4k: "write-protects a 4K page",
    protect_2m: "write-protects a 2M page",
    protect_1g: "write-protects a 1G page",
    clear_dirty_4k: "clears a dirty bit of a 4K page",
    clear_dirty_huge: "clears a dirty bit of a huge page",
    cpu_dirty: "sets a dirty bit",
    pml_full: "stops at a full PML buffer",
    ring_full: "stops at a full ring",
  };

  function detailOf(run, ps) {
    const example = run.exampleAt(ps);
    const verb = example && EXAMPLES[example.kind];
    if (!verb) {
      return "";
    }
    const who = example.vcpu < 0 ? "The ioctl thread" : `vCPU ${example.vcpu}`;
    const where = example.gfn < 0 || example.kind.endsWith("_full") ? "" : ` at gfn 0x${example.gfn.toString(16)}`;
    const took = example.stallPs > 0 ? `, in ${S.timeText(example.stallPs)}` : "";
    return `${who} ${verb}${where}${took}.`;
  }

  // {parts: [{tone, text}], text, kernelFunction, href, detail}; all texts without markup.
  S.sentence = function (run, ps) {
    if (ps > run.endPs) { // another pane continues
      const ended = S.timeText(run.endPs);
      const parts = [t(completed(run) ? `Migrated at ${ended}: the guest runs at the destination.` : `This run ended at ${ended}.`)];
      return { parts, text: parts[0].text, kernelFunction: "", href: null, detail: "" };
    }
    const now = Math.max(0, Math.min(ps, run.endPs));
    const call = run.callAt(now);
    const walk = call ? run.walkAt(now) : null;
    const inside = call && CALLS[call.kind];
    const said = inside ? inside(run, call, now, walk && walk.kind) : betweenCalls(run, now);
    const { name, href } = said.what ? S.kernelFunction(run, said.what) : { name: "", href: null };
    const text = said.parts.map((part) => part.text).join("");
    return { parts: said.parts, text, kernelFunction: name, href, detail: detailOf(run, now) };
  };

  // The sentence as a list of nodes for append(), the function as a link to its source if there is one.
  S.sentenceNodes = function ({ parts, kernelFunction, href }) {
    const nodes = S.partNodes(parts);
    if (kernelFunction) {
      const node = document.createElement(href ? "a" : "code");
      node.className = "kernel-function";
      node.textContent = `${kernelFunction}()`;
      if (href) {
        Object.assign(node, { href, target: "_blank", rel: "noopener noreferrer" });
      }
      nodes.push(" ", node);
    }
    return nodes;
  };
})();
