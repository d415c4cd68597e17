// Requests for other runs: changes accumulate, only the latest state is run, and the previous result stays visible,
// marked as outdated, until the new one arrives, is refused, or is cancelled.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const QUIET_MS = 150; // faster successive changes make one request
  const SLOW_MS = 500; // shown earlier, the bar would only flash
  const SPOKEN_MS = 5000;
  const MODE = "vm.dirty_log_mode";
  const SIZE = "memory[0].size";
  const OTHER_SLOT = /^memory\[[1-9]\d*\]\./;
  const byId = (id) => document.getElementById(id);

  // The body of POST /api/runs for a state.
  S.wantedOf = ({ base, set, policies, file }, focus = null) => ({ ...(file ? { document: file.document } : { base }), set, policies, focus });

  function reasonOf(error) {
    if (error instanceof S.Unreadable) {
      return `The result cannot be shown: ${error.message}.`;
    }
    return error instanceof S.Refused ? error.message : "The server cannot be reached.";
  }

  // A run whose result is not here yet is never said to be complete.
  function shareText(share, left) {
    const seconds = Math.ceil(left ?? 0);
    return `${Math.min(99, Math.floor(100 * share))} %, ${seconds > 0 ? `about ${seconds} s left` : "finishing"}`;
  }

  class Asking {
    constructor(stage) {
      this.stage = stage;
      this.wanted = null; // the requested state whose result is pending
      this.field = null; // the field changed last
      this.request = null;
      this.askedAt = -QUIET_MS;
      this.spokenAt = 0;
      this.bar = byId("stage-stale");
      this.text = byId("stage-stale-text");
      this.share = byId("stage-stale-share");
      byId("stage-stale-cancel").addEventListener("click", () => this.cancel());
      byId("stage-stale-again").addEventListener("click", () => this.send());
      // A closed tab cancels its job at once; a restored one requests again.
      window.addEventListener("pagehide", () => this.request?.cancel());
      window.addEventListener("pageshow", (event) => event.persisted && this.wanted && this.send());
    }

    // ---- changes

    // The wanted state, to which the next change is applied.
    get state() {
      return this.wanted || this.stage.state;
    }

    change(field, value) {
      const { state } = this;
      const others = S.fieldChanges?.[field]; // fields whose change changes other fields
      if (others) {
        this.field = field;
        this.ask({ ...state, ...others(state, value), ps: null });
        return;
      }
      const policies = field === MODE ? S.policiesOfMode(this.policies(), value) : state.policies;
      if (policies && policies.length === 0) {
        this.stage.controls.refuse(MODE, `${MODE}='${value}' must be one of ${S.modes().join(", ")}`, MODE);
        return;
      }
      const set = { ...state.set };
      if (field !== MODE) {
        this.setOne(set, field, value);
      }
      this.field = field;
      this.ask({ ...state, set, policies, ps: null });
    }

    // A change of size applies to the only memslot, a change of backing to all.
    setOne(set, field, value) {
      for (const other of Object.keys(set).filter((name) => OTHER_SLOT.test(name))) {
        if (field === SIZE) {
          delete set[other];
        } else if (field === "memory[0].backing" && other.endsWith(".backing")) {
          set[other] = value;
        }
      }
      set[field] = value;
    }

    policies() {
      return this.state.policies || this.stage.runs.map((run) => run.policy);
    }

    compare(policies) {
      this.field = "policies";
      this.ask({ ...this.state, policies, ps: null });
    }

    // ---- requests

    // Resolves when the result is shown, refused, or superseded by a later request.
    async ask(state) {
      this.wanted = state;
      this.request?.cancel();
      const quick = performance.now() - this.askedAt < QUIET_MS;
      this.askedAt = performance.now();
      if (quick) {
        await new Promise((resolve) => window.setTimeout(resolve, QUIET_MS));
      }
      if (this.wanted === state) {
        await this.send();
      }
    }

    async send() {
      const state = this.wanted;
      this.request?.cancel();
      const request = new S.Request(S.wantedOf(state), (job) => request === this.request && this.progress(job));
      this.request = request;
      this.changeTexts = null;
      byId("stage-stale-again").hidden = true;
      window.clearTimeout(this.slow);
      this.slow = window.setTimeout(() => this.progress({}), SLOW_MS);
      let found = null;
      try {
        const recordings = S.recordingsOf(state);
        found = recordings ? { runs: recordings, file: state.file.document } : await request.send();
      } catch (error) {
        if (request === this.request && !request.cancelled) {
          this.failed(state, error);
        }
        return;
      }
      if (request === this.request && !request.cancelled) {
        this.over();
        this.stage.show(state, found);
      }
    }

    over() {
      window.clearTimeout(this.slow);
      this.request = this.wanted = this.field = null;
      this.bar.hidden = true;
      this.stage.root.classList.remove("stale");
      this.stage.each("progress", "");
    }

    // Cancels: the controls show the visible state again; if nothing is visible yet, the default story is shown.
    cancel() {
      this.request?.cancel();
      this.over();
      if (this.stage.runs.length === 0) {
        this.ask(S.readLink(""));
        return;
      }
      this.stage.controls.refuse(null, "");
      this.stage.showControls();
      byId("stage-live").textContent = "Given up. The controls say what is shown.";
    }

    failed(state, error) {
      if (!(error instanceof S.Refused) || error.again) {
        const what = reasonOf(error);
        this.show(this.stage.runs.length ? `${what} This is the result before.` : what, { again: true });
        byId("stage-live").textContent = what;
        window.clearTimeout(this.slow);
        return;
      }
      const asked = this.field;
      this.over();
      this.stage.refuse(state, Object.assign(error, { field: error.field || asked, asked }));
    }

    // ---- progress

    progress({ place = 0, share = 0, eta_s: left, estimate, scenario, runs }) {
      this.changeTexts = scenario ? S.changeText(this.stage, this.wanted, scenario, runs || []) : this.changeTexts;
      const [before, next] = this.changeTexts || ["", ""];
      const parts = this.stage.runs.length ? [`This is the result before${before ? `: ${before}` : ""}.`] : [];
      this.estimate = estimate || this.estimate;
      if (place > 0) {
        parts.push(`Place ${place} in the queue.`);
      } else {
        const done = share > 0 ? shareText(share, left) : this.guess();
        parts.push(`Running ${[next || "the simulation", done].filter(Boolean).join(": ")}.`);
      }
      this.show(parts.join(" "), { share, now: parts.at(-1) });
      if (performance.now() - this.spokenAt > SPOKEN_MS) {
        this.spokenAt = performance.now();
        byId("stage-live").textContent = parts.join(" ");
      }
    }

    guess() {
      const seconds = this.estimate?.seconds;
      return seconds ? `estimated ${seconds < 1 ? "less than 1" : Math.round(seconds)} s` : "";
    }

    // `now`: the text without that on the result before, for parts that cover the bar.
    show(text, { share = 0, again = false, now = text }) {
      const first = this.stage.runs.length === 0;
      byId("stage-waiting").hidden = true;
      this.bar.hidden = false;
      this.text.textContent = text;
      this.share.hidden = share === 0;
      this.share.value = share;
      byId("stage-stale-again").hidden = !again;
      this.stage.root.classList.toggle("stale", !first);
      this.stage.each("progress", now);
    }
  }

  S.Asking = Asking;
})();
