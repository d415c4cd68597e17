// The content of the end card: measures of each run, their parts, and suggested changes.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const PAGE_BYTES = 4096;
  // Smaller shares of a measure are not mentioned.
  const LEAST_PART = 0.01;
  const CAUSES = {
    lock_wait: "waiting for mmu_lock",
    split_or_zap: "splitting",
    allocation: "allocating tables",
    tlb_flush: "in TLB flushes",
    ring_full: "at full rings",
    pml_full: "at full PML buffers",
    userspace_lock: "waiting for userspace",
  };
  const DOING = { enable: "enabling", disable: "disabling", pre_split: "pre-splitting" };

  const tookPs = (call) => call.endPs - call.startPs;
  const sum = (numbers) => numbers.reduce((all, each) => all + each, 0);

  function stallParts(run) {
    const by = run.stallBy(run.endPs);
    const all = sum(Array.from(by));
    const faults = Math.round(sum(run.faults(run.endPs)) / run.vcpus);
    const said = (ps) => (ps > (1 - LEAST_PART) * all ? "all" : S.timeText(ps));
    return run.header.causes
      .map((cause, i) => ({ cause, ps: by[i] }))
      .filter(({ ps }) => ps > LEAST_PART * all)
      .sort((a, b) => b.ps - a.ps)
      .map(({ cause, ps }) => {
        const zaps = cause === "split_or_zap" && !S.kernelIsFrom(run, S.FIRST_IN_PLACE);
        const where = cause === "exit_and_fault" ? `in ${S.count(faults)} faults` : zaps ? "zapping" : CAUSES[cause];
        return `${said(ps)} ${where}`;
      });
  }

  function ioctlParts(run) {
    const enable = run.calls.find((call) => call.kind === "enable");
    const parts = enable && run.calls.length === 1 ? S.callParts(run, enable) : null;
    if (parts) {
      const rest = run.header.scenario.vm.pml ? "clearing dirty bits" : "write-protecting";
      return [`about ${S.timeText(parts.splitPs)} splitting`, `${S.timeText(parts.restPs)} ${rest}`];
    }
    const kinds = [...new Set(run.calls.map((call) => call.kind))];
    const of = kinds.map((kind) => run.calls.filter((call) => call.kind === kind));
    return of
      .map((calls) => ({ calls, ps: sum(calls.map(tookPs)) }))
      .filter(({ ps }) => run.calls.length > 1 && ps > LEAST_PART * sum(run.calls.map(tookPs)))
      .sort((a, b) => b.ps - a.ps)
      .map(({ calls, ps }) => {
        const { kind } = calls[0];
        const where = DOING[kind] || `in ${S.callsName(kind, calls.length)}`;
        const longest = calls.length > 1 ? `, ${S.timeText(Math.max(...calls.map(tookPs)))} the longest` : "";
        return `${S.timeText(ps)} ${where}${longest}`;
      });
  }

  function tableBytes({ header }) {
    return header.table_pages_at_enable === null
      ? 0
      : (header.table_pages_peak - header.table_pages_at_enable) * PAGE_BYTES;
  }

  function tableParts(run) {
    const pages = S.guestPages(run); // KVM recordings have none
    const share = pages ? (100 * tableBytes(run)) / (pages * PAGE_BYTES) : 0;
    return share >= 0.05 ? [`${share.toFixed(1)} % of the guest`] : [];
  }

  // Marks of pages that the run lost, as lost-pages.js sets them: {cause, commit, gfns}.
  S.lostMarksOf = (run) => (run.lostMarks || []).filter(({ kind }) => kind === "lost");
  const lostGfns = (run) => [...new Set(S.lostMarksOf(run).flatMap(({ gfns }) => gfns))];
  // Pages that were written and never reported, of a migration those that are stale at the destination.
  S.lostPages = (run) => lostGfns(run).length || (run.header.migration?.lost_pages ?? 0);

  // Their gfns if they are few, else the first.
  S.gfnsText = (gfns) => {
    const first = `gfn 0x${gfns[0].toString(16)}`;
    return gfns.length === 1 ? first : `${S.count(gfns.length)} pages from ${first}`;
  };

  // The measures of the card, each of every run: {name, description, tone, time, values, parts}. Times are ps;
  // partsOf(value, index) gives the value's text.
  S.summaryRows = function (runs) {
    const rowOf = (name, description, tone, time, valueOf, wordsOf, partsOf) => ({
      name,
      description,
      tone,
      time,
      partsOf,
      values: runs.map(valueOf),
      parts: runs.map(wordsOf),
    });
    const lastPs = Math.max(...runs.map(({ endPs }) => endPs));
    const timeOf = (name) => (_, index) => S.paneParts(name, runs[index], runs, lastPs);
    const pagesOf = (count) => ({ value: S.count(count), unit: count === 1 ? "page" : "pages", zero: count === 0 });
    const whereOf = (run) => (lostGfns(run).length ? [S.gfnsText(lostGfns(run))] : []);
    return [
      ...(runs.some(S.lostPages) ? [rowOf("Lost pages", "never reported", "stall", false, S.lostPages, whereOf, pagesOf)] : []),
      rowOf("Stalled", "each vCPU", "stall", true, (run) => run.stallPs(run.endPs), stallParts, timeOf("stall")),
      rowOf("ioctl", "one host thread", "ioctl", true, (run) => sum(run.calls.map(tookPs)), ioctlParts, timeOf("ioctl")),
      rowOf("Slower writes", "each vCPU", "slow", true, (run) => run.slowPs(run.endPs), () => [], timeOf("slow")),
      rowOf("Page tables", "added at most", "map", false, tableBytes, tableParts, S.bytesParts),
    ];
  };

  const GIVEN_UP = { cancelled: "cancelled", "too many rounds": "given up, too many rounds,", "too long": "given up, too long," };

  // The outcome of a migration; null of a run that migrates nothing.
  function migrationOutcome({ header }) {
    const ended = header.migration;
    if (!ended) {
      return null;
    }
    const took = S.timeText(ended.end_ps - ended.start_ps);
    if (ended.outcome !== "completed") {
      return S.toned("stall", `${GIVEN_UP[ended.outcome]} after ${took}`);
    }
    const stopped = S.timeText((ended.switch_ps ?? ended.end_ps) - ended.stop_ps);
    const text = `migrated in ${took}${ended.switch_ps ? " by post-copy" : ""}, downtime ${stopped}`;
    return S.toned(ended.lost_pages > 0 ? "stall" : "run", text);
  }

  // What each run lost, [{tone, text}]; a defect, so it is said before any cost.
  function lostParts(run) {
    const pages = S.lostPages(run);
    if (pages === 0) {
      return [];
    }
    const log = run.header.scenario.vm.dirty_log_mode.startsWith("ring") ? "in a dirty ring" : "by GET_DIRTY_LOG";
    const where = run.header.migration?.lost_pages > 0 ? ", stale at the destination" : "";
    return [
      S.toned("", `${run.label} `), S.toned("stall", `lost ${S.count(pages)}\u00a0${pages === 1 ? "page" : "pages"}`),
      S.toned("", `: written, never reported ${log}${where}. `),
    ];
  }

  // The answer to the question: lost pages, then the outcome of each migration, else the largest cost of each run, as
  // [{tone, text}].
  S.answer = (runs) => [...runs.flatMap(lostParts), ...costsOf(runs)];

  function costsOf(runs) {
    const lastPs = Math.max(...runs.map(({ endPs }) => endPs));
    return runs.flatMap((run, i) => {
      const stallPs = run.stallPs(run.endPs);
      const ioctlPs = sum(run.calls.map(tookPs));
      const said = (name) => S.paneTime(name, run, runs, lastPs).replace(" ", "\u00a0");
      const who = run.vcpus === 1 ? "its vCPU" : "every vCPU";
      const calls = run.calls.length === 1 ? "one ioctl" : `${run.calls.length} ioctls`;
      const what = migrationOutcome(run) ?? (!(stallPs > 0 || ioctlPs > 0)
        ? S.toned("run", "nothing stalled")
        : stallPs >= ioctlPs
          ? S.toned("stall", `${who} stalled ${said("stall")}`)
          : S.toned("ioctl", `${calls} took ${said("ioctl")}`));
      return [S.toned("", `${i ? " " : ""}${run.label}: `), what, S.toned("", ".")];
    });
  }

  const bytesOf = (run) => S.guestPages(run) * PAGE_BYTES;

  // Suggested changes: [{label, set}], `set` as in POST /api/runs; only those that differ from the current run.
  S.changes = function ({ header }) {
    const { vm, memory, workload, driver } = header.scenario;
    const found = [];
    if (driver?.kind === "qemu_precopy" && !driver.auto_converge && !driver.dirty_limit) {
      found.push({ label: "Auto-converge", set: { "driver.auto_converge": true } });
    }
    if (driver?.kind === "qemu_precopy" && !driver.postcopy_after && !driver.postcopy_after_rounds && !driver.multifd_channels) {
      found.push({ label: "Post-copy after round 1", set: { "driver.postcopy_after_rounds": 2 } });
    }
    const slots = (backing) => Object.fromEntries(memory.map((_, i) => [`memory[${i}].backing`, backing]));
    const huge = memory.some((slot) => slot.backing === "hugetlb_1g");
    if (memory.length > 0) {
      found.push(huge ? { label: "2M pages", set: slots("hugetlb_2m") } : { label: "1G pages", set: slots("hugetlb_1g") });
    }
    if (workload && workload.rate_hz > 1) {
      found.push({ label: "Write half as much", set: { "workload.rate_hz": Math.floor(workload.rate_hz / 2) } });
    }
    if (vm.vendor === "intel" && vm.pml) {
      found.push({ label: "Without PML", set: { "vm.pml": false } });
    }
    if (vm.mmu === "tdp" && vm.kernel !== "6.1") {
      found.push({ label: "Linux 6.1", set: { "vm.kernel": "6.1" } });
    }
    if (vm.mmu === "tdp" && memory.length === 1 && vm.vcpus !== 96) {
      found.push({ label: "96 vCPUs, 384 GiB", set: { "vm.vcpus": 96, "memory[0].size": "384 GiB" } });
    }
    // 1G pages need memory in whole GiB.
    const whole = bytesOf({ header }) % 2 ** 30 === 0;
    return found.filter(({ label }) => whole || label !== "1G pages").slice(0, 4);
  };

})();
