"""Real KVM's recordings, watched: the event log must explain every entry of the machine's tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmuviz.engine import replayed, tape
from mmuviz.engine.tables import tables_of
from mmuviz.ground.errors import InputError
from mmuviz.mmu import events, state
from mmuviz.mmu.answers import COUNTER_NAMES
from mmuviz.mmu.recordings import checked, read_document
from mmuviz.mmu.replay import replay_of
from mmuviz.recording import columns, fold, totals
from mmuviz.recording.columns import Recording

FOLDER = Path(__file__).parent.parent / "recordings"
# Every kind of scenario, mode, kernel and backing is in a slot of at most 64 MiB; larger ones repeat them.
MAX_PAGES = 16_384
# Every ninth of a group; kernels and ways to log come in tens, sevens, eights and fours, so that each is met.
EACH = 9


def documents() -> list[Path]:
    return sorted(FOLDER.glob("*.json.gz"))


def test_the_recording_s_words_are_the_machine_s() -> None:
    for name in ("PRESENT", "WRITABLE", "MMU_WRITABLE", "DIRTY", "TABLE"):
        assert getattr(columns, name) == getattr(state, name)
    for name in ("SPTE", "SPLIT", "FAULT", "FAST", "FAST_FIXED", "FAST_DECLINED"):
        assert getattr(columns, name) == getattr(events, name)
    assert tape.CPU_DIRTY_CODE == columns.CPU_DIRTY
    assert tape.CPU_DIRTY_CODE not in events.TRACEPOINT_NAMES
    for detail, name in enumerate(events.FAULT_KINDS):
        assert getattr(columns, name.upper()) == detail


class Checked(replayed._Watch):
    """Folds each op's rows as they come, and holds the map against the machine's own tables."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(checked(document))
        self.check_map = fold.empty_map(self.slot)
        self.checked_rows = 0

    def step(self, op: dict[str, Any]) -> None:
        super().step(op)
        recording = self.recording()
        stop = len(recording.runs.kind)
        fold.fold(self.check_map, recording, self.checked_rows, stop)
        self.checked_rows = stop
        machine = tables_of(self.machine.state, self.check_map)
        level, word = fold.leaves(self.check_map, self.slot)
        wanted_level, wanted_word = fold.leaves(machine, self.slot)
        wrong = np.flatnonzero((level != wanted_level) | (word != wanted_word))
        assert not len(wrong), (len(self.ops) - 1, op["op"], wrong[:8], word[wrong[:8]], wanted_word[wrong[:8]])


def small(path: Path) -> dict[str, Any] | None:
    document = read_document(path)
    return document if document["ops"][0]["pages"] <= MAX_PAGES else None


@pytest.mark.parametrize("letter", sorted({path.name[0] for path in documents()}))
def test_the_event_log_explains_every_page(letter: str) -> None:
    seen = 0
    for path in [path for path in documents() if path.name.startswith(letter)][::EACH]:
        document = small(path)
        if document is None:
            continue
        seen += 1
        watch = Checked(document)
        plain = replay_of(checked(document))
        for op in watch.replayable.ops:
            watch.step(op)
            after = plain.step(op)
            # Watching changes nothing, and the columns hold what the replay answers.
            if "counters" in after:
                assert {name: watch.after[-1][name] for name in COUNTER_NAMES} == after["counters"], path.name
            assert watch.ranges[-1].tolist() == after.get("dirty_ranges", []), path.name
        recording = watch.recording()
        check_places(recording)
    assert seen or letter == "H"


def check_places(recording: Recording) -> None:
    """Each step lies inside one access of its op, in order, and a fault names the page of its access."""
    accesses = totals.accesses_by_op(recording)
    for op in range(len(recording.ops)):
        rows = recording.runs_of_op(op)
        at = recording.runs.access[rows]
        assert (np.diff(at) >= 0).all()
        assert len(at) == 0 or 0 <= at[0] <= at[-1] < max(accesses[op], 1)
        touches = recording.touches_of_op(op)
        row = np.repeat(np.arange(len(touches.page)), touches.accesses)
        within = np.arange(len(row)) - np.repeat(np.cumsum(touches.accesses) - touches.accesses, touches.accesses)
        pages = touches.page[row] + touches.stride[row] * within
        told = np.isin(recording.runs.kind[rows], (columns.FAULT, columns.FAST, columns.CPU_DIRTY))
        assert (recording.runs.gfn[rows][told] - recording.slot.base_gfn == pages[at[told]]).all()


def test_several_slots_are_refused(repository: Path) -> None:
    document = read_document(repository / "mmuviz/data/recordings/A_2m_legacy_lazy__6.12.json.gz")
    slot = document["ops"][0]
    with pytest.raises(InputError, match="2 different slots"):
        replayed.record_replay({**document, "ops": [slot, {"op": "delslot"}, {**slot, "pages": 512}]})
    with pytest.raises(InputError, match="0 different slots"):
        replayed.record_replay({**document, "ops": []})


def test_the_same_document_gives_the_same_recording(repository: Path) -> None:
    document = read_document(repository / "mmuviz/data/recordings/A_2m_ring_lazy__6.12.json.gz")
    assert replayed.record_replay(document) == replayed.record_replay(document)
