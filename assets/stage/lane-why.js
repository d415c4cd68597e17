// The cause of a lane's state: one or two sentences on an interval of a lane.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const CAUSES = {
    exit_and_fault: "in faults", lock_wait: "waiting for mmu_lock", split_or_zap: "splitting or zapping huge pages",
    allocation: "allocating page tables", tlb_flush: "in TLB flushes", ring_full: "for a full dirty ring",
    pml_full: "for a full PML buffer", userspace_lock: "for a lock of userspace",
  };

  // A short text on a lane's state at an instant.
  S.laneSays = function (chart, at, lane, ps) {
    const run = chart.runs[at];
    const now = Math.min(ps, run.endPs - 1);
    if (lane < 0) {
      const call = run.callAt(now);
      return call ? `in ${call.kind} since ${S.timeText(now - call.startPs)}` : "in no ioctl";
    }
    const bin = run.binAt(now);
    const percents = S.wholePercents(chart.shares[at].of(lane, run.framePs(bin), run.framePs(bin + 1)));
    const parts = [...S.LANE_PARTS, "rest"].map((name, part) => `${percents[part]} % ${S.LANE_LABELS[name]}`);
    return parts.filter((_, part) => percents[part]).join(", ");
  };

  // The same, with lane and time.
  S.laneHint = function (chart, at, lane, ps) {
    const name = lane < 0 ? "ioctl thread" : chart.shares[at].name(lane);
    return `${name}, ${S.timeText(ps)}: ${S.laneSays(chart, at, lane, ps)}`;
  };

  const text = (tag, content, className = "") => Object.assign(document.createElement(tag), { textContent: content, className });

  // The causes of all vCPUs' stalls in a bin, the largest first: a Recording has them for all vCPUs together.
  function causesOf(run, bin) {
    const found = run.header.causes.map((cause) => [cause, run.tables.bins[`stall_${cause}_ps`][bin]]);
    const total = found.reduce((sum, [, ps]) => sum + ps, 0);
    return found
      .filter(([, ps]) => ps > 0.005 * total)
      .sort((a, b) => b[1] - a[1])
      .map(([cause, ps]) => `${Math.round((100 * ps) / total)} % ${CAUSES[cause] || cause}`);
  }

  function callNode(call, part, ps, ofThread) {
    const doing = S.IOCTL_PARTS[part?.walk] ? ` It ${S.IOCTL_PARTS[part.walk]} here.` : "";
    const lasts = `${call.kind} from ${S.timeText(call.startPs)} to ${S.timeText(call.endPs)}, ${S.timeText(call.endPs - call.startPs)} in all`;
    const lock = call.holdPs > 0 ? `; it held mmu_lock for at most ${S.timeText(call.holdPs)} at a time` : "";
    const inside = ps >= call.startPs && ps < call.endPs;
    return text("p", `${inside ? (ofThread ? "It is in" : "Meanwhile") : "Here"} ${lasts}${lock}.${doing}`);
  }

  // The text of the card of a clicked slice.
  S.whyNodes = function (chart, { run: at, lane, part }, ps) {
    const run = chart.runs[at];
    const bin = run.binAt(Math.min(ps, run.endPs - 1));
    const [from, to] = [run.framePs(bin), run.framePs(bin + 1)];
    const name = lane === null ? "ioctl thread" : chart.shares[at].name(lane);
    const nodes = [text("b", `${run.label}, ${name}, ${S.timeText(from)} to ${S.timeText(to)}`)];
    if (lane !== null) {
      nodes.push(text("p", `${S.laneSays(chart, at, lane, from)}.`));
      const causes = causesOf(run, bin);
      if (causes.length) {
        nodes.push(text("p", `Stalls of all vCPUs then: ${causes.join(", ")}.`));
      }
    }
    const here = (each) => each.startPs < to && each.endPs > from; // a call that is shorter than its bin
    const call = run.callAt(Math.min(ps, run.endPs - 1)) ?? (lane === null ? run.calls.find(here) : undefined);
    const found = part || (call && chart.parts[at].find((each) => ps >= each.startPs && ps < each.endPs));
    if (call || part) {
      nodes.push(callNode(call || part.call, found, ps, lane === null));
    } else if (lane === null) {
      nodes.push(text("p", "No ioctl is under way."));
    }
    const said = S.sentence(run, ps);
    const sentence = text("p", "", "why-sentence");
    sentence.append(...S.sentenceNodes(said));
    nodes.push(sentence);
    return nodes;
  };
})();
