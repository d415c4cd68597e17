"""The recordings of real KVM that come with the package."""

import gzip
import json
from importlib.resources import files

from mmuviz.components.recording_table import RecordingRow


def shipped_recordings() -> list[RecordingRow]:
    """Read what each shipped recording says of itself.

    Returns:
        One row a recording, by name and then kernel.
    """
    folder = files("mmuviz") / "data" / "recordings"
    rows = []
    for file in folder.iterdir():
        if file.name.endswith(".json.gz"):
            head = json.loads(gzip.decompress(file.read_bytes()))
            rows.append(RecordingRow(name=head["name"], kernel=head["kernel"], note=head["note"]))
    return sorted(rows)
