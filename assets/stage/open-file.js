// Files that are opened: a scenario, which the server reads, or a Recording, which is decoded and checked here.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const MOST_TEXT = 256 * 1024;
  // Limits of the format: inflated bytes, and bytes of the file.
  const MOST_INFLATED = 256 * 1024 * 1024;
  const MOST_NAME = 60;
  const GZIP = [0x1f, 0x8b];

  // Recordings are kept in memory as long as the page is open, not in the address or its history.
  const opened = new Map();
  let nextId = 1;

  (S.linkFields = S.linkFields || {}).file = {
    initial: null,
    read(text, wrong) {
      const kept = window.history.state?.file;
      const found = kept && kept.name === text ? opened.get(kept.id) || (kept.document && !kept.recording ? kept : null) : null;
      if (!found) {
        throw wrong("is a file, which no address holds: open it again");
      }
      return found;
    },
    write: (file) => (file ? file.name : null),
  };

  // The part of a file that the browser's history keeps.
  S.keptFile = (state) => state.file && { ...state.file, runs: undefined, recording: S.recordingsOf(state) !== null };

  // The Recordings of a state: those of its file, if nothing was changed.
  S.recordingsOf = ({ file, set, policies }) => (file?.runs && !policies && Object.keys(set).length === 0 ? file.runs : null);

  const bytesOf = async (file, count) => new Uint8Array(await file.slice(0, count).arrayBuffer());

  async function inflated(file) {
    const reader = file.stream().pipeThrough(new DecompressionStream("gzip")).getReader();
    const chunks = [];
    let length = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        break;
      }
      length += value.length;
      if (length > MOST_INFLATED) {
        await reader.cancel();
        throw new Error("it is larger than any Recording");
      }
      chunks.push(value);
    }
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  }

  const policyOf = ({ vm }) => {
    const eager = vm.split_chunk ? true : Boolean(vm.eager_page_split);
    const ways = {
      legacy: ["legacy_lazy", "legacy_eager"],
      manual: ["manual_lazy", "eager_at_enable"],
      manual_initially_set: ["lazy", "eager_in_clear"],
      ring: ["ring_lazy", "ring_eager"],
    };
    return ways[vm.dirty_log_mode]?.[Number(eager)] ?? "";
  };

  // Returns the Run of a file's bytes, or throws an Error of one line.
  async function runOf(bytes, name) {
    let found;
    try {
      found = S.decode(bytes.buffer);
    } catch (error) {
      throw new Error(error.message.replace("; load the page again", ""));
    }
    const policy = policyOf(found.header.scenario);
    const run = new S.Run(found, { label: name.replace(/\.[a-z.]+$/i, "").slice(0, MOST_NAME), policy });
    run.opened = true; // named after its file
    run.published = [];
    run.hash = Array.from(new Uint8Array(bytes.buffer, bytes.length - 32), (byte) => byte.toString(16).padStart(2, "0")).join("");
    return run;
  }

  async function documentOf(text) {
    const body = JSON.stringify({ text });
    const response = await fetch("/api/scenario-file", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const found = await response.json().catch(() => ({}));
    if (!response.ok) {
      throw new Error(found.message || "the server did not answer as it should");
    }
    return found;
  }

  const isText = (bytes) => !bytes.includes(0);

  // Returns {run} for a Recording, {document} for a scenario.
  async function read(file) {
    const head = await bytesOf(file, 4096);
    if (head[0] === GZIP[0] && head[1] === GZIP[1]) {
      const bytes = await inflated(file).catch((error) => {
        throw new Error(error instanceof TypeError ? "it is cut short or damaged" : error.message);
      });
      if (String.fromCharCode(...bytes.subarray(0, 6)) === "mmuviz") {
        return { run: await runOf(bytes, file.name) };
      }
      return { document: await documentOf(textOf(bytes)) };
    }
    if (String.fromCharCode(...head.subarray(0, 6)) === "mmuviz") {
      return { run: await runOf(new Uint8Array(await file.arrayBuffer()), file.name) };
    }
    if (!isText(head)) {
      throw new Error("it is neither a scenario (TOML or JSON) nor a Recording");
    }
    if (file.size > MOST_TEXT) {
      throw new Error(`it has ${S.bytesText(file.size)}, and a scenario here at most ${S.bytesText(MOST_TEXT)}`);
    }
    return { document: await documentOf(textOf(new Uint8Array(await file.arrayBuffer()))) };
  }

  function textOf(bytes) {
    if (bytes.length > MOST_TEXT) {
      throw new Error(`it has ${S.bytesText(bytes.length)}, and a scenario here at most ${S.bytesText(MOST_TEXT)}`);
    }
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      throw new Error("it is no text in UTF-8");
    }
  }

  class OpenFile {
    constructor(stage) {
      this.stage = stage;
      this.most = stage.panes.length;
      this.input = Object.assign(document.createElement("input"), { type: "file", multiple: true, hidden: true });
      this.input.setAttribute("aria-label", "Open a scenario or Recordings");
      stage.root.append(this.input);
      this.card = document.getElementById("stage-opened");
      this.veil = document.getElementById("stage-drop");
      this.acts = { "open-file": () => this.input.click(), "open-beside": () => this.beside(), "close-opened": () => (this.card.hidden = true) };
      this.input.addEventListener("change", () => {
        this.open([...this.input.files]);
        this.input.value = "";
      });
      this.listen();
    }

    listen() {
      const holds = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
      document.addEventListener("dragover", (event) => {
        if (holds(event)) {
          event.preventDefault();
          this.veil.hidden = false;
        }
      });
      document.addEventListener("dragleave", (event) => {
        if (event.relatedTarget === null) {
          this.veil.hidden = true;
        }
      });
      document.addEventListener("drop", (event) => {
        if (holds(event)) {
          event.preventDefault();
          this.veil.hidden = true;
          this.open([...event.dataTransfer.files]);
        }
      });
    }

    say(text, beside = false) {
      this.card.querySelector("p").textContent = text;
      this.card.querySelector('[data-act="open-beside"]').hidden = !beside;
      this.card.hidden = false;
    }

    async open(files) {
      if (files.length === 0) {
        return;
      }
      const [first] = files;
      try {
        const found = [];
        for (const file of files.slice(0, this.most)) {
          found.push(await read(file).catch((error) => {
            throw new Error(`${file.name.slice(0, MOST_NAME)}: ${error.message}`);
          }));
        }
        const runs = found.map(({ run }) => run).filter(Boolean);
        if (runs.length === 0 && files.length > 1) {
          throw new Error("Several files are shown beside each other only where each is a Recording");
        }
        if (runs.length) {
          this.showRuns(runs, runs.length < files.length ? `${runs.length} of ${files.length} files are Recordings, and shown.` : "");
        } else {
          this.showScenario(first.name.slice(0, MOST_NAME), found[0].document);
        }
      } catch (error) {
        this.say(`${error.message}.`.replace(/([.?])\.$/, "$1"));
      }
    }

    // A link can contain the file if it is a catalogue entry with changes.
    async showScenario(name, { base, set, policies, document, title, summary }) {
      const own = base && S.storyTitle(base) === title ? "" : title.slice(0, 120);
      const state = { ...S.readLink(""), theme: this.stage.state.theme, title: own, note: summary.slice(0, 400) };
      const file = base ? null : { id: nextId++, name, document };
      const fields = base ? { base, set, policies } : { file };
      const before = this.stage.runs;
      await this.stage.ask({ ...state, ...fields });
      if (this.stage.runs !== before) {
        this.say(base ? `${name} is shown. A link can hold it.` : `${name} is shown. It is too much for a link: send the file.`);
      }
    }

    showRuns(runs, more = "") {
      const { stage } = this;
      const names = runs.map(({ label }) => label).join(", ");
      const before = stage.runs.length + runs.length <= this.most ? stage.runs : [];
      this.last = { runs, before };
      this.showAll(runs, names.slice(0, MOST_NAME));
      const was = before.map(({ label }) => label).join(" | ");
      this.say(more || `${names}: its content fits its hash ${runs[0].hash.slice(0, 12)}.`, before.length > 0);
      this.card.querySelector('[data-act="open-beside"]').setAttribute("aria-label", `Show beside ${was}`);
      this.card.querySelector('[data-act="open-beside"]').title = `Show beside ${was}`;
    }

    showAll(runs, name) {
      const { stage } = this;
      const file = { id: nextId++, name, document: runs[0].header.scenario, runs };
      opened.set(file.id, file);
      const state = { ...S.readLink(""), theme: stage.state.theme, file, ps: 0 };
      stage.ask(state);
    }

    beside() {
      const { runs, before } = this.last;
      this.showAll([...before, ...runs], runs.map(({ label }) => label).join(", ").slice(0, MOST_NAME));
      this.card.hidden = true;
    }
  }

  (S.parts = S.parts || []).push((stage) => new OpenFile(stage));
})();
