// Short texts on the state before and after a change; only the differences.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const titles = (runs) => runs.map((run) => S.policyTitle(run.byPolicy ? run.policy : run.label) || run.label).join(" | ");

  // [before, after]: sizes of the guest, or other differing facts; policies; or questions of stories.
  S.changeText = function (stage, wanted, scenario, runs) {
    if (stage.runs.length === 0) {
      return ["", ""];
    }
    if (wanted.base !== stage.state.base || wanted.file !== stage.state.file) {
      return [stage.storyTitle(), scenario.title || "another story"];
    }
    const before = S.factsOfAll([stage.scenario]);
    const after = S.factsOfAll([scenario]);
    const differing = Object.keys(after).filter((name) => after[name] !== before[name] && name !== "log");
    if (differing.length) {
      return [before, after].map((facts) => differing.map((name) => facts[name]).filter(Boolean).join(", "));
    }
    const [shown, next] = [titles(stage.runs), titles(runs)];
    if (shown !== next) {
      return [shown, next];
    }
    const field = Object.keys(wanted.set).find((name) => wanted.set[name] !== stage.state.set[name]);
    return field ? [`${field} ${textOf(S.fieldOf(stage.scenario, field))}`, `${field} ${textOf(wanted.set[field])}`] : ["", ""];
  };

  const textOf = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value ?? "as by default"));
})();
