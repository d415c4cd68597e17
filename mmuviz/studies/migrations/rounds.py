"""The table of rounds, summed up over the model's calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.qemu.calls import ClearDirtyLog
from mmuviz.engine.qemu.page_set import PageSet
from mmuviz.engine.qemu.state import KvmSlot, Qemu
from mmuviz.studies.migrations.plan import MIGRATION_THREADS, Event, pages_in

Round = dict[str, Any]
COMPARED = (
    "sync",
    "gets",
    "get_bits_as0",
    "get_bits_as1",
    "get_by",
    "vm_running",
    "clears",
    "clears_zero_bits",
    "clear_bits_as0",
    "clear_bits_as1",
    "clear_by",
    "clear_4k_delta",
    "clear_2m_delta",
    "resets",
    "reset_entries",
    "ring_full_exits",
    "sent_normal",
    "sent_zero",
    "bytes",
    "clear_before_first_send",
    "new_dirty_pages_period",
    "last_threshold_size",
)
ALWAYS = ("sync", "gets", "clears", "sent_normal")


class Rounds:
    """The sums of each round, which lasts from a sync's GETs to the next sync.

    Args:
        document: the recording.
        qemu: the QEMU that is played back.
    """

    def __init__(self, document: dict[str, Any], qemu: Qemu) -> None:
        self._recorded: list[Round] = document["rounds"]
        self._qemu = qemu
        self.made: list[Round] = []
        self._elided: set[int] = set()
        self._counters_unknown: set[int] = set()
        self._listed = True
        self._sent = {"normal": 0, "duplicate": 0}
        self._bounds: list[dict[str, tuple[int, int]]] = []

    def migration_starts(self, *, listed: bool) -> None:
        """Begin a migration: page counts restart at 0, while syncs are numbered through all migrations of a recording.

        Args:
            listed: whether the recording has the number of pages of each write.
        """
        self._listed = listed
        self._sent = {"normal": 0, "duplicate": 0}

    def sync_starts(self, *, running: bool) -> None:
        """Begin a round."""
        self._bounds.append({name: (count, count) for name, count in self._sent.items()} if self._listed else {})
        self.made.append({"sync": len(self.made) + 1, "gets": 0, "clears": 0, "sent_normal": 0, "vm_running": running})

    def sync_ends(self, period_pages: int | None) -> None:
        """Add the pages that the sync found in this period of the dirty rate."""
        self._add("new_dirty_pages_period", period_pages or 0)
        ram = self._qemu.ram
        self._bounds[-1] |= {"dirty-sync-count": (ram.sync_count, ram.sync_count)}
        self._bounds[-1] |= {"remaining": (0, ram.left_at_sync * PAGE_BYTES)}

    def _add(self, name: str, value: int) -> None:
        if self.made:
            self.made[-1][name] = self.made[-1].get(name, 0) + value

    def _set(self, name: str, value: object) -> None:
        if self.made:
            self.made[-1][name] = value

    def got(self, event: Event, slot: KvmSlot, bits: PageSet) -> None:
        """Add a GET."""
        self._add("gets", 1)
        self._add(f"get_bits_as{slot.address_space}", bits.count())
        self._set("get_by", _by(event))

    def cleared(self, event: Event, call: ClearDirtyLog, row: list[Any] | None) -> None:
        """Add a CLEAR; the recording has no counters around CLEARs of no bits."""
        bits = call.bits.count()
        self._add("clears", 1)
        self._add("clears_zero_bits", int(bits == 0))
        self._add(f"clear_bits_as{call.slot.address_space}", bits)
        if row is None:
            self._elided.add(len(self.made))
        else:
            self._set("clear_by", _by(event))
            if len(row) > 6:
                self._add("clear_4k_delta", row[6])
                self._add("clear_2m_delta", row[7])
            else:
                self._counters_unknown.add(len(self.made))
        if self.made and not any(self.made[-1].get(name) for name in ("sent_normal", "sent_zero")):
            self._set("clear_before_first_send", value=True)

    def reset(self, event: Event) -> None:
        """Add a ring reset."""
        self._add("resets", 1)
        self._add("reset_entries", event["ret"])

    def ring_full(self, event: Event) -> None:
        """Add an exit of a vCPU whose ring is full."""
        self._add("ring_full_exits", int(event["exit_reason"] == "DIRTY_RING_FULL"))

    def sent(self, event: Event) -> None:
        """Add a SEND or ELIDED event."""
        if event["op"] == "ELIDED":
            self._elided.add(len(self.made))
            self._add("clear_4k_delta", event["d4k"])
            self._add("clear_2m_delta", event["d2m"])
            self._add("sent_normal", event["sent_normal"])
            self._add("sent_zero", event["sent_zero"])
        else:
            self._add("bytes", event["bytes"])
        if event["op"] == "SEND" and event["by"] in MIGRATION_THREADS and pages_in(event):
            self._add("sent_normal", event["normal"])
            self._add("sent_zero", event["zero"])
        self._count("normal", event["sent_normal" if event["op"] == "ELIDED" else "normal"])
        self._count("duplicate", event["sent_zero" if event["op"] == "ELIDED" else "zero"])

    def _count(self, name: str, pages: int) -> None:
        """Add to the pages sent so far, as query-migrate counts them."""
        self._sent[name] += pages
        if self._bounds and name in self._bounds[-1]:
            self._bounds[-1][name] = (self._bounds[-1][name][0], self._sent[name])

    def bandwidth(self, event: Event) -> None:
        """Note the threshold of a bandwidth update."""
        value = event["v"] if event["op"] == "BW_UPDATE" else event.get("bw_last")
        if isinstance(value, list) and len(value) == 4:
            self._set("last_threshold_size", value[3])

    def recorded_form(self) -> list[Round]:
        """Return the model's sums in the form of a recording: without zeros, except the counts in ALWAYS."""
        found = list[Round]()
        for number, made in enumerate(self.made, 1):
            recorded = self._recorded[number - 1] if number <= len(self._recorded) else {}
            unknown = {name for name in COMPARED if name in recorded and not self._known(number, name)}
            mine = {name: made[name] for name in COMPARED if made.get(name) or name in ALWAYS}
            rest = {name: value for name, value in recorded.items() if name not in COMPARED or name in unknown}
            found.append({name: value for name, value in mine.items() if self._known(number, name)} | rest)
        return found if self._recorded else []

    def _known(self, number: int, name: str) -> bool:
        """Whether the recording has all parts of a sum."""
        if number in self._elided and name in ("last_threshold_size", "bytes"):
            return False
        return number not in self._counters_unknown or name not in ("clear_4k_delta", "clear_2m_delta")

    def compared(self) -> Iterator[tuple[str, object, object, int]]:
        """Compare the rounds; yield differences as (field, recorded value, value of the model, number of the round)."""
        if not self._recorded:
            return
        if len(self._recorded) != len(self.made):
            yield "number of syncs", len(self._recorded), len(self.made), len(self.made)
        for number, (recorded, made) in enumerate(zip(self._recorded, self.made, strict=False), 1):
            for name in COMPARED:
                wanted, got = recorded.get(name, 0), made.get(name, 0)
                if wanted != got and self._known(number, name):
                    yield name, wanted, got, number
            for name, wanted, got in _queried(recorded.get("query"), self._bounds[number - 1]):
                yield name, wanted, got, number


def _queried(query: object, bounds: dict[str, tuple[int, int]]) -> Iterator[tuple[str, object, object]]:
    """Check a query-migrate sent during a round: its counts must be between those at the round's begin and end."""
    if not isinstance(query, dict):
        return
    for name, bound in bounds.items():
        found, (least, most) = query.get(name), bound
        if query.get("status") == "completed":
            least, most = (0, 0) if name == "remaining" else (most, most)
        whole = type(found) is int and (name != "remaining" or found % PAGE_BYTES == 0)
        if found is not None and not (whole and least <= found <= most):
            yield f"query.{name}", found, str(least) if least == most else f"{least} to {most}"


def _by(event: Event) -> list[Any]:
    return [event["by"], "BQL" if event["bql"] else "no BQL", event["locks"]]
