// Text parts shared by sentences and the summary: the guest, rates, and the parts of an ioctl's time.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const PAGE_BYTES = 4096;
  const PS_PER_MS = 1e9;
  const NUMBERS = ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten"];
  const LEAST_BINS = 4;

  // "Four vCPUs", "One vCPU", "96 vCPUs".
  S.vcpusText = (run) => `${NUMBERS[run.vcpus] || S.count(run.vcpus)} vCPU${run.vcpus === 1 ? "" : "s"}`;

  S.guestPages = (run) => run.header.scenario.memory.reduce((all, slot) => all + slot.size / PAGE_BYTES, 0);

  // "4 GiB": sizes of guests are round.
  S.guestText = function (run) {
    const { value, unit } = S.bytesParts(S.guestPages(run) * PAGE_BYTES);
    return `${value.includes(".") ? value.replace(/\.?0+$/, "") : value} ${unit}`;
  };

  // "750 times a ms", to two digits, since a rate over a few bins is not more exact.
  S.rateText = function (perPs, one, many) {
    const perMs = perPs * PS_PER_MS;
    const [rate, span] = perMs >= 1 ? [perMs, "ms"] : [1e3 * perMs, "second"];
    const rounded = Number(rate.toPrecision(2));
    return `${S.count(rounded)} ${rounded === 1 ? one : many} a ${span}`;
  };

  // Time that an ioctl spent splitting, ps, from the splits per bin: whole bins, and the last one by its share of splits.
  function splitPs(run, call) {
    const place = { enable: "enable", pre_split: "pre_split" }[call.kind] || "clear";
    const splits = run.tables.bins[`splits_${place}`];
    const first = run.binAt(call.startPs);
    let last = run.binAt(call.endPs);
    while (last > first && !splits[last]) {
      last -= 1;
    }
    const begin = Math.max(call.startPs, last * run.binPs);
    const width = Math.min(call.endPs, (last + 1) * run.binPs) - begin;
    const before = last > first ? splits[last - 1] : splits[last];
    return begin - call.startPs + width * Math.min(1, splits[last] / (before || 1));
  }

  // The parts of an ioctl's time: {splitPs, restPs}, from bins, so exact to a part of a bin; null if the bins are too
  // wide, or if splits and other work alternate.
  S.callParts = function (run, call) {
    if (call.kind !== "enable" || !call.splits || call.endPs - call.startPs < LEAST_BINS * run.binPs) {
      return null;
    }
    const took = splitPs(run, call);
    return { splitPs: took, restPs: call.endPs - call.startPs - took };
  };

  // A part of a sentence with its colour: tone is a class without its "c-".
  S.toned = (tone, text) => ({ tone, text });

  // Parts as a list of nodes; the text of a part is never markup.
  S.partNodes = (parts) =>
    parts.map(({ tone, text }) => {
      const node = document.createElement(tone ? "b" : "span");
      if (tone) {
        node.className = `c-${tone}`;
      }
      node.textContent = text;
      return node;
    });
})();
