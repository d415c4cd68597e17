// The line under a pane: a remark on its memslots if there is one, the source of its counts, the uncertainty of its times.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const RELEASE = /^[0-9]+(\.[0-9]+)*/;

  function trust() {
    const { exact, recordings, mmus, uncertainty } = document.getElementById("stage-details").dataset;
    return { exact: Number(exact), recordings: Number(recordings), mmus: mmus.split(" "), hosts: JSON.parse(uncertainty) };
  }

  function countsOf({ scenario }, { exact, recordings, mmus }, changed) {
    const { driver = {}, vm = {} } = scenario;
    const of = exact === recordings ? S.count(recordings) : `${S.count(exact)} of ${S.count(recordings)}`;
    if (changed && driver.recording) {
      return { full: "counts: modelled, as no recording has this change", short: "counts modelled" };
    }
    if (driver.kind === "listed_ops" && driver.recording) {
      const kernel = RELEASE.exec(vm.kernel || "")?.[0] || vm.kernel;
      return exact === recordings
        ? { full: `counts: recorded on kernel ${kernel}, exact`, short: `recorded on ${kernel}` }
        : { full: `counts: modelled as recorded on kernel ${kernel}`, short: `as on ${kernel}` };
    }
    return mmus.includes(vm.mmu)
      ? { full: `counts: modelled, verified by ${of} recordings`, short: "counts verified" }
      : { full: "counts: modelled, no recording of this MMU", short: "counts modelled" };
  }

  function timesOf({ scenario, host }, { hosts }) {
    const known = hosts[host.profile];
    const changed = Object.keys(scenario.host?.overrides || {}).length > 0;
    if (!known || changed) {
      return { full: `times: modelled, host ${host.profile}, changed`, short: "times modelled", why: "Its costs are changed in this Scenario, so that nothing is known of its error." };
    }
    const whose = known.host ? "of this host" : "of all hosts";
    const why = `Two thirds of ${known.values} published values ${whose}, none of them fitted, are not off by more.`;
    const beyond = known.extrapolated ? ", extrapolated" : "";
    return { full: `times: modelled, host ${host.profile} ±${known.percent} %${beyond}`, short: `times ±${known.percent} %${beyond}`, why };
  }

  // Whether the recorded Scenario was changed; counts do not depend on the host.
  S.countsChanged = ({ set }) => Object.keys(set).some((field) => !field.startsWith("host."));

  // {full, short, title}; `changed`: the recorded Scenario was changed on this page.
  S.badgeOf = function (run, changed = false) {
    const known = trust();
    const counts = countsOf(run.header, known, changed);
    const times = timesOf(run.header, known);
    return { full: `${counts.full} · ${times.full}`, short: `${counts.short} · ${times.short}`, title: `${times.why} Opens the evidence.` };
  };

  // The short form, from which the least room takes the words "counts" and "times" too.
  const shortNodes = (text) =>
    text.split(/((?:counts|times) )/).map((part, at) => S.el("span", { text: part, class: at % 2 ? "badge-what" : "" }));

  // The texts on the times of several runs, without repeats.
  S.timesTrust = (runs) => [...new Set(runs.map((run) => timesOf(run.header, trust()).full))];

  (S.parts = S.parts || []).push((stage) => ({
    shown(runs) {
      const changed = S.countsChanged(stage.state);
      runs.forEach((run, index) => {
        const place = stage.panes[index].section.querySelector(".badge");
        const { full: trusted, short: trustedShort, title } = S.badgeOf(run, changed);
        const [full, short] = [trusted, trustedShort].map((text) => [run.remark?.short, text].filter(Boolean).join(" · "));
        place.replaceChildren(S.el("span", { text: full, class: "badge-full" }),
          S.el("span", { class: "badge-short", "aria-hidden": "true" }, ...shortNodes(short)));
        place.title = [run.remark?.text, `${trusted}. ${title}`].filter(Boolean).join(" ");
        place.setAttribute("aria-label", `${full}. Opens the evidence.`);
      });
    },
  }));
})();
