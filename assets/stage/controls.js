// The controls: what the Scenario holds is what they show, and a choice becomes an override.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const UNITS = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };
  const SIZE = /^([0-9.]+) ([KMGT]iB|B)$/;

  // The value of a field such as memory[0].size in a Scenario as a document.
  S.fieldOf = function (document, field) {
    return field
      .replace(/\[(\d+)\]/g, ".$1")
      .split(".")
      .reduce((found, name) => (found === undefined || found === null ? undefined : found[name]), document);
  };

  S.valueOf = function (text) {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  };

  // Sizes are numbers of bytes in a document, and text where people write them.
  function same(sent, value) {
    const size = typeof sent === "string" ? SIZE.exec(sent) : null;
    return sent === value || (size !== null && Number(size[1]) * UNITS[size[2]] === value);
  }

  function shownText(field, value) {
    if (field.endsWith(".rate_hz")) {
      return `${value / 1e6} M/s each`;
    }
    // "8 GiB" as a file would say it, and not "8.00 GiB".
    return field.endsWith(".size") ? S.bytesText(value).replace(/\.0+ /, " ") : String(value);
  }

  class Controls {
    // `changed` is told a field and its new value.
    constructor(root, changed) {
      this.root = root;
      this.changed = changed;
      this.all = [...root.querySelectorAll("[data-mmuviz=control], [data-mmuviz=field]")];
      this.refused = root.querySelector("#stage-refused");
      for (const control of this.all) {
        control.addEventListener("change", () => this.send(control));
        if (control.isContentEditable) {
          control.addEventListener("keydown", (event) => this.typed(event, control));
        }
      }
      root.addEventListener("click", (event) => this.click(event));
    }

    send(control) {
      this.changed(control.dataset.field, JSON.parse(control.value));
    }

    // Enter sends what was typed: a number, true or false as such, all else as text.
    typed(event, control) {
      event.stopPropagation();
      if (event.key === "Enter") {
        event.preventDefault();
        const text = control.textContent.trim();
        this.changed(control.dataset.field, S.valueOf(text));
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
      // Few vCPUs are counted, many doubled.
      const next = act === "more-vcpus" ? (now < 8 ? now + 1 : now * 2) : now <= 8 ? now - 1 : Math.floor(now / 2);
      const within = Math.min(Math.max(next, 1), Number(number.dataset.most));
      if (within !== now) {
        number.textContent = String(within);
        this.changed("vm.vcpus", within);
      }
    }

    // Show a Scenario.
    show(document) {
      for (const control of this.all) {
        const value = S.fieldOf(document, control.dataset.field);
        if (control.tagName === "SELECT") {
          this.choose(control, value);
        } else if (control.isContentEditable) {
          this.fill(control, value);
        } else {
          control.textContent = String(value);
        }
      }
      this.refuse(null, "");
    }

    // Fields that this Scenario has not are not shown.
    fill(control, value) {
      control.closest(".field-row").hidden = value === undefined;
      control.textContent = value === null || typeof value === "object" ? JSON.stringify(value) : String(value);
    }

    choose(select, value) {
      const part = select.closest(".control-part");
      part.hidden = value === undefined || value === null;
      if (part.hidden) {
        return;
      }
      let option = [...select.options].find((each) => same(JSON.parse(each.value), value));
      if (option === undefined) {
        option = new Option(shownText(select.dataset.field, value), JSON.stringify(value));
        select.add(option);
      }
      select.value = option.value;
    }

    // A line at the field that was refused; null takes it away.
    refuse(field, message) {
      for (const frame of this.root.querySelectorAll(".control-frame, .field-row")) {
        const at = [...frame.querySelectorAll("[data-field]")].some((each) => each.dataset.field === field);
        frame.classList.toggle("wrong", field !== null && at);
        const place = frame.querySelector(".field-refused");
        if (place) {
          place.textContent = field !== null && at ? message : "";
        }
      }
      this.refused.textContent = message;
      this.refused.hidden = message === "";
    }
  }

  S.Controls = Controls;
})();
