"""The Scenario: everything that decides what a run does."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Final

from pydantic import Field, ValidationInfo, field_validator

from mmuviz.engine.choices.base import Choices
from mmuviz.engine.choices.driver import Driver
from mmuviz.engine.choices.focus import Focus
from mmuviz.engine.choices.host import DEFAULT_ARM64, Host
from mmuviz.engine.choices.memory import MOST_SLOTS, MemslotChoices, placed
from mmuviz.engine.choices.phases import PhasesWorkload, Timed, Workload, timeline_of
from mmuviz.engine.choices.recorded import bare_ops, recording_document, vm_of_recording, with_recording
from mmuviz.engine.choices.together import check_together
from mmuviz.engine.choices.vm import VmChoices
from mmuviz.engine.choices.workload import IdleWorkload, SequentialWorkload
from mmuviz.engine.drivers.dirty_log_perf_test import DirtyLogPerfTest
from mmuviz.engine.drivers.listed_ops import ListedOps
from mmuviz.mmu.kvm_recording import ops_of

__all__ = ["TEXTS", "Focus", "Scenario"]

TEXTS: Final = ("title", "summary", "look_at")
"""Fields for readers, which do not change the run."""
LONGEST_TEXT: Final = 2000
Text = Annotated[str, Field(strict=True, max_length=LONGEST_TEXT)]


class Scenario(Choices):
    """The input of a run. The same Scenario gives the same Recording."""

    title: Annotated[Text, Field(description="a question")] = ""
    summary: Annotated[Text, Field(description="what is run, in two sentences")] = ""
    look_at: Annotated[Text, Field(description="what to look at in the answer")] = ""
    vm: VmChoices = Field(default_factory=VmChoices)
    memory: Annotated[tuple[MemslotChoices, ...], Field(max_length=MOST_SLOTS)] = ()
    workload: Workload = Field(default_factory=SequentialWorkload)
    driver: Driver = Field(default_factory=DirtyLogPerfTest)
    host: Host = Field(default_factory=Host, validate_default=True)

    @classmethod
    def _prepared(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Fill in the usual pattern and driver, the VM of a recording, and an idle workload for listed operations."""
        tags = {"workload": {"pattern": "sequential"}, "driver": {"kind": "dirty_log_perf_test"}}
        found = {
            name: {**tags[name], **value} if name in tags and isinstance(value, dict) else value
            for name, value in data.items()
        }
        found = with_recording(found)
        driver = found.get("driver")
        kind = driver.get("kind") if isinstance(driver, dict) else getattr(driver, "kind", "")
        if kind == "listed_ops" and "workload" not in found:
            found = {**found, "workload": IdleWorkload()}
        return found

    @field_validator("memory", mode="after")
    @classmethod
    def _place(cls, slots: tuple[MemslotChoices, ...]) -> tuple[MemslotChoices, ...]:
        return placed(slots)

    @field_validator("host", mode="after")
    @classmethod
    def _default_profile(cls, host: Host, info: ValidationInfo) -> Host:
        vm = info.data.get("vm")
        if vm is None or vm.vendor != "arm64" or "profile" in host.model_fields_set:
            return host
        # Not model_copy(update=...): a profile that follows from the vendor must not count as given.
        found = host.model_copy()
        object.__setattr__(found, "profile", DEFAULT_ARM64)
        return found

    def _check(self) -> None:
        """Refuse parts that contradict each other."""
        check_together(self.vm, self.memory, self.workload, self.driver, self.host)

    def __hash__(self) -> int:
        """Hash of the digest, which is equal for equal Scenarios."""
        return hash(self.digest())

    @property
    def ram(self) -> tuple[MemslotChoices, ...]:
        """The memslots that the workload touches: all that are not read-only, in order of base."""
        return tuple(sorted((slot for slot in self.memory if not slot.read_only), key=lambda slot: slot.base))

    @property
    def ram_pages(self) -> int:
        """Pages that the workload touches."""
        return sum(slot.pages for slot in self.ram)

    def timeline(self) -> tuple[Timed, ...]:
        """The guest's patterns, in order of time."""
        return timeline_of(self.workload)

    @property
    def repeats(self) -> bool:
        """Whether the guest begins its timeline again at its end."""
        return isinstance(self.workload, PhasesWorkload) and self.workload.repeat

    def ops(self) -> list[dict[str, Any]]:
        """The operations of driver listed_ops, checked; empty for any other driver.

        Raises:
            InputError: an operation breaks a rule; the message names the first.
        """
        if not isinstance(self.driver, ListedOps):
            return []
        listed = list(self.driver.ops) or bare_ops(recording_document(self.driver.recording))
        return ops_of({"ops": listed}, self.vm.vcpus)

    def as_document(self) -> dict[str, Any]:
        """The complete Scenario as a document: defaults filled in, sizes and times as whole numbers."""
        return self.model_dump(mode="json")

    def given(self) -> dict[str, Any]:
        """The fields that were given, without defaults, so that defaults follow from overrides."""
        document: dict[str, Any] = self.model_dump(mode="json", exclude_unset=True)
        if isinstance(self.driver, ListedOps) and self.driver.recording:
            decided = vm_of_recording(recording_document(self.driver.recording))
            vm = document.get("vm", {})
            document["vm"] = {
                name: value for name, value in vm.items() if name not in decided or decided[name] != value
            }
        return document

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of the canonical JSON of as_document() without TEXTS."""
        document = {name: value for name, value in self.as_document().items() if name not in TEXTS}
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()
