// What runs are called in charts, on the scrubber and in the summary: short names, where they tell the runs apart.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const POLICIES = {
    lazy: ["Lazy", "Lazy, initially set"],
    manual_lazy: ["Lazy", "Lazy, manual"],
    legacy_lazy: ["Lazy", "Lazy, legacy"],
    eager_at_enable: ["Eager", "Eager at enable"],
    eager_in_clear: ["Eager in CLEAR", "Eager in CLEAR"],
    legacy_eager: ["Eager", "Eager, legacy"],
    ring_lazy: ["Lazy, ring", "Lazy, ring"],
    ring_eager: ["Eager, ring", "Eager, ring"],
  };

  // Gives each run its name; a label of the server's that is no policy's stays as it is.
  S.nameRuns = function (runs) {
    const named = (length) => runs.map((run) => (run.label === run.policy && POLICIES[run.policy]?.[length]) || run.label);
    const short = named(0);
    const names = new Set(short).size === runs.length ? short : named(1);
    runs.forEach((run, index) => (run.label = names[index]));
  };
})();
