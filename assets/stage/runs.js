// Asking the server for runs: an answer at once where it can be had, else a job that is asked after until it is done.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const AGAIN_MS = 250;
  const later = (ms) => new Promise((resolve) => window.setTimeout(resolve, ms));

  // What the server refused: `field` is where, or null.
  class Refused extends Error {
    constructor({ field = null, message = "The server did not answer as it should." }) {
      super(message);
      this.field = field;
    }
  }

  async function answer(response) {
    const body = await response.json().catch(() => ({}));
    if (!response.ok) {
      throw new Refused(body);
    }
    return body;
  }

  class Request {
    constructor(wanted, progress) {
      this.wanted = wanted;
      this.progress = progress;
      this.cancelled = false;
      this.job = null;
    }

    async send() {
      const headers = { "Content-Type": "application/json" };
      const body = JSON.stringify(this.wanted);
      let found = await answer(await fetch("/api/runs", { method: "POST", headers, body }));
      const { scenario, published } = found;
      this.job = found.job || null;
      while (this.job && found.state !== "done" && !this.cancelled) {
        this.progress(found);
        await later(AGAIN_MS);
        found = await answer(await fetch(`/api/jobs/${this.job}`));
        if (found.state === "failed" || found.state === "cancelled") {
          throw new Refused({ message: found.message || "The run was cancelled." });
        }
      }
      const runs = this.cancelled ? [] : await Promise.all(found.runs.map((each) => this.fetchRun(each)));
      // What was measured of the very same, by run; and the address of each Recording's bytes.
      runs.forEach((run, index) => Object.assign(run, { hash: found.runs[index].hash, published: published?.[index] ?? [] }));
      return { runs, scenario: scenario || found.scenario };
    }

    async fetchRun(each) {
      const response = await fetch(each.url);
      if (!response.ok) {
        throw new Refused({ message: `The Recording of ${each.label} is gone; ask for it again.` });
      }
      return new S.Run(S.decode(await response.arrayBuffer()), each);
    }

    cancel() {
      this.cancelled = true;
      if (this.job) {
        fetch(`/api/jobs/${this.job}`, { method: "DELETE", keepalive: true });
      }
    }
  }

  S.Request = Request;
})();
