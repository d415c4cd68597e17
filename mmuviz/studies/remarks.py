"""Remarks on a run: what about its Scenario a reader of its results has to know."""

from __future__ import annotations

from typing import Final

from mmuviz.core.errors import MmuvizError
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.recording.recording import Recording
from mmuviz.studies import alignment
from mmuviz.studies.alignment import NO_REMARK, Remark

ARM64_FAULTS_IN_PARALLEL: Final = (6, 2)
"""First release whose user_mem_abort() holds mmu_lock for read in every fault; from 5.18 on only in a fault that makes
a 4K page writable again."""
SHORT: Final = "faults that wait for each other are modelled too fast"


def remark_of(scenario: Scenario) -> Remark:
    """Write what a reader of a run's results has to know about its Scenario.

    Args:
        scenario: the input of the run.

    Returns:
        The remarks on its memslots and on its kernel's faults, one after the other; empty if there are none.
    """
    found = [each for each in (alignment.remark_of(scenario), faults_remark(scenario)) if each != NO_REMARK]
    return Remark(" · ".join(each.short for each in found), " ".join(each.text for each in found))


def remark_on(recording: Recording) -> Remark:
    """Write remark_of() for a Recording's Scenario; empty if this version refuses that Scenario."""
    try:
        return remark_of(Scenario.model_validate(recording.header.document()["scenario"]))
    except MmuvizError:
        return NO_REMARK


def faults_remark(scenario: Scenario) -> Remark:
    """Write that the model lets faults run in parallel which took turns in an older kernel of arm64.

    Kernel: user_mem_abort(), arch/arm64/kvm/mmu.c
    """
    kernel = scenario.vm.config().kernel
    if scenario.vm.vendor != "arm64" or scenario.vm.vcpus == 1 or kernel.release >= ARM64_FAULTS_IN_PARALLEL:
        return NO_REMARK
    which = "all but those that make a 4K page writable again" if kernel.release >= (5, 18) else "all"
    first = ".".join(map(str, ARM64_FAULTS_IN_PARALLEL))
    text = (
        f"The model holds mmu_lock for read in every fault of arm64, as kernels from {first} on do. "
        f"Kernel {kernel.name} held it for write in faults ({which}: user_mem_abort(), arch/arm64/kvm/mmu.c), so that "
        "its vCPUs waited for each other: stalls and times of passes with faults come out too short. Counts are not "
        "affected."
    )
    return Remark(SHORT, text)
