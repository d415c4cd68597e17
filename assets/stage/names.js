// What runs are called in charts, on the scrubber and in the summary: short names, where they tell the runs apart.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  // Fields as the server's labels have them, in words.
  const WORDS = [[/\bdowntime_limit /, "downtime "], [/\bclear_chunk /, "CLEARs of "], [/\bsplit_chunk /, "chunks of "], [/\bkernel /, "Linux "], [/\bamd\b/, "AMD"]];

  // Gives each run its name, and says whether it is that of its policy alone.
  S.nameRuns = function (runs) {
    const named = (of) => runs.map((run) => nameOf(run, of));
    const short = named(S.policyShort);
    const names = new Set(short).size === runs.length ? short : named(S.policyTitle);
    runs.forEach((run, index) => {
      run.byPolicy = run.label === run.policy;
      run.label = names[index];
    });
  };

  // The server's label begins with the policy where that differs, and goes on with what else does.
  function nameOf({ label, policy, opened }, of) {
    if (opened) {
      return label;
    }
    const parts = label.split(", ");
    const first = parts[0] === policy && of(policy) ? of(policy) : parts[0];
    return [first, ...parts.slice(1)].map((part) => WORDS.reduce((text, [from, to]) => text.replace(from, to), part)).join(", ");
  }
})();
