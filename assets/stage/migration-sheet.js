// The control "Event": logging is enabled, or the guest migrates; and the migration sheet with the fields of a migration.
// Every value is requested by stage.asking, and a refusal is shown at its field.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const KIND = "driver.kind";
  const MODE = "vm.dirty_log_mode";
  const MIGRATION = "qemu_precopy";
  // The mode that QEMU uses if KVM supports it: ram_init_bitmaps() and kvm_init() of QEMU, KVM_DIRTY_LOG_INITIALLY_SET.
  const QEMU_MODE = "manual_initially_set";
  // A current link, and a limit for guests that write faster than it sends.
  const FIRST = { "driver.bandwidth": "25 Gbit/s", "driver.link": "25 Gbit/s", "driver.most_rounds": 8 };
  const byId = (id) => document.getElementById(id);

  const withoutDriver = (set) => Object.fromEntries(Object.entries(set).filter(([name]) => !name.startsWith("driver.")));

  class MigrationSheet {
    constructor(stage) {
      this.stage = stage;
      this.kinds = new Map(); // the story's own driver
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

    // {set, policies} for another kind of driver. Returning to the story's own driver removes all these changes.
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
      // Panes that differ only in fields of a migration would be equal without it.
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

    // Marks the offered value that is the current one.
    press(row, runs) {
      const typed = row.querySelector(".field-input")?.textContent;
      for (const each of row.querySelectorAll(".migration-value")) {
        const said = each.dataset.value === "0" ? "0" : each.textContent;
        each.setAttribute("aria-pressed", String(typed === said && runs.length > 0));
      }
    }
  }

  (S.moreKeys = S.moreKeys || []).push([["m"], "fields of the migration, if the guest migrates", "migration"]);
  (S.parts = S.parts || []).push((stage) => new MigrationSheet(stage));
})();
