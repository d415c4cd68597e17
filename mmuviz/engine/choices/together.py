"""Rules between the parts of a Scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mmuviz.core.errors import InputError, MmuvizError
from mmuviz.core.pages import BITS_PER_LONG, PAGE_BYTES
from mmuviz.costs.hosts import PROFILES
from mmuviz.engine.choices.driver import Driver
from mmuviz.engine.choices.errors import ContradictionError
from mmuviz.engine.choices.host import ARM64_PROFILES, Host
from mmuviz.engine.choices.memory import MemslotChoices, check_apart
from mmuviz.engine.choices.phases import PhasesWorkload, Workload
from mmuviz.engine.choices.units import rate_text, size_text, time_text
from mmuviz.engine.choices.vm import VmChoices
from mmuviz.engine.choices.workload import IdleWorkload, Paced, TraceWorkload
from mmuviz.engine.drivers.base import LogsDirtyPages
from mmuviz.engine.drivers.calc_dirty_rate import CalcDirtyRate
from mmuviz.engine.drivers.enable_only import EnableOnly
from mmuviz.engine.drivers.listed_ops import ListedOps
from mmuviz.engine.drivers.live_rounds import LiveRounds
from mmuviz.engine.drivers.migrates import Migrates
from mmuviz.engine.drivers.plain_precopy import PlainPrecopy
from mmuviz.engine.drivers.pre_split import PreSplit
from mmuviz.engine.drivers.qemu_precopy import QemuPrecopy
from mmuviz.engine.drivers.without_logging import WithoutLogging
from mmuviz.engine.trace_file import facts_of
from mmuviz.mmu.kvm_recording import ops_of
from mmuviz.workloads.pattern import PS_PER_S

LONGEST_PS: Final = 1 << 61
"""Longest run: far below the end of the clock, which counts ps in 64 bits."""
CLEAR_UNIT: Final = BITS_PER_LONG * PAGE_BYTES
"""KVM_CLEAR_DIRTY_LOG takes multiples of 64 pages. Kernel: kvm_clear_dirty_log_protect(), virt/kvm/kvm_main.c"""


def check_together(
    vm: VmChoices, memory: tuple[MemslotChoices, ...], workload: Workload, driver: Driver, host: Host
) -> None:
    """Refuse contradictions between the parts.

    Args:
        vm: the VM.
        memory: its memslots, each with its base.
        workload: the guest's accesses.
        driver: userspace's calls.
        host: the host.

    Raises:
        ContradictionError: for the first contradiction.
    """
    _check_threads(vm, host)
    if isinstance(driver, ListedOps):
        _check_listed(vm, memory, workload, driver)
        return
    _check_memory(memory, vm.vcpus)
    _check_driver(vm, memory, driver)
    _check_workload(vm, memory, workload, driver)


def _check_threads(vm: VmChoices, host: Host) -> None:
    arm64 = vm.vendor == "arm64"
    fits = [
        f"{each.name} ({each['cpus']})"
        for each in PROFILES.values()
        if each["cpus"] >= vm.vcpus and (each.name in ARM64_PROFILES) == arm64
    ]
    remedy = f"choose {', '.join(fits)}" if fits else "there is no profile of so many"
    if host.arm64 != arm64:
        kind = "an arm64 host" if host.arm64 else "no arm64 host"
        raise ContradictionError(f"host.profile={host.profile} is {kind}, and vm.vendor={vm.vendor}; {remedy}")
    if vm.vcpus > host.threads:
        raise ContradictionError(
            f"vm.vcpus={vm.vcpus} must be at most {host.threads}, the hardware threads of host.profile={host.profile}; "
            f"give fewer, or choose a larger profile: {', '.join(fits) or 'there is none'}"
        )


def _check_listed(vm: VmChoices, memory: tuple[MemslotChoices, ...], workload: Workload, driver: ListedOps) -> None:
    if memory:
        raise ContradictionError(
            f"memory has {len(memory)} slots, but the operations of listed_ops add them; leave memory out"
        )
    if not isinstance(workload, IdleWorkload):
        raise ContradictionError(
            f"workload.pattern={workload.pattern} has nothing to do: the operations of listed_ops say every access; "
            "leave workload out"
        )
    if vm.mmu not in ("tdp", "direct_shadow"):
        raise ContradictionError(f"vm.mmu={vm.mmu} is in no list of operations; choose tdp or direct_shadow")
    if not driver.ops:
        return
    try:
        ops_of({"ops": list(driver.ops)}, vm.vcpus)
    except MmuvizError as error:
        raise ContradictionError(f"driver.ops: {error}") from error


def _check_memory(memory: tuple[MemslotChoices, ...], vcpus: int) -> None:
    if not memory:
        raise ContradictionError('memory is missing; give one to 32 memslots, e.g. [[memory]] with size = "4 GiB"')
    check_apart(memory)
    pages = sum(slot.pages for slot in memory if not slot.read_only)
    if pages < vcpus:
        raise ContradictionError(
            f"memory has {pages} pages that are not read-only and must have one for each of {vcpus} vCPUs; give more"
        )


def _check_driver(vm: VmChoices, memory: tuple[MemslotChoices, ...], driver: Driver) -> None:
    if isinstance(driver, LogsDirtyPages | Migrates | CalcDirtyRate) and not any(slot.logged for slot in memory):
        raise ContradictionError(f"memory[0].logged=false and so on: driver {driver.kind} needs a slot that is logged")
    if isinstance(driver, QemuPrecopy | PlainPrecopy):
        _check_migration(vm, memory, driver)
    if isinstance(driver, CalcDirtyRate) and vm.dirty_log_mode.ring:
        raise ContradictionError(
            f"driver.kind={driver.kind} measures by bitmap, as QEMU does without a ring, and vm.dirty_log_mode="
            f"{vm.dirty_log_mode}; choose manual_initially_set, manual or legacy"
        )
    if not isinstance(driver, LogsDirtyPages):
        return
    if driver.reap_interval and not vm.dirty_log_mode.ring:
        raise ContradictionError(
            f"driver.reap_interval={time_text(driver.reap_interval)} belongs to ring modes, not "
            f"vm.dirty_log_mode={vm.dirty_log_mode}; leave it out"
        )
    if isinstance(driver, PreSplit) and vm.mmu not in ("tdp", "direct_shadow"):
        raise ContradictionError(
            f"driver.kind=pre_split faults for a dummy vCPU, which vm.mmu={vm.mmu} does not serve; choose tdp or "
            "direct_shadow"
        )
    if isinstance(driver, LiveRounds) and driver.clear_chunk:
        _check_chunk(vm, driver.clear_chunk)


def _check_migration(vm: VmChoices, memory: tuple[MemslotChoices, ...], driver: QemuPrecopy | PlainPrecopy) -> None:
    if isinstance(driver, PlainPrecopy) and vm.dirty_log_mode != "legacy":
        raise ContradictionError(
            f"driver.kind={driver.kind} never clears, and vm.dirty_log_mode={vm.dirty_log_mode} protects nothing at a "
            "GET; choose legacy"
        )
    if isinstance(driver, QemuPrecopy):
        _check_qemu(vm, driver)
    for index, slot in enumerate(memory):
        if not slot.logged and not slot.read_only:
            raise ContradictionError(
                f"memory[{index}].logged=false would be lost: the guest writes to it and driver {driver.kind} sends "
                "only what is logged; leave it out"
            )


def _check_qemu(vm: VmChoices, driver: QemuPrecopy) -> None:
    if vm.dirty_log_mode == "ring_initially_set":
        raise ContradictionError(
            f"vm.dirty_log_mode={vm.dirty_log_mode} is never asked for by QEMU: with a ring it enables no manual "
            "protection; choose ring"
        )
    if driver.dirty_limit and not vm.dirty_log_mode.ring:
        raise ContradictionError(
            f"driver.dirty_limit={rate_text(driver.dirty_limit)} needs a dirty ring, as in QEMU, not "
            f"vm.dirty_log_mode={vm.dirty_log_mode}; choose ring, or leave it out"
        )
    if driver.smm and vm.vendor == "arm64":
        raise ContradictionError("driver.smm=true belongs to x86, not vm.vendor=arm64; leave it out")


def _check_chunk(vm: VmChoices, chunk: int) -> None:
    if vm.dirty_log_mode.ring or not vm.dirty_log_mode.manual:
        raise ContradictionError(
            f"driver.clear_chunk={size_text(chunk)} needs CLEAR, which vm.dirty_log_mode={vm.dirty_log_mode} has not; "
            "leave it out, or choose manual or manual_initially_set"
        )
    if chunk % CLEAR_UNIT:
        raise ContradictionError(
            f"driver.clear_chunk={size_text(chunk)} must be a multiple of {size_text(CLEAR_UNIT)} (64 pages), or 0"
        )


def _check_workload(vm: VmChoices, memory: tuple[MemslotChoices, ...], workload: Workload, driver: Driver) -> None:
    runs_on = isinstance(driver, EnableOnly | LiveRounds | Migrates | CalcDirtyRate)
    runs_on = runs_on or (isinstance(driver, WithoutLogging) and driver.duration > 0)
    if isinstance(workload, PhasesWorkload | TraceWorkload):
        if not runs_on:
            raise ContradictionError(
                f"workload.pattern={workload.pattern} needs a guest that never stops, and driver {driver.kind} runs it "
                "in passes; choose enable_only, live_rounds, qemu_precopy, or without_logging with a duration"
            )
        if isinstance(workload, TraceWorkload):
            _check_trace(vm, memory, workload)
        return
    if not isinstance(workload, Paced) or not workload.rate_hz or runs_on:
        return
    pages = sum(slot.pages for slot in memory if not slot.read_only)
    part = pages if workload.shared else -(-pages // vm.vcpus) + vm.vcpus
    passes = getattr(driver, "iterations", 0) + 1
    last_ps = workload.pattern_of().accesses(part) * PS_PER_S * passes // workload.rate_hz
    if last_ps >= LONGEST_PS:
        raise ContradictionError(
            f"workload.rate_hz={workload.rate_hz} stretches the passes over {last_ps // PS_PER_S} s; the clock ends at "
            f"{LONGEST_PS // PS_PER_S} s: give a higher rate, less memory or fewer iterations"
        )


def _check_trace(vm: VmChoices, memory: tuple[MemslotChoices, ...], workload: TraceWorkload) -> None:
    """Read the whole trace once and check that every access fits this guest."""
    ram = [(slot.base_gfn, slot.pages) for slot in memory if not slot.read_only]
    try:
        facts_of(Path(workload.file), vm.vcpus, ram)
    except InputError as error:
        raise ContradictionError(f"workload.file: {error}") from error
