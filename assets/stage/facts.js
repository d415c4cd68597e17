// Short facts on one Scenario, or on several that are compared.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const PAGES = { hugetlb_1g: "1G pages", hugetlb_2m: "2M pages", thp: "THP", "4k": "4K pages" };
  const MODES = {
    legacy: "legacy log",
    manual: "manual log",
    manual_initially_set: "manual log, all set at first",
    ring: "dirty ring",
    ring_initially_set: "dirty ring, all set at first",
  };

  // Bytes of all memslots; 0 for a list of ops, which creates its own memslots.
  S.guestBytes = ({ memory = [] }) => memory.reduce((sum, { size }) => sum + size, 0);
  S.sizeText = (bytes) => S.bytesText(bytes).replace(/(\.\d*?)0+ /, (_, digits) => (digits === "." ? " " : `${digits} `));

  // The common value, or the different values in the order of the Scenarios.
  function each(scenarios, of) {
    return [...new Set(scenarios.map(of).filter(Boolean))].join(" / ");
  }

  const kernelText = (kernel) => (/^[0-9]/.test(kernel) ? `Linux ${kernel.replace(/^(\d+\.\d+(\.\d+)?).*/, "$1")}` : kernel);

  // {size, pages, vcpus, kernel, log, host}, in reading order; empty text if a fact does not apply.
  S.factsOfAll = (scenarios) => ({
    size: each(scenarios, (one) => S.guestBytes(one) && S.sizeText(S.guestBytes(one))),
    pages: each(scenarios, ({ memory = [] }) => [...new Set(memory.map(({ backing }) => PAGES[backing]))].join(" and ")),
    vcpus: each(scenarios, ({ vm }) => `${vm.vcpus} vCPU${vm.vcpus === 1 ? "" : "s"}`),
    kernel: each(scenarios, ({ vm }) => kernelText(vm.kernel)),
    log: [
      each(scenarios, ({ vm }) => MODES[vm.dirty_log_mode]),
      each(scenarios, ({ vm }) => (vm.pml ? "PML" : scenarios.some((one) => one.vm.pml) ? "no PML" : "")),
    ].filter(Boolean).join(", "),
    host: each(scenarios, ({ host = {} }) => host.profile && `host ${host.profile}`),
  });

  S.chips = (scenarios) =>
    Object.values(S.factsOfAll(scenarios)).filter(Boolean).map((text) => S.el("span", { class: "chip", text }));

  // The facts of Scenarios and their workloads, for a line of text.
  S.factsOf = function (scenarios) {
    const patterns = each(scenarios, ({ workload }) => (workload?.pattern === "idle" ? "no" : workload?.pattern?.replaceAll("_", " ")));
    return [...Object.values(S.factsOfAll(scenarios)), patterns && `${patterns} writes`].filter(Boolean);
  };
})();
