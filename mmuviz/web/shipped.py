"""The scenarios that come with the package: recordings of real KVM, each replayed once and kept."""

from functools import cached_property
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from threading import Lock

from mmuviz.components.scenario_links import ScenarioLink
from mmuviz.engine.replayed import header_of_file, record_file
from mmuviz.recording.codec import content_hash, encode
from mmuviz.recording.columns import Recording
from mmuviz.recording.words import short_title

SUFFIX = ".json.gz"
DEFAULT = "A_2m_legacy_lazy__6.12"


class Scenario:
    """One scenario; whoever asks first makes its Recording, and all others wait for that."""

    def __init__(self, name: str) -> None:
        """Name it.

        Args:
            name: the file's name without its suffix.
        """
        self.name = name
        self._lock = Lock()

    @property
    def recording(self) -> Recording:
        """What happened."""
        with self._lock:
            return self._recording

    @property
    def data(self) -> bytes:
        """The Recording's bytes."""
        with self._lock:
            return self._data

    @property
    def address(self) -> str:
        """Where the browser fetches the bytes; it names their content."""
        return f"/recording/{content_hash(self.data)}.bin"

    @cached_property
    def title(self) -> str:
        """Backing, mode, policy and kernel, read without a replay."""
        with as_file(self._file) as path:
            return short_title(header_of_file(path))

    @property
    def _file(self) -> Traversable:
        return files("mmuviz") / "data" / "recordings" / f"{self.name}{SUFFIX}"

    # Both run under the lock alone.
    @cached_property
    def _recording(self) -> Recording:
        with as_file(self._file) as path:
            return record_file(path)

    @cached_property
    def _data(self) -> bytes:
        return encode(self._recording)


class Shelf:
    """All scenarios, by name and by content; one shelf an app."""

    def __init__(self) -> None:
        """Find what came with the package."""
        folder = files("mmuviz") / "data" / "recordings"
        names = sorted(file.name.removesuffix(SUFFIX) for file in folder.iterdir() if file.name.endswith(SUFFIX))
        self.scenarios = {name: Scenario(name) for name in names}

    @cached_property
    def links(self) -> list[ScenarioLink]:
        """Every scenario's name and title."""
        return [ScenarioLink(name, scenario.title) for name, scenario in self.scenarios.items()]

    def by_address(self, address: str) -> bytes | None:
        """The bytes that an address names, or None.

        Args:
            address: as `Scenario.address`.

        Returns:
            The bytes, the same in every worker: whichever is asked makes what it has not yet.
        """
        return next((scenario.data for scenario in self.scenarios.values() if scenario.address == address), None)
