"""`mmuviz replay` for recordings of QEMU's migrations."""

from __future__ import annotations

from typing import Any

from mmuviz.core.errors import InputError
from mmuviz.studies.migrations.document import checked
from mmuviz.studies.migrations.playback import Playback


def replayed_migration(document: dict[str, Any]) -> dict[str, Any]:
    """Play a recording of QEMU's migrations back, and replace its values by those of the model's loop.

    Args:
        document: a document of schema qemu-migration/1.

    Returns:
        The same document with the model's own `events` and `rounds`, in the recorded form.

    Raises:
        InputError: the document is malformed, or the loop makes another call than the recorded one.
    """
    playback = Playback(checked(document))
    if not playback.run():
        raise InputError(playback.differences[-1].line("cannot be replayed") + "; verify prints all differences")
    return {**document, "events": playback.answers.events(), "rounds": playback.rounds.recorded_form()}
