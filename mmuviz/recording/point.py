"""What a comparison shows, in one sentence made of its own counts."""

from __future__ import annotations

from mmuviz.recording.columns import Recording
from mmuviz.recording.labels import counted
from mmuviz.recording.pending import pages_never_told
from mmuviz.recording.totals import faults_by_logging, huge_zaps_in_faults, splits_by_place


def point(left: Recording, right: Recording) -> str:
    """Say what matters most of what the sides differ in: lost pages, then faults while the log is on, then after.

    Args:
        left: one side.
        right: the other.

    Returns:
        E.g. "While the log is on, vCPUs stop for 4,441 faults on the left and for none on the right."
    """
    lost = [pages_never_told(side) for side in (left, right)]
    if any(lost):
        return _lost(lost)
    logged, after = zip(*(faults_by_logging(side) for side in (left, right)), strict=True)
    broken = [_broken(left, "huge pages"), _broken(right, "them")]
    differ = broken[1] != _broken(left, "them")
    work = f"; on the left they {broken[0]}, on the right they {broken[1]}" if differ else ""
    if logged[0] != logged[1]:
        left_faults, right_faults = (counted(each, "fault") if each else "none" for each in logged)
        return f"While the log is on, vCPUs stop for {left_faults} on the left and {right_faults} on the right{work}."
    faults = counted(logged[0], "fault") if logged[0] else "no fault"
    both = f"While the log is on, vCPUs stop for {faults} on both sides"
    if work:
        return f"{both}{work}."
    if after[0] != after[1]:
        before, behind = counted(after[0], "fault"), f"{after[1]:,}"
        return f"Once the log is off again, vCPUs stop for {before} on the left, {behind} on the right."
    return f"{both}: here the choice makes no difference."


def _lost(lost: list[int]) -> str:
    if lost[0] == lost[1]:
        return f"Dirty logging loses {counted(lost[0], 'written page')} on both sides: nothing tells userspace of them."
    left, right = (counted(each, "written page") if each else "none" for each in lost)
    them = "it" if sum(lost) == 1 else "them"
    return f"Dirty logging loses {left} on the left and {right} on the right: nothing tells userspace of {them}."


def _broken(side: Recording, pages: str) -> str:
    """What faults do to huge pages, or that they are split before any fault."""
    places, zaps = splits_by_place(side), huge_zaps_in_faults(side)
    if zaps:
        return f"zap {counted(zaps, 'huge page')} whole"
    if "fault" in places:
        return f"split {counted(places['fault'], 'huge page')}"
    return f"find {pages} split" if places else "split nothing"
