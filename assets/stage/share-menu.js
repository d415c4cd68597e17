// The Share menu: a link, a report, a Scenario file, a picture, tables; and the title and the note that go with the link.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const LONGEST = { title: 120, note: 400 };

  for (const [name, most] of Object.entries(LONGEST)) {
    (S.linkFields = S.linkFields || {})[name] = {
      initial: "",
      read(text, wrong) {
        if (text.length > most) {
          throw wrong(`must have at most ${most} characters`);
        }
        return S.oneLine(text);
      },
      write: (value) => value || null,
    };
  }
  S.linkFields.theme = {
    initial: "",
    read(text, wrong) {
      if (!Object.hasOwn(S.THEMES, text)) {
        throw wrong(`must be one of ${Object.keys(S.THEMES).join(", ")}`);
      }
      return text;
    },
    write: (value) => (value && value !== "system" ? value : null),
  };

  const NAMES = { note: "the note", title: "the title" };

  // The address of this moment, and the names of parts that are too long for it: {url, tooLong}. The address has the
  // other parts.
  S.linkNow = function (stage) {
    const { file } = stage.state;
    const tooLong = file ? [`${file.name}, a file`] : [];
    let state = { ...stage.state, file: null, ps: stage.clock.now };
    const urlOf = () => new URL(S.linkOf(state), window.location.href).href;
    while (urlOf().length > S.LONGEST_LINK) {
      const parts = [...new URLSearchParams(S.linkOf(state))].sort((a, b) => encodeURIComponent(b[1]).length - encodeURIComponent(a[1]).length);
      const [name] = parts[0];
      tooLong.push(NAMES[name] ?? name);
      const { [name]: _, ...set } = state.set;
      state = Object.hasOwn(state.set, name) ? { ...state, set } : { ...state, [name]: S.linkFields[name].initial };
    }
    return { url: urlOf(), tooLong };
  };

  S.download = function (name, content, type) {
    const blob = content instanceof Blob ? content : new Blob([content], { type });
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
    link.click();
    window.setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };

  // The name of a saved file.
  S.fileName = ({ state: { base, file } }, name) => {
    const what = file ? file.name.replace(/\.[a-z.]+$/i, "").replace(/[^\w.-]+/g, "-").slice(0, 40) : base;
    return `mmuviz-${what}-${name}`;
  };

  // The input of `mmuviz compare`: the shown Scenario, with each pane's policy as a variant.
  S.scenarioFile = function (stage) {
    const { title, note } = stage.state;
    const document = { ...stage.file };
    if (title) {
      document.title = title;
    }
    if (note) {
      document.summary = note;
    }
    return `${JSON.stringify(document, null, 2)}\n`;
  };

  class ShareMenu {
    constructor(stage) {
      this.stage = stage;
      this.menu = document.getElementById("stage-share-menu");
      this.said = document.getElementById("stage-share-said");
      this.note = document.getElementById("stage-note");
      this.button = stage.root.querySelector('.tools [data-act="share"]');
      this.button.setAttribute("aria-expanded", "false");
      this.acts = {
        share: () => this.open(this.menu.hidden),
        "copy-link": () => this.copyLink(),
        "copy-report": () => this.copy(S.report(stage), "The report is copied."),
        "save-scenario": () => this.save("scenario.json", S.scenarioFile(stage), "application/json"),
        "save-calls": () => this.save("calls.csv", S.callsCsv(stage.runs), "text/csv"),
        "save-bins": () => this.save("series.csv", S.binsCsv(stage.runs), "text/csv"),
        "export-png": async () => this.save("mmuviz.png", await S.picture(stage), "image/png"),
      };
      this.fields = Object.keys(LONGEST).map((name) => [name, document.getElementById(`stage-share-${name}`)]);
      for (const [name, input] of this.fields) {
        input.addEventListener("blur", () => this.write(name, S.oneLine(input.innerText)));
        input.addEventListener("keydown", (event) => {
          event.stopPropagation();
          if (event.key === "Enter") {
            event.preventDefault();
            input.blur();
          }
        });
      }
      document.addEventListener("pointerdown", (event) => {
        if (!this.menu.contains(event.target) && !this.button.contains(event.target)) {
          this.open(false);
        }
      });
      document.addEventListener("keydown", (event) => event.key === "Escape" && this.open(false));
      this.closed = ""; // the note that was closed
      this.note.querySelector("button").addEventListener("click", () => {
        this.closed = this.stage.state.note;
        this.note.hidden = true;
      });
    }

    open(wanted) {
      if (wanted === !this.menu.hidden) {
        return;
      }
      this.menu.hidden = !wanted;
      this.button.setAttribute("aria-expanded", String(wanted));
      if (wanted) {
        const { tooLong } = S.linkNow(this.stage);
        this.say(tooLong.length ? this.tooLong(tooLong) : "");
        this.menu.querySelector("button").focus();
      } else if (this.menu.contains(document.activeElement)) {
        this.button.focus();
      }
    }

    say(text) {
      this.said.textContent = text;
    }

    tooLong(names) {
      const what = `${names.slice(0, 3).join(", ")}${names.length > 3 ? " and more" : ""}`;
      const does = names.length > 1 ? "do" : "does";
      return `A link has at most ${S.LONGEST_LINK} characters, and ${what} ${does} not fit: save the Scenario file instead.`;
    }

    copyLink() {
      const { url, tooLong } = S.linkNow(this.stage);
      return tooLong.length ? this.say(this.tooLong(tooLong)) : this.copy(url, "The link to this moment is copied.");
    }

    async copy(text, done) {
      try {
        await navigator.clipboard.writeText(text);
        this.say(done);
      } catch {
        // Without TLS the page may not write to the clipboard: the text is shown, to be copied by hand.
        const box = document.getElementById("stage-share-text");
        box.hidden = false;
        box.value = text;
        box.select();
        this.say("Copy the selected text.");
      }
    }

    save(name, content, type) {
      S.download(S.fileName(this.stage, name.replace(/^mmuviz\./, "view.")), content, type);
      this.say(`${name} is saved.`);
    }

    write(name, value) {
      if (value === this.stage.state[name]) {
        return;
      }
      const most = LONGEST[name];
      this.stage.state[name] = value.slice(0, most);
      this.say(value.length > most ? `The ${name} has at most ${most} characters; the last ${value.length - most} are left out.` : "");
      this.showTexts();
      this.stage.changed();
    }

    shown(_, state) {
      for (const [name, input] of this.fields) {
        input.textContent = state[name];
      }
      if (state.theme && state.theme !== S.chosenTheme()) {
        S.showTheme(state.theme);
      }
      this.showTexts();
    }

    showTexts() {
      const { title, note } = this.stage.state;
      const own = this.stage.scenario?.title || this.stage.storyTitle();
      document.getElementById("stage-question").textContent = title || own;
      this.note.hidden = note === "" || note === this.closed;
      this.note.querySelector("p").textContent = note;
    }
  }

  (S.parts = S.parts || []).push((stage) => new ShareMenu(stage));
})();
