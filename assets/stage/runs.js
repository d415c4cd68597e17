// Requests of runs: the server answers at once if it has the results, else with a job whose status is polled.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  // Interval of the queries of a job: short while it should be done soon, so that a short run is shown as soon as it is done.
  const AGAIN_MS = 250;
  const SOON_MS = 60;
  const MOST_SOON = 30; // queries, since an estimate may be wrong
  const GONE = 404;
  const FAULT = 500;
  const later = (ms) => new Promise((resolve) => window.setTimeout(resolve, ms));

  // A refusal by the server: `field` is its field, or null. If `gone`, a new request helps; if `again`, a later one, since
  // the request was not the cause.
  class Refused extends Error {
    constructor({ field = null, message = "The server did not answer as it should.", gone = false, again = false }) {
      super(message);
      Object.assign(this, { field, gone, again });
    }
  }

  async function answer(response) {
    const body = await response.json().catch(() => ({ again: !response.ok }));
    if (!response.ok) {
      throw new Refused({ ...body, gone: response.status === GONE, again: body.again || response.status >= FAULT });
    }
    return body;
  }

  // The first answer has an estimate of the whole job, the others the time that is left, s.
  function againMs({ eta_s: left, estimate, place = 0 }, asked) {
    const soon = Math.max(SOON_MS, 500 * (left ?? estimate?.seconds ?? 0));
    return asked > MOST_SOON || place > 0 ? AGAIN_MS : Math.min(AGAIN_MS, soon);
  }

  // A hidden tab polls too rarely: the server would cancel its job.
  function visible() {
    return new Promise((resolve) => {
      if (!document.hidden) {
        resolve();
        return;
      }
      document.addEventListener("visibilitychange", resolve, { once: true });
    });
  }

  class Request {
    constructor(wanted, progress) {
      this.wanted = wanted;
      this.progress = progress;
      this.cancelled = false;
      this.job = null;
    }

    // Repeats the request once if a job or a Recording was deleted meanwhile.
    async send() {
      try {
        return await this.sendOnce();
      } catch (error) {
        if (!error.gone || this.cancelled) {
          throw error;
        }
        await visible();
        return this.sendOnce();
      }
    }

    async sendOnce() {
      const headers = { "Content-Type": "application/json" };
      const body = JSON.stringify(this.wanted);
      let found = await answer(await fetch("/api/runs", { method: "POST", headers, body }));
      const first = found;
      this.job = found.job || null;
      if (this.cancelled) {
        this.drop();
      }
      let asked = 0;
      while (this.job && found.state !== "done" && !this.cancelled) {
        this.progress({ ...found, scenario: first.scenario });
        await later(againMs(found, (asked += 1)));
        found = this.cancelled ? found : await answer(await fetch(`/api/jobs/${this.job}`));
        if (found.state === "failed" || found.state === "cancelled") {
          throw new Refused({ message: found.message || "The run was cancelled.", gone: found.state === "cancelled" });
        }
      }
      const runs = this.cancelled ? [] : await Promise.all(found.runs.map((each) => this.fetchRun(each)));
      // The address of each Recording, its published matches, and a remark on its memslots.
      runs.forEach((run, index) => Object.assign(run, {
        hash: found.runs[index].hash, published: first.published?.[index] ?? [], remark: first.remarks?.[index] ?? null,
      }));
      return { runs, scenario: first.scenario, file: first.file };
    }

    async fetchRun(each) {
      const response = await fetch(each.url);
      if (!response.ok) {
        const message = `The Recording of ${each.label} is not there; ask for it again.`;
        throw new Refused({ message, gone: response.status === GONE, again: true });
      }
      return new S.Run(S.decode(await response.arrayBuffer()), each);
    }

    cancel() {
      this.cancelled = true;
      this.drop();
    }

    drop() {
      if (this.job) {
        fetch(`/api/jobs/${this.job}`, { method: "DELETE", keepalive: true }).catch(() => {});
      }
    }
  }

  S.Request = Request;
  S.Refused = Refused;
})();
