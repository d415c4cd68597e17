"""Playback of a recorded migration through the model's loop, call by call."""

from __future__ import annotations

from typing import Any

from mmuviz.engine.qemu.acpi import acpi_build_update
from mmuviz.engine.qemu.calls import (
    Call,
    ClearChunk,
    ClearDirtyLog,
    GetDirtyLog,
    ResetRings,
    SetMemslot,
    SyncEnd,
    SyncStart,
)
from mmuviz.engine.qemu.migration import migration_thread
from mmuviz.engine.qemu.page_set import Pages, PageSet
from mmuviz.engine.qemu.ram import ram_save_cleanup
from mmuviz.engine.qemu.state import KvmSlot, Thread
from mmuviz.studies.migrations import compared
from mmuviz.studies.migrations.answers import Answers, bits_of
from mmuviz.studies.migrations.difference import Difference, Diverged
from mmuviz.studies.migrations.document import Runs
from mmuviz.studies.migrations.elided import Elided
from mmuviz.studies.migrations.hints import RecordedHints
from mmuviz.studies.migrations.kvm_counters import DELTAS, KvmCounters
from mmuviz.studies.migrations.machine import machine_of
from mmuviz.studies.migrations.partly_known import PartlyKnown
from mmuviz.studies.migrations.partly_recorded import Bitmaps, lacks_bits
from mmuviz.studies.migrations.period import Period, reported_pages
from mmuviz.studies.migrations.plan import (
    CHANNEL_THREADS,
    MAIN_THREAD,
    MIGRATION_THREADS,
    Event,
    migrations_of,
    pages_in,
    sync_thread,
    with_syncs,
)
from mmuviz.studies.migrations.playback_thread import Row, Starter, deletes_next
from mmuviz.studies.migrations.playback_threads import MIGRATION, PlaybackThreads
from mmuviz.studies.migrations.recorded_timing import RecordedTiming, StuckError
from mmuviz.studies.migrations.rings import Rings
from mmuviz.studies.migrations.rounds import Rounds
from mmuviz.studies.migrations.throttle import ThrottleSteps
from mmuviz.studies.migrations.tracking import Tracking


class Playback:
    """The playback of one recording.

    Args:
        document: a checked recording.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.events = with_syncs(document)
        partly = lacks_bits(document)
        self.guest = machine_of(document, PartlyKnown.none_of if partly else Pages.none_of)
        self.qemu = self.guest.qemu
        self.differences: list[Difference] = []
        self.answers = Answers(self.events)
        self._bitmaps = Bitmaps(document, self.qemu) if partly else None
        self._hints = RecordedHints(self.qemu, self.events, document["rounds"], self.differ) if partly else None
        for block in self.qemu.blocks:
            if isinstance(block.bmap, PartlyKnown):
                block.bmap.hints = self._hints
        self.rounds = Rounds(document, self.qemu)
        self._counters = KvmCounters(document, self.qemu, self.differ)
        self._starter = Starter(self.guest, self.events)
        self._threads = PlaybackThreads(self.qemu, self.events, self._starter, self._bitmaps, self.differ)
        self._migrations = {each.at: each for each in migrations_of(self.events, document["config"])}
        self._timing: RecordedTiming | None = None
        self._index = 0
        self._completed = False
        self._syncing, self._merged = "", False
        self._rings, self._tracking = Rings(), Tracking(self.qemu)
        self._period, self._throttle = Period(), ThrottleSteps(document["config"])
        self._config = document["config"]
        self._starter.throttles = "auto-converge" in self._config.get("caps", ())
        limit = document["config"].get("dl")
        self._downtime_limits: tuple[int, ...] = (limit if type(limit) is int else compared.DEFAULT_DOWNTIME_MS,)

    def run(self) -> bool:
        """Play every event; the differences are in `differences` afterwards.

        Returns:
            Whether the model made the recording's calls to the end.
        """
        handlers = {
            "QMP": self._qmp,
            "EVENT": self._status,
            "TRACE": self._trace,
            "SET_MEM": self._set_mem,
            "GET": self._get,
            "CLEAR": self._clear,
            "CHUNK": self._chunk,
            "SEND": self._send,
            "BW_UPDATE": self._bandwidth,
            "RESET_RINGS": self._reset_rings,
            "EXIT": self._exit,
            "ELIDED": self._elided,
            "QUERY_MIGRATE": self._query,
        }
        try:
            for index, event in enumerate(self.events):
                self._index = self._threads.index = index
                if self._hints is not None:
                    self._hints.index, self._hints.timing = self._index, self._timing
                if self._timing is not None and self._timing.merges_before(index):
                    self._merge()
                handler = handlers.get(event["op"])
                if handler is not None:
                    handler(event)
            self._threads.end()
        except Diverged:
            return False
        except StuckError:
            self.differ("call", self._threads.event_text(), "a loop in which nothing is sent")
            return False
        for field, expected, got, number in self.rounds.compared():
            self.differences.append(Difference(f"round {number}", field, expected, got))
        return True

    def differ(self, field: str, expected: object, got: object) -> None:
        """Note a difference at the current event."""
        if expected != got:
            op = self.events[self._index]["op"]
            self.differences.append(Difference(f"event {self._index} ({op})", field, expected, got))

    def _differ_in(self, found: compared.Found) -> None:
        for field, expected, got in found:
            self.differ(field, expected, got)

    # --- commands of the recording's driver -----------------------------------------------------------------------

    def _qmp(self, event: Event) -> None:
        command, arguments = event["cmd"], event.get("args") or {}
        if command == "migrate" and self._index in self._migrations:
            self._finish()
            self._timing = self._threads.timing = RecordedTiming(self.qemu, self._migrations[self._index], self.events)
            self._threads.begin(MIGRATION, lambda thread: migration_thread(self.qemu, thread))
            self._period, self._throttle = Period(), ThrottleSteps(self._config)
            self.rounds.migration_starts(listed=self._migrations[self._index].passes[0].listed)
        elif command == "calc-dirty-rate":
            self._starter.measuring = str(arguments.get("mode", ""))
        elif command in ("set-vcpu-dirty-limit", "cancel-vcpu-dirty-limit"):
            self._starter.limit_wanted = command.startswith("set")
        elif command == "migrate-set-parameters" and type(arguments.get("downtime-limit")) is int:
            self._downtime_limits = (arguments["downtime-limit"], self._downtime_limits[0])
        elif command == "cont":
            self._finish()
            self.qemu.running = True

    def _status(self, event: Event) -> None:
        data = event.get("data")
        if event["event"] == "MIGRATION" and "who" not in event and isinstance(data, dict):
            self._starter.cancelled |= data.get("status") in ("cancelling", "failed")
            self._completed |= data.get("status") == "completed"
        elif event["event"] == "RESET" and "who" not in event:
            acpi_build_update(self.qemu)

    def _finish(self) -> None:
        """Clean up after a completed migration, in the main thread; no call is made yet, as the guest is stopped."""
        if self._completed:
            self._completed = False
            for _ in ram_save_cleanup(self.qemu, Thread()):
                raise self._threads.diverge("no call", "a call of the clean-up")

    # --- calls ----------------------------------------------------------------------------------------------------

    def _set_mem(self, event: Event) -> None:
        self.differ("n", event["n"], len(event["l"]))
        mine = list[Row]()
        for row in event["l"]:
            thread, call = self._threads.expect(event["by"], SetMemslot, row)
            self._differ_in(self._tracking.compared())
            slot = call.slot
            got = [slot.address_space, slot.number, call.flags, slot.base_gfn, call.pages]
            self.differ("SET_MEM [as, slot, flags, base_gfn, pages]", row[:5], got)
            self._compare_locks(event, call)
            mine.append([*got, *self._counters.set_mem(row, call), *row[5 + DELTAS :]])
            thread.resume()
        self.answers.put(self._index, l=mine)

    def _compare_locks(self, event: Event, call: Call) -> None:
        self._differ_in(compared.locks(event, call))
        self.answers.locks(self._index, call)

    def _get(self, event: Event) -> None:
        rows, mine = list(event["l"]), list[Row]()
        for _ in range(event["n"]):
            thread, call = self._threads.expect(event["by"], GetDirtyLog)
            slot = call.slot
            row = rows.pop(0) if rows and rows[0][:2] == [slot.address_space, slot.number] else None
            bits = self._bits(slot, row)
            self._compare_locks(event, call)
            mine += [] if row is None else [[*row[:2], *bits_of(bits, row, 2)]]
            self.rounds.got(event, slot, bits)
            self._counters.got(slot, bits)
            thread.resume(bits)
        self.answers.put(self._index, l=mine)
        if rows:
            self.differ("GET [as, slot]", rows[0][:2], "no such call here")

    def _bits(self, slot: KvmSlot, row: Row | None) -> PageSet:
        """Return the bits that a GET reported."""
        if row is None:
            return self.qemu.page_set(slot.pages)
        runs = Runs(row[3], row[2])
        found = Pages(runs.known(slot.pages)) if self._bitmaps is None else self._bitmaps.got(slot, runs)
        self.differ("GET bits", row[2], found.count())
        return found

    def _clear(self, event: Event) -> None:
        rows, mine = list(event["l"]), list[Row]()
        for _ in range(event["n"]):
            thread, call = self._threads.expect(event["by"], ClearDirtyLog)
            slot = call.slot
            listed = rows and rows[0][:2] == [slot.address_space, slot.number]
            row = rows.pop(0) if listed else [slot.address_space, slot.number, call.first_page, call.num_pages, 0, None]
            self._differ_in(compared.clear(row, call))
            self._compare_locks(event, call)
            answer = [slot.address_space, slot.number, call.first_page, call.num_pages, *bits_of(call.bits, row, 4)]
            answer += [*self._counters.cleared(call, row), *row[6 + DELTAS :]]
            mine += [answer] if listed or answer[4] else []
            self.rounds.cleared(event, call, answer)
            thread.resume()
        self.answers.put(self._index, l=mine)
        if rows:
            self.differ("CLEAR [as, slot, first_page, num_pages]", rows[0][:4], "no such call here")

    def _chunk(self, event: Event) -> None:
        thread, call = self._threads.expect(MIGRATION_THREADS[0], ClearChunk)
        got = [call.block.name, call.first, call.pages, call.page]
        self.differ("CHUNK [RAM block, first, pages, page]", event["v"], got)
        self.answers.put(self._index, v=got)
        if self._hints is not None:
            self._hints.chunk_cleared(event)
        thread.resume()

    def _reset_rings(self, event: Event) -> None:
        thread, call = self._threads.expect(event["by"], ResetRings)
        self._compare_locks(event, call)
        self._differ_in(self._rings.reset(event, deletes=deletes_next(self.events, self._index)))
        self.rounds.reset(event)
        thread.resume()

    def _exit(self, event: Event) -> None:
        self._rings.left_guest(event)
        self.rounds.ring_full(event)

    # --- syncs and the stream -------------------------------------------------------------------------------------

    def _trace(self, event: Event) -> None:
        name, text = event["ev"], event["a"]
        if name == "migration_bitmap_sync_start":
            self._syncing = sync_thread(self.events, self._index) or MIGRATION_THREADS[0]
            thread, _ = self._threads.expect(self._syncing, SyncStart)
            self.rounds.sync_starts(running=self.qemu.running)
            thread.resume()
        elif name == "migration_bitmap_sync_end":
            if self._syncing == MAIN_THREAD and not self._merged:
                self._merge()
            thread, call = self._threads.expect(self._syncing, SyncEnd)
            self._differ_in(self._period.compared(text, call.period_pages))
            if reported_pages(text) is not None:
                self.answers.put(self._index, a=f"dirty_pages {self._period.reported}")
            self.rounds.sync_ends(None if reported_pages(text) is None else self._period.reported)
            thread.resume(reply=False)
            if not self._merged:
                self._pass_ends()
            self._merged = False
        elif name == "global_dirty_changed":
            self._differ_in(self._tracking.changed(text))
        else:
            self._differ_in(compared.pending(event, self.qemu))
            self.answers.put(self._index, a=compared.pending_text(event, self.qemu))
            self._differ_in(self._rings.traced(event))
            self._differ_in(self._throttle.traced(event))

    def _merge(self) -> None:
        """Merge the pages that the main thread's sync found, once the migration thread has sent those of the pass."""
        timing, thread = self._timing, self._threads.of(MIGRATION)
        if timing is None or thread is None or self._merged or self._syncing != MAIN_THREAD:
            return
        if timing.current.listed:
            thread.peek(lambda: timing.stream.taken >= timing.current.pages)
        self._threads.expect(MAIN_THREAD, SyncEnd)
        self._merged = True
        self._pass_ends()

    def _pass_ends(self) -> None:
        if self._timing is not None:
            self._timing.sync_ended()
        if self._hints is not None:
            self._hints.pass_begins()

    def _bandwidth(self, event: Event) -> None:
        if self._timing is not None:
            self._timing.note_event(event)
        self.rounds.bandwidth(event)
        self._differ_in(compared.bandwidth(event, self._downtime_limits))

    def _send(self, event: Event) -> None:
        self._bandwidth(event)
        self.rounds.sent(event)
        if event["by"] in MIGRATION_THREADS and pages_in(event):
            self._write(event, pages_in(event))
        elif event["by"].startswith(CHANNEL_THREADS):
            self._differ_in(compared.channel(event))
        elif event["by"] in MIGRATION_THREADS and self._timing is not None:
            self._differ_in(compared.section(event, self.qemu, self._timing.phase))

    def _write(self, event: Event, pages: int) -> None:
        timing, thread = self._timing, self._threads.of(MIGRATION)
        if timing is None or thread is None:
            raise self._threads.diverge("a migration", "none")
        call = thread.peek(lambda: timing.stream.waiting >= pages)
        written = timing.stream.write(pages)
        if written is None:
            got = f"{timing.stream.waiting} pages, then {compared.call_text(call)}"
            raise self._threads.diverge(f"{pages} pages sent", got)
        if event["op"] == "SEND":
            self._differ_in(compared.write_locks(event, written))
        if self._hints is not None:
            self._hints.wrote(event)
        elif event["op"] == "SEND" and timing.in_order:
            self._differ_in(compared.write(event, written))
            self.answers.written(self._index, written)

    def _elided(self, event: Event) -> None:
        """Play a stretch of which the recording has only the sums."""
        elided = Elided(event)
        while not elided.ended:
            thread = self._threads.thread(MIGRATION_THREADS[0])
            call = thread.peek()
            if not elided.add(call):
                break
            if isinstance(call, ClearDirtyLog):
                self.rounds.cleared(event, call, None)
                self._counters.cleared(call, None)
            thread.resume()
        self._differ_in(elided.compared())
        d4k, d2m = self._counters.elided(event)
        self.answers.put(self._index, **elided.sums, d4k=d4k, d2m=d2m)
        event = {**event, "d4k": d4k, "d2m": d2m}
        self._bandwidth(event)
        self.rounds.sent(event)
        if pages_in(event):
            self._write(event, pages_in(event))

    def _query(self, event: Event) -> None:
        ram = event["ram"]
        if self._timing is not None and "dirty-sync-count" in ram:
            self.differ("dirty-sync-count", ram["dirty-sync-count"], self.qemu.ram.sync_count)
        if self._timing is not None and event["status"] == "completed":
            self._drain()
            sent = self._timing.sent_pages
            self.differ("normal and duplicate", ram.get("normal", 0) + ram.get("duplicate", 0), sent)
            self.differ("remaining", ram.get("remaining"), self.qemu.ram.dirty_pages)
            self._counters.ended()

    def _drain(self) -> None:
        """Check that the migration thread makes no further call after the migration has completed."""
        thread, timing = self._threads.of(MIGRATION), self._timing
        if thread is None or timing is None:
            return
        call = thread.peek()
        if call is not None:
            raise self._threads.diverge("the end of the migration", compared.call_text(call))
        if timing.current.listed:
            self.differ("pages that no write shows", 0, timing.stream.waiting)
        if timing.early_sync is not None:
            left, threshold = timing.early_sync
            self.differ("a sync's threshold", threshold, f"{left} bytes left, which is not less")
