"""What an op did where KVM's tracepoints say nothing: one sentence an op."""

from __future__ import annotations

from mmuviz.recording.columns import Op, Recording


def quiet(recording: Recording) -> list[str]:
    """Explain the ticks without an event.

    Args:
        recording: not changed.

    Returns:
        One sentence an op; {page} and {vcpu} are those of the access.
    """
    return [_sentence(recording, index, op) for index, op in enumerate(recording.ops)]


def _sentence(recording: Recording, index: int, op: Op) -> str:
    if op.kind in ("write", "parallel_write"):
        return "vCPU {vcpu} writes page {page}: the entry allows it, so nothing stops the guest and KVM does nothing."
    if op.kind == "read":
        return "vCPU {vcpu} reads page {page}: it is mapped, so nothing stops the guest."
    if op.kind in ("get", "ring_collect"):
        pages = int(recording.ranges_of_op(index).pages.sum())
        return _told(recording, op.kind, pages)
    return _other(recording, op)


def _told(recording: Recording, kind: str, pages: int) -> str:
    told = f"{pages:,} dirty page{'' if pages == 1 else 's'}"
    if kind == "ring_collect":
        return f"Userspace harvests the vCPUs' dirty rings: {told}. KVM does nothing; the pages stay writable."
    if recording.config.dirty_log_mode == "legacy":
        return f"KVM_GET_DIRTY_LOG tells userspace of {told}, and clears their bits; no entry had to be armed again."
    return f"KVM_GET_DIRTY_LOG copies the bitmap to userspace: {told}. Nothing is armed again until CLEAR."


def _other(recording: Recording, op: Op) -> str:
    mode = recording.config.dirty_log_mode
    if op.kind == "enable" and mode == "ring_initially_set":
        return (
            "Dirty logging is on, nothing is touched: INITIALLY_SET leaves that to CLEAR, which a ring does not have."
        )
    if op.kind == "enable" and mode.endswith("initially_set"):
        return (
            "Dirty logging is on and no entry changes: INITIALLY_SET reports every page as dirty and leaves all work "
            "to CLEAR."
        )
    value = "Y" if op.field("value") else "N"
    return {
        "slot": "KVM_SET_USER_MEMORY_REGION adds the slot; nothing is mapped before the guest touches it.",
        "delslot": "The slot is deleted; nothing of it was mapped.",
        "enable": "Dirty logging is on; no entry had to change.",
        "disable": "Dirty logging is off; no entry had to change.",
        "clear": "KVM_CLEAR_DIRTY_LOG finds nothing to arm: the bits were clear, the entries armed, or none there.",
        "ring_reset": "KVM_RESET_DIRTY_RINGS finds nothing to arm again.",
        "set_eager_page_split": f"eager_page_split={value}: read at the next enable or CLEAR; nothing changes now.",
        "dontneed": "The host drops these pages; no entry mapped them.",
        "hostwrite": "The host process writes to these pages itself: KVM does not log that.",
    }[op.kind]
