// The drawer "Details": tabs over the page, which continues to play. A tab is filled when it is first opened.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const FIRST = "calls";
  const byId = (id) => document.getElementById(id);

  // Tabs by name: make(place, stage, drawer) fills an element and returns { tell(ps) }, or nothing.
  S.detailTabs = S.detailTabs || {};

  class Drawer {
    constructor(stage) {
      this.stage = stage;
      this.dialog = byId("stage-details");
      this.tabs = [...this.dialog.querySelectorAll("[role=tab]")];
      this.name = FIRST;
      this.filled = {};
      this.fetched = {};
      this.opener = null;
      this.acts = { details: () => this.toggle(), "close-details": () => this.close() };
      for (const tab of this.tabs) {
        this.acts[`details-${tab.dataset.tab}`] = () => this.open(tab.dataset.tab);
        tab.addEventListener("click", () => this.choose(tab.dataset.tab));
      }
      this.dialog.querySelector("[role=tablist]").addEventListener("keydown", (event) => this.onTabKey(event));
      document.addEventListener("keydown", (event) => this.onKey(event));
      this.choose(FIRST);
    }

    // ---- opening

    get isOpen() {
      return this.dialog.open;
    }

    toggle() {
      if (this.isOpen) {
        this.close();
      } else {
        this.open(this.name);
      }
    }

    open(name) {
      if (!this.isOpen) {
        this.opener = document.activeElement === document.body ? null : document.activeElement;
        this.dialog.show();
        document.body.classList.add("details-open");
      }
      this.choose(name);
      this.tabOf(name).focus({ preventScroll: true });
      this.tabOf(name).scrollIntoView({ block: "nearest", inline: "nearest" });
    }

    close() {
      if (!this.isOpen) {
        return;
      }
      const inside = this.dialog.contains(document.activeElement);
      this.dialog.close();
      document.body.classList.remove("details-open");
      if (inside) {
        (this.opener?.isConnected ? this.opener : document.querySelector("[data-act=details]"))?.focus({ preventScroll: true });
      }
    }

    // Escape closes the topmost part: first a term's meaning or another dialog.
    onKey(event) {
      if (event.key === "Escape" && this.isOpen && !document.querySelector("dialog:modal, :popover-open")) {
        event.preventDefault();
        this.close();
      }
    }

    // ---- tabs

    tabOf(name) {
      return this.tabs.find((tab) => tab.dataset.tab === name);
    }

    onTabKey(event) {
      const at = this.tabs.findIndex((tab) => tab.dataset.tab === this.name);
      const steps = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 };
      if (event.key in steps) {
        event.preventDefault();
        event.stopPropagation();
        this.choose(this.tabs.at(steps[event.key] % this.tabs.length).dataset.tab);
        this.tabOf(this.name).focus();
      }
    }

    choose(name) {
      this.name = name;
      for (const tab of this.tabs) {
        const chosen = tab.dataset.tab === name;
        tab.setAttribute("aria-selected", String(chosen));
        tab.tabIndex = chosen ? 0 : -1;
        byId(`details-${tab.dataset.tab}`).hidden = !chosen;
      }
      this.fill();
    }

    // ---- content of the tabs

    fill() {
      const { name } = this;
      if (!this.isOpen || !S.detailTabs[name] || this.stage.runs.length === 0) {
        return;
      }
      if (!this.filled[name]) {
        const place = byId(`details-${name}`);
        this.filled[name] = S.detailTabs[name](place, this.stage, this) || {};
      }
      this.tell(this.stage.clock.now);
    }

    shown() {
      this.filled = {};
      this.fill();
    }

    tell(ps) {
      if (this.isOpen) {
        this.filled[this.name]?.tell?.(ps);
      }
    }

    resize() {
      if (this.isOpen) {
        this.filled[this.name]?.resize?.();
      }
    }

    // A document of the server that no Recording contains; fetched once.
    fetch(name) {
      this.fetched[name] ??= window.fetch(`/api/${name}.json`).then((response) => {
        if (!response.ok) {
          throw new Error(`the server answered ${response.status}`);
        }
        return response.json();
      }).catch((error) => {
        delete this.fetched[name];
        throw error;
      });
      return this.fetched[name];
    }

    // Fills an element with a document's content, or with the reason of a failure.
    async fetchInto(place, name, make) {
      place.replaceChildren(S.el("p", { text: "Fetching …", class: "details-note" }));
      try {
        const found = await this.fetch(name);
        place.replaceChildren(...[make(found)].flat().filter(Boolean));
      } catch (error) {
        place.replaceChildren(S.el("p", { text: `Not there: ${error.message}. Close and open this tab again.`, class: "details-note" }));
        this.filled = {};
      }
    }
  }

  (S.parts = S.parts || []).push((stage) => (S.drawer = new Drawer(stage)));
  (S.moreKeys = S.moreKeys || []).push([["d"], "details", "details"]);
})();
