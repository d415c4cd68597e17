// What happens to the guest: logging is enabled, or it migrates; and the fields of a migration, in a sheet that opens in
// place. Every value goes through stage.asking, and what is refused is said at its field.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const KIND = "driver.kind";
  const MODE = "vm.dirty_log_mode";
  const MIGRATION = "qemu_precopy";
  // What QEMU asks KVM for where KVM has it: ram_init_bitmaps() and kvm_init() of QEMU, KVM_DIRTY_LOG_INITIALLY_SET.
  const QEMU_MODE = "manual_initially_set";
  // A link of today, and an end for a guest that writes faster than that.
  const FIRST = { "driver.bandwidth": "25 Gbit/s", "driver.link": "25 Gbit/s", "driver.most_rounds": 8 };
  const byId = (id) => document.getElementById(id);

  const withoutDriver = (set) => Object.fromEntries(Object.entries(set).filter(([name]) => !name.startsWith("driver.")));

  class MigrationSheet {
    constructor(stage) {
      this.stage = stage;
      this.kinds = new Map(); // what a story does by itself
      this.sheet = byId("stage-migration");
      this.opens = byId("stage-migration-open");
      this.ring = byId("stage-migration-ring");
      this.popup = new S.Popup(this.opens, this.sheet);
      this.sheet.addEventListener("click", (event) => this.click(event));
      (S.fieldChanges = S.fieldChanges || {})[KIND] = (state, value) => this.ofKind(state, value);
      this.acts = { migration: () => !this.opens.hidden && this.popup.open(this.sheet.hidden) };
    }

    click(event) {
      const value = event.target.closest(".migration-value");
      if (value) {
        const { field } = value.closest(".migration-row").querySelector("[data-field]").dataset;
        this.stage.asking.change(field, JSON.parse(value.dataset.value));
      } else if (event.target.closest("#stage-migration-ring")) {
        this.stage.asking.change(MODE, this.ring.getAttribute("aria-checked") === "true" ? QEMU_MODE : "ring");
      }
    }

    // {set, policies} of another kind of driver. Going back to what the story does takes all of it back.
    ofKind(state, kind) {
      const set = withoutDriver(state.set);
      if (this.kinds.get(state.base) === kind) {
        return { set, policies: null };
      }
      const { asking, policies, runs } = this.stage;
      const names = asking.policies();
      const first = kind === MIGRATION ? { [KIND]: kind, ...FIRST } : { [KIND]: kind };
      const modes = new Set(runs.map(({ header }) => header.scenario.vm.dirty_log_mode));
      if (kind === MIGRATION) {
        return { set: { ...set, ...first }, policies: modes.has("manual") ? S.policiesOfMode(names, QEMU_MODE) : state.policies };
      }
      // Panes that differ in fields of a migration would be the same without it.
      return { set: { ...set, ...first }, policies: policies.apart ? state.policies : S.policiesOfMode(names, [...modes][0]) };
    }

    shown(runs, state) {
      const scenario = runs[0].header.scenario;
      if (!Object.hasOwn(state.set, KIND) && !state.file) {
        this.kinds.set(state.base, scenario.driver?.kind);
      }
      const migrates = scenario.driver?.kind === MIGRATION;
      this.opens.hidden = !migrates;
      if (!migrates) {
        this.popup.open(false);
      }
      const ring = scenario.vm.dirty_log_mode.startsWith("ring");
      this.ring.setAttribute("aria-checked", String(ring));
      this.ring.textContent = ring ? "on" : "off";
      for (const row of this.sheet.querySelectorAll(".migration-row")) {
        const part = row.querySelector(".control-part");
        row.hidden = part ? part.hidden : row.hidden;
        this.press(row, runs);
      }
    }

    // Which of the offered values is the one that is shown.
    press(row, runs) {
      const typed = row.querySelector(".field-input")?.textContent;
      for (const each of row.querySelectorAll(".migration-value")) {
        const said = each.dataset.value === "0" ? "0" : each.textContent;
        each.setAttribute("aria-pressed", String(typed === said && runs.length > 0));
      }
    }
  }

  (S.moreKeys = S.moreKeys || []).push([["m"], "fields of the migration", "migration"]);
  (S.parts = S.parts || []).push((stage) => new MigrationSheet(stage));
})();
