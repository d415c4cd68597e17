// The tab "Origins": the complete input of each run, and the program, ledger and host that made it.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  function fact(name, ...said) {
    return [S.el("dt", {}, name), S.el("dd", {}, ...said)];
  }

  const code = (text) => S.el("code", { text });

  function facts(run, fitted, changedCounts) {
    const { header } = run;
    const { vm = {}, host = {} } = header.scenario;
    const changed = Object.entries(host.overrides || {}).map(([name, value]) => `${name} = ${S.count(value)}`);
    return S.el("dl", { class: "facts" },
      ...fact("counts and times", S.badgeOf(run, changedCounts).full),
      ...fact("kernel", vm.kernel || header.versions.kernel, ` (behaves as ${header.versions.kernel})`),
      ...fact(S.term("host", "host profile"), `${header.host.profile}: ${header.host.says}`),
      ...fact(S.term("fitted"), fitted),
      ...(changed.length ? fact("changed of the host", changed.join(", ")) : []),
      ...fact("from the run", header.notes.join(" ")),
      ...(run.remark?.text ? fact("huge pages", run.remark.text) : []),
      ...fact(S.term("Recording"), code(run.hash || "not from this server")),
      ...fact(S.term("Scenario"), code(header.digest)),
      ...fact(S.term("ledger"), code(header.ledger_hash)),
      ...fact("MMUViz", header.versions.mmuviz),
      ...fact(S.term("bins", "bin"), `${S.count(header.bins)} of ${S.timeText(header.bin_ps)}`));
  }

  async function copy(button, text) {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      window.getSelection().selectAllChildren(button.closest("section").querySelector("pre"));
      button.textContent = "Selected: press Ctrl C";
    }
    document.getElementById("stage-live").textContent = button.textContent;
  }

  function section(run, ledger, changedCounts) {
    const used = ledger.hosts[run.header.host.profile]?.fitted_to || [];
    const fitted = used.length ? `published values whose names begin with ${used.join(", ")}` : "nothing: facts and assumptions";
    const text = S.tomlOf(run.header.scenario);
    const button = S.el("button", { text: "Copy the Scenario", type: "button", class: "details-button" });
    button.addEventListener("click", () => copy(button, text));
    return S.el("section", { class: "details-section", data: { run: run.label } },
      S.el("h3", { text: run.label }), facts(run, fitted, changedCounts),
      S.el("div", { class: "details-filters" }, S.el("b", { text: "The Scenario in full, as a file" }), button),
      S.el("pre", { text, class: "toml", tabindex: 0, "aria-label": `Scenario of ${run.label}` }));
  }

  (S.detailTabs = S.detailTabs || {}).origins = function (place, stage, drawer) {
    drawer.fetchInto(place, "ledger", (ledger) => stage.runs.map((run) => section(run, ledger, S.countsChanged(stage.state))));
  };
})();
