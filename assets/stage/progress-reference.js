// The same guest without migration, as the reference of its progress; it is run when the charts are first opened.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const PS_PER_NS = 1000;

  // The Scenario of a run whose memory is never logged, for as long. Without logging no policy does anything, so that
  // panes which differ in policies have the same one.
  S.withoutMigration = function ({ header: { scenario }, endPs }, { header: { scenario: first } }) {
    const { dirty_log_mode, eager_page_split, split_chunk, ring_entries } = first.vm;
    const vm = { ...scenario.vm, dirty_log_mode, eager_page_split, split_chunk, ring_entries };
    return { ...scenario, vm, driver: { kind: "without_logging", duration: Math.ceil(endPs / PS_PER_NS) } };
  };

  class ProgressReference {
    constructor(stage) {
      this.stage = stage;
      this.requests = [];
    }

    shown() {
      this.requests.forEach((request) => request.cancel());
      this.requests = [];
      this.asked = null;
    }

    changed() {
      const { runs } = this.stage;
      if (S.moreCharts?.open && this.asked !== runs && runs.some(S.migrates)) {
        this.asked = runs;
        this.ask(runs);
      }
    }

    // One request for all runs with the same guest, with the length of the longest.
    async ask(runs) {
      const groups = new Map();
      for (const run of runs.filter(S.migrates).sort((a, b) => b.endPs - a.endPs)) {
        const { driver, ...rest } = S.withoutMigration(run, runs[0]);
        const key = JSON.stringify(rest);
        groups.set(key, groups.get(key) || { document: { ...rest, driver }, runs: [] });
        groups.get(key).runs.push(run);
      }
      for (const { document, runs: some } of groups.values()) {
        const request = new S.Request({ document, set: {}, policies: null, focus: null }, () => {});
        this.requests.push(request);
        try {
          const found = await request.send();
          some.forEach((run) => (run.without = found.runs[0]));
        } catch (error) {
          some.forEach((run) => (run.withoutSays = error.message));
        }
        if (this.stage.runs === runs) {
          S.moreCharts.renew("progress");
        }
      }
    }
  }

  (S.parts = S.parts || []).push((stage) => new ProgressReference(stage));
})();
