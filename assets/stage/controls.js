// The controls: they show the fields of the Scenario, and a choice becomes an override.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const UNITS = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };
  const TIMES = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, min: 60e9 };
  const RATES = { "MiB/s": 2 ** 20, "Mbit/s": 125e3, "Gbit/s": 125e6 };
  const SIZE = /^([0-9.]+) ([KMGT]iB|B)$/;

  // The value of a field such as memory[0].size in a Scenario as a document.
  S.fieldOf = function (document, field) {
    return field
      .replace(/\[(\d+)\]/g, ".$1")
      .split(".")
      .reduce((found, name) => (found === undefined || found === null ? undefined : found[name]), document);
  };

  // Typed text as JSON where it is; a number that JavaScript would round, or take for infinite, stays text.
  S.valueOf = function (text) {
    try {
      const value = JSON.parse(text);
      return typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER ? text : value;
    } catch {
      return text;
    }
  };

  // Sizes are bytes in a document, and may be text in a choice.
  function same(sent, value) {
    const size = typeof sent === "string" ? SIZE.exec(sent) : null;
    return sent === value || (size !== null && Number(size[1]) * UNITS[size[2]] === value);
  }

  // Text of a value that is not offered: "8 GiB" as in a file, not "8.00 GiB".
  function shownText(field, value, { memory = [] }) {
    if (field.endsWith(".rate_hz")) {
      return value >= 100_000 ? `${value / 1e6} M/s` : `${value / 1000} k/s`;
    }
    if (field === "memory[0].size" && memory.length > 1) {
      return `${S.sizeText(S.guestBytes({ memory }))}, ${memory.length} slots`;
    }
    if (typeof value === "boolean") {
      return value ? "on" : "off";
    }
    return field.endsWith(".size") ? S.sizeText(value) : String(value).replaceAll("_", " ");
  }

  const EDGE = 8; // px
  const CLOSER = ["tight", "tighter", "tightest", "bare", "folded"];
  const MOST_LETTERS = 12; // text for several different values

  // A size or a time in the largest unit that gives an integer; other values unchanged.
  function typedText(value, unit) {
    const units = { size: UNITS, time: TIMES, rate: RATES }[unit];
    if (units && Number.isInteger(value) && value > 0) {
      const [name, size] = Object.entries(units).reverse().find(([, each]) => value % each === 0);
      return `${value / size} ${name}`;
    }
    return value === null || typeof value === "object" ? JSON.stringify(value) : String(value);
  }

  class Controls {
    // `changed` is called with a field and its new value.
    constructor(root, changed) {
      this.root = root;
      this.changed = changed;
      this.row = root.querySelector(".controls");
      this.all = [...root.querySelectorAll("[data-mmuviz=control], [data-mmuviz=field]")];
      this.refusals = new S.Refusals(root);
      for (const control of this.all) {
        control.addEventListener("change", () => this.send(control));
        if (control.isContentEditable) {
          control.addEventListener("keydown", (event) => this.typed(event, control));
        }
      }
      root.addEventListener("click", (event) => this.click(event));
      new ResizeObserver(() => this.fit()).observe(this.row);
    }

    send(control) {
      this.changed(control.dataset.field, JSON.parse(control.value));
    }

    // Enter sends the typed value: numbers, true and false as JSON; other values, and those of a field with text, as text.
    typed(event, control) {
      event.stopPropagation();
      if (event.key === "Enter") {
        event.preventDefault();
        const text = control.textContent.trim();
        if (text !== control.dataset.shown) {
          this.refusals.sent = control;
          this.changed(control.dataset.field, control.dataset.text ? text : S.valueOf(text));
        }
      } else if (event.key === "Escape") {
        control.blur();
      }
    }

    click(event) {
      const act = event.target.closest("[data-act]")?.dataset.act;
      if (act !== "fewer-vcpus" && act !== "more-vcpus") {
        return;
      }
      const number = this.root.querySelector('[data-mmuviz=control][data-field="vm.vcpus"]');
      const now = Number(number.textContent);
      // Small numbers of vCPUs change by one, large ones by a factor of two.
      const next = act === "more-vcpus" ? (now < 8 ? now + 1 : now * 2) : now <= 8 ? now - 1 : Math.floor(now / 2);
      const within = Math.min(Math.max(next, 1), this.mostVcpus(number));
      if (within !== now) {
        number.textContent = String(within);
        this.changed("vm.vcpus", within);
      }
    }

    // Shows the Scenarios of all panes; a field with different values is marked as such.
    show(documents) {
      for (const control of this.all) {
        const values = documents.map((document) => S.fieldOf(document, control.dataset.field));
        const mixed = new Set(values.map((value) => JSON.stringify(value))).size > 1;
        if (control.tagName === "SELECT") {
          this.choose(control, values, mixed, documents[0]);
        } else if (control.isContentEditable) {
          this.fill(control, mixed ? values : [values[0]]);
        } else {
          control.textContent = String(values[0]);
        }
      }
      this.showThreads(documents);
      this.fit();
    }

    // At the host's limit one more vCPU is requested, so that the refusal says the limit.
    mostVcpus(number) {
      const now = Number(number.textContent);
      const most = Math.min(this.threads || Infinity, Number(number.dataset.most));
      return now < most ? most : now + 1;
    }

    // The host limits the vCPUs to its threads.
    showThreads(documents) {
      const rule = this.root.querySelector("[data-threads]");
      const threads = JSON.parse(rule.dataset.threads);
      const most = documents.map(({ host }) => ({ host, count: host.overrides?.cpus ?? threads[host.profile] }));
      const { host, count } = most.reduce((a, b) => (b.count < a.count ? b : a));
      this.threads = count;
      rule.dataset.rule ||= rule.textContent;
      rule.textContent = count ? rule.dataset.rule.replace(/\d+(?=;)/, `${count} on ${host.profile}`) : rule.dataset.rule;
    }

    refuse(field, message, asked) {
      this.refusals.show(field, message, asked);
    }

    // The row is set more tightly until all of it is visible; a sheet has room.
    fit() {
      this.row.classList.remove(...CLOSER);
      const last = this.row.querySelector("[data-act=more]");
      const over = () => last.getBoundingClientRect().right > this.row.getBoundingClientRect().right - EDGE;
      for (const closer of this.row.classList.contains("floats") ? [] : CLOSER) {
        if (over()) {
          this.row.classList.add(closer);
        }
      }
    }

    // Fields that the Scenario does not have are hidden. A refused text stays while its field has the value of before.
    fill(control, values) {
      control.closest(".field-row").hidden = values[0] === undefined;
      const text = values.map((value) => typedText(value, control.dataset.unit)).join(" / ");
      if (text === control.dataset.shown && control.getAttribute("aria-invalid") === "true") {
        return;
      }
      this.refusals.forget(control);
      control.dataset.text = typeof values[0] === "string" ? "yes" : "";
      control.dataset.shown = control.textContent = text;
    }

    choose(select, values, mixed, document) {
      const part = select.closest(".control-part");
      const [value] = values;
      // Listed operations contain every access.
      const listed = document.driver?.kind === "listed_ops" && select.dataset.field.startsWith("workload.");
      part.hidden = listed || values.some((each) => each === undefined || each === null);
      select.querySelector("[data-own]")?.remove();
      select.title = "";
      if (part.hidden) {
        return;
      }
      const others = mixed || (select.dataset.field === "memory[0].size" && document.memory.length > 1);
      let option = others ? undefined : [...select.options].find((each) => same(JSON.parse(each.value), value));
      if (option === undefined) {
        const texts = [...new Set(values.map((each) => shownText(select.dataset.field, each, document)))];
        const all = texts.join(" / ");
        option = new Option(texts.length > 1 && all.length > MOST_LETTERS ? "mixed" : all, JSON.stringify(value));
        select.title = all;
        option.dataset.own = "";
        select.prepend(option);
      }
      option.selected = true;
    }
  }

  S.Controls = Controls;
})();
