"""run(): Scenario -> Recording, the only way from input to result.

The path of a run; `mmuviz run` reads its Scenario with studies/scenario_files.py, refuses it if its estimate is over
the limit, and then calls run(), once more for the guest without logging that it compares with:

1. session_of() makes the VM (mmu/vm.py), its clock, its guest, the thread that calls ioctls, and the recorder.
2. The driver's drive() (engine/drivers/) calls the guest's passes (engine/guest.py) and the ioctls
   (engine/timed_ioctls.py). Both let time pass through engine/timed_machine.py, and from there in compiled code of
   engine/ioctl_thread.py: run_vcpus_until() while no ioctl walks, walk_in_time() while one does. Both run the vCPUs
   by run_guests() in engine/vcpu.py. The driver listed_ops does the same through engine/timed_vm.py, a migration
   through engine/migration.py.
3. At the end of each bin of time a frame of the tables is taken, mostly by compiled code (engine/frame_buffer.py).
   The recorder collects the frames; engine/recording_of.py builds a Recording from them and from the clock's sums.
4. Recording.save() (recording/recording.py) writes the file.

The order inside a step:

a. The vCPU with the earliest time acts next, the lowest number first among equals. The ioctl thread acts
   when no vCPU is earlier; at the same time it goes first.
b. A vCPU is charged for the IPIs that kicked it out of the guest before it next leaves the guest. In two cases
   it is charged earlier, before its next access: while no lookahead is allowed, and while its PML buffer is not
   empty, as an IPI empties the buffer.
c. Lookahead: a vCPU may execute hits (accesses that need no exit) ahead of the other vCPUs, up to the ioctl
   thread's next event, if no other vCPU can observe them. That holds for:
   - every hit inside its private range;
   - every hit anywhere, once no fault can change the leaf of another page;
   - a write anywhere, unless a fault elsewhere may flush TLBs: it hits through a writable leaf, on which no vCPU
     faults.
   Faults that fast_page_fault() fixes, and writes that set a dirty bit, take no lock. Inside the private range they
   are executed ahead too. Exception: not while a TLB flush may come, as it reaches only vCPUs in the guest.
d. Every other fault is one event: VM exit; acquire mmu_lock, queueing if it is contended; change the tables
   when it is acquired; charge the path and the work done; VM entry. If the host has no page yet, it allocates
   one at the VM exit, and the vCPU requests mmu_lock once that is zeroed. Faults that install one 4K leaf each
   and interact only at the lock's cache line are executed in a loop of their own, in order of time.
e. mmu_lock is granted in the order of the requests.
f. The ioctl thread walks in parts of 2 MiB, of 1 GiB while no vCPU runs. Each part changes the tables at its
   beginning and then takes its time.
g. An exit to userspace happens at the first access at or after its time, under the program's big lock. While
   the ioctl thread holds that lock, exits wait; they are served after the ioctl, in the order of the exits.
h. A vCPU whose ring is full waits for the ioctl thread, which harvests all rings, resets them under mmu_lock
   mask by mask, flushes once, and then lets it run; if it is in an ioctl, it does so afterwards.
i. The recorder stops the run at the end of each bin, after every event before that time and before every
   later one. A stop changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from mmuviz.core.errors import InputError
from mmuviz.core.pages import SPTE_ENT_SHIFT
from mmuviz.engine import clock as layout
from mmuviz.engine.calls import CallLog
from mmuviz.engine.choices.scenario import Focus, Scenario
from mmuviz.engine.choices.workload import TraceWorkload
from mmuviz.engine.cost_table import CostTable, cost_table
from mmuviz.engine.drivers.listed_ops import ListedOps
from mmuviz.engine.guest import Guest, Program
from mmuviz.engine.recorder import PS_PER_NS, Recorder, default_focus
from mmuviz.engine.recording_of import recording_of
from mmuviz.engine.session import Session
from mmuviz.engine.timed_ioctls import TimedIoctls
from mmuviz.engine.timed_machine import TimedMachine
from mmuviz.engine.timed_vm import ListedAccesses
from mmuviz.engine.trace_feed import TraceFeed
from mmuviz.mmu.config import Mmu
from mmuviz.mmu.replay import slot_of
from mmuviz.mmu.state import I64
from mmuviz.mmu.vm import Vm
from mmuviz.recording.recording import Recording
from mmuviz.workloads import stream as columns

LEAST_BIN_SHIFT: Final = 20
"""Bins are at least a microsecond wide; their width doubles whenever 512 of them are full."""


def run(
    scenario: Scenario, focus: Focus | None = None, *, progress: Callable[[int, int], None] | None = None
) -> Recording:
    """Run a Scenario.

    Args:
        scenario: what to run.
        focus: pages and time whose events are all kept; None keeps those of the whole guest if it fits (64 MiB),
            else none. Another Focus leaves all other tables as they are.
        progress: called repeatedly with the simulated time, in ns, and the accesses that the guest made so far; it
            does not change the run, and ends it by raising an exception.

    Returns:
        The Recording; the same arguments give the same one, in any process.

    Raises:
        MmuvizError: the kernel or the host refuses an option, or an op of a list is refused.
    """
    session = session_of(scenario, focus, progress)
    scenario.driver.drive(session)
    session.recorder.finish(session.machine)
    return recording_of(session, notes_of(scenario, session))


def session_of(
    scenario: Scenario, focus: Focus | None = None, progress: Callable[[int, int], None] | None = None
) -> Session:
    """Create a Scenario's VM with its clock, before its driver begins.

    Args:
        scenario: what to run.
        focus: see run().
        progress: see run().
    """
    config, host = scenario.vm.config(), scenario.host.values()
    accesses, ram, listed = ListedAccesses(), scenario.ram, isinstance(scenario.driver, ListedOps)
    vm = Vm(config, access_loop=accesses if listed else None)
    costs = cost_table(config, host, scenario.host.instructions())
    machine = TimedMachine(vm, costs, new_clock_of(scenario, costs))
    for slot, each in enumerate(scenario.memory):
        vm.add_memslot(slot, each.memslot())
    if not listed:
        vm.load_vcpus(np.arange(config.vcpus), l2=config.mmu is Mmu.NESTED)
    if ram:
        levels = [each.backing.level for each in ram]
        machine.clock.regs[layout.LEAF_SHIFT] = SPTE_ENT_SHIFT * (max(levels) - 1)
    log = CallLog()
    ioctls = TimedIoctls(machine, log, big_lock=scenario.driver.holds_big_lock)
    timeline = [(timed.pattern, timed.duration_ns * PS_PER_NS) for timed in scenario.timeline()]
    program = Program(timeline, repeats=scenario.repeats, trace=trace_of(scenario))
    guest = Guest(ioctls, program, max(scenario.ram_pages, config.vcpus), scenario.driver.reap_interval_ps)
    spans = spans_of(scenario)
    if focus is not None:
        check_focus(focus, spans)
    recorder = Recorder(default_focus(spans) if focus is None else focus, spans, progress)
    recorder.watch(machine)
    return Session(scenario, ioctls, guest, recorder, accesses)


def trace_of(scenario: Scenario) -> TraceFeed | None:
    """Return the trace that the guest follows, or None."""
    if not isinstance(scenario.workload, TraceWorkload):
        return None
    ram = [(slot.base_gfn, slot.pages) for slot in scenario.ram]
    return TraceFeed(Path(scenario.workload.file), scenario.vm.vcpus, ram)


def spans_of(scenario: Scenario) -> list[tuple[int, int]]:
    """Guest memory that is shown, ascending: first gfn and number of pages of each part."""
    found = [(each.base_gfn, each.pages) for each in scenario.memory]
    pages: dict[int, int] = {}
    for op in scenario.ops():
        if op["op"] == "slot":
            pages[slot_of(op)] = op["pages"]
        if op["op"] in ("slot", "move_slot"):
            found.append((op["base_gfn"], pages.get(slot_of(op), 0)))
    spans: list[tuple[int, int]] = []
    for base, count in sorted(found):
        last = spans[-1] if spans else (0, 0)
        if spans and base <= last[0] + last[1]:  # a list of ops may add memory again where it was before
            spans[-1] = (last[0], max(last[1], base + count - last[0]))
        else:
            spans.append((base, count))
    return spans


def check_focus(focus: Focus, spans: list[tuple[int, int]]) -> None:
    """Refuse a Focus that contains no page of any memslot.

    Args:
        focus: the Focus.
        spans: first gfn and number of pages of each stretch of guest memory.

    Raises:
        InputError: it contains none.
    """
    first, end = focus.first_gfn, focus.first_gfn + focus.pages
    if spans and not any(base < end and first < base + pages for base, pages in spans):
        there = ", ".join(f"{base:#x} to {base + pages - 1:#x}" for base, pages in spans[:3])
        raise InputError(f"focus={focus.text()} holds no page of guest memory; gfns are {there}")


def new_clock_of(scenario: Scenario, costs: CostTable) -> layout.Clock:
    """The clock of a Scenario's vCPUs, at 0."""
    stream = np.zeros((scenario.vm.vcpus, columns.COLUMNS), dtype=np.int64)
    shift = LEAST_BIN_SHIFT
    while scenario.driver.least_ps() >> shift >= layout.BINS:
        shift += 1
    return layout.new_clock(stream, ram_table(scenario), costs.guest, costs.slowdown_1024, costs.host["cores"], shift)


def ram_table(scenario: Scenario) -> I64:
    """The memslots that the guest writes to, as streams count their pages: see mmuviz/workloads/accesses.py."""
    rows, first = [], 0
    for each in scenario.ram:
        rows.append([first, each.base_gfn - first])
        first += each.pages
    return np.array(rows or [[0, 0]], dtype=np.int64)


def notes_of(scenario: Scenario, session: Session) -> tuple[str, ...]:
    """Sentences on where the numbers come from."""
    host = session.machine.costs.host
    notes = [f"Times are modelled on host profile {host.name}: {host.description}."]
    if isinstance(scenario.driver, ListedOps):
        kernel = session.machine.vm.config.kernel.label
        notes.insert(0, f"Operations as they were recorded on real KVM; counts are those of kernel {kernel}.")
    return tuple(notes)
