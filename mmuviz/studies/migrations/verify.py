"""`mmuviz verify` for recordings of QEMU's migrations."""

from __future__ import annotations

from typing import Any

from mmuviz.studies.migrations.difference import Difference
from mmuviz.studies.migrations.document import checked
from mmuviz.studies.migrations.playback import Playback


def verify_migration(document: dict[str, Any]) -> list[Difference]:
    """Play a recording of QEMU's migrations back through the loop and compare every call.

    Args:
        document: a document of schema qemu-migration/1.

    Returns:
        The differences; empty if the loop is exact.

    Raises:
        InputError: the document is malformed.
    """
    playback = Playback(checked(document))
    playback.run()
    return playback.differences
