"""A stretch of chunks and CLEARs that a recording sums up."""

from __future__ import annotations

from mmuviz.engine.qemu.calls import Call, ClearChunk, ClearDirtyLog
from mmuviz.studies.migrations.compared import Found
from mmuviz.studies.migrations.plan import Event


class Elided:
    """The model's sums of such a stretch.

    Args:
        event: the recording's.
    """

    def __init__(self, event: Event) -> None:
        self._event = event
        self._sums = {"chunks": 0, "clears": 0, "bits": 0}
        self._samples = [list(each) for each in event["clear_args_as0"]]

    @property
    def ended(self) -> bool:
        """Whether the stretch has as many calls as the recording says."""
        return all(self._sums[name] >= self._event[name] for name in ("chunks", "clears"))

    def add(self, call: Call | None) -> bool:
        """Count the next call; whether it belongs to such a stretch."""
        if isinstance(call, ClearChunk):
            self._sums["chunks"] += 1
        elif isinstance(call, ClearDirtyLog):
            bits = call.bits.count()
            self._sums["clears"] += 1
            self._sums["bits"] += bits
            row = [call.slot.number, call.first_page, call.num_pages, bits]
            if self._samples and call.slot.address_space == 0 and row == self._samples[0]:
                self._samples.pop(0)
        else:
            return False
        return True

    @property
    def sums(self) -> dict[str, int]:
        """Chunks, CLEARs and bits."""
        return dict(self._sums)

    def compared(self) -> Found:
        """The sums, and CLEARs that the recording gives as samples and the model did not make."""
        for name, got in self._sums.items():
            yield name, self._event[name], got
        yield "clear_args_as0", self._samples[:1], []
