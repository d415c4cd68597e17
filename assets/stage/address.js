// The address and the tab's title: what is shown, as a link, a history entry and a name.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  // Browsers refuse more than 200 changes of the address in 30 s, which a held key would make.
  const MOST_WRITES = 60;
  const WRITES_MS = 10_000;
  const LATER_MS = 250;

  class Address {
    constructor(stage) {
      this.stage = stage;
      this.writes = []; // times of the last changes of the address
      this.kept = undefined; // the key of the present history entry
    }

    // The title of the document, for tabs and history; without a time during playback.
    title() {
      const { scenario, runs, clock } = this.stage;
      const bytes = S.guestBytes(scenario);
      const size = bytes ? `${S.sizeText(bytes)}, ` : "";
      const names = runs.map((run) => run.label).join(" | ");
      const moment = clock.playing ? "" : `, ${S.momentText(clock.axis, clock.now)}`;
      return `${size}${names}${moment} – MMUViz`;
    }

    // Writes the address. During playback it has no time, since the time would be outdated at once. Another guest or policy
    // is a history entry for Back; another time is not.
    remember() {
      window.clearTimeout(this.later);
      const now = performance.now();
      this.writes = this.writes.filter((each) => now - each < WRITES_MS);
      if (this.writes.length >= MOST_WRITES) {
        this.later = window.setTimeout(() => this.remember(), LATER_MS);
        return;
      }
      this.writes.push(now);
      const { state, clock } = this.stage;
      const key = this.keyOf(state);
      const how = this.kept === undefined || this.kept === key ? "replaceState" : "pushState";
      this.kept = key;
      const link = S.linkOf({ ...state, ps: clock.playing ? null : clock.now });
      const kept = state.file && { file: S.keptFile(state) };
      window.history[how](kept, "", link.length > S.LONGEST_LINK ? window.location.pathname : link);
    }

    // States with the same key share a history entry.
    keyOf({ base, set, policies, file, view }) {
      return JSON.stringify([base, set, policies, file && file.id, view]);
    }

    // Shows what the address says, after Back or Forward.
    goBack() {
      const state = S.readLink(window.location.search);
      this.kept = this.keyOf(state);
      this.stage.ask(state);
    }
  }

  S.Address = Address;
})();
