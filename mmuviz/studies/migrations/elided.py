"""An ELIDED event: a stretch of cleared chunks and CLEARs of which a recording has only the sums."""

from __future__ import annotations

from mmuviz.engine.qemu.calls import Call, ClearChunk, ClearDirtyLog
from mmuviz.studies.migrations.compared import Found
from mmuviz.studies.migrations.plan import Event


class Elided:
    """The model's sums of an elided stretch.

    Args:
        event: the ELIDED event.
    """

    def __init__(self, event: Event) -> None:
        self._event = event
        self._sums = {"chunks": 0, "clears": 0, "bits": 0}
        self._samples = [list(each) for each in event["clear_args_as0"]]

    @property
    def ended(self) -> bool:
        """Whether the model has made as many calls as the recording counts in the stretch."""
        return all(self._sums[name] >= self._event[name] for name in ("chunks", "clears"))

    def add(self, call: Call | None) -> bool:
        """Count a call; return whether its kind belongs to a stretch."""
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
        """Number of chunks, CLEARs and bits."""
        return dict(self._sums)

    def compared(self) -> Found:
        """Compare the sums, and check that the model made the CLEARs that the recording has as samples."""
        for name, got in self._sums.items():
            yield name, self._event[name], got
        yield "clear_args_as0", self._samples[:1], []
