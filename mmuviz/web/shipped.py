"""The scenarios of the catalogue as the page needs them: each made once, when it is first asked for, and kept."""

from functools import cached_property
from threading import Lock
from typing import Any, Final

from mmuviz.components.scenario_menu import ScenarioLink
from mmuviz.figures.both import both_figure
from mmuviz.figures.side import side_figures
from mmuviz.recording.codec import content_hash
from mmuviz.recording.pair import Pair, encode_pair, split_pair
from mmuviz.recording.timeline import Timeline
from mmuviz.studies.catalogue import CATALOGUE, DEFAULT, Entry, build, menu_title

__all__ = ["DEFAULT", "Scenario", "Shelf"]

Figure = dict[str, Any]

FIELD: Final = "scenario"
"""Field of an address that names the scenario, of the page and of its bytes alike."""


class Scenario:
    """One scenario; whoever asks first makes it, and all others who ask for the same one wait for that."""

    def __init__(self, entry: Entry) -> None:
        """Name it.

        Args:
            entry: one of the catalogue.
        """
        self.entry = entry
        self.name = entry.name
        self._lock = Lock()

    @property
    def pair(self) -> Pair:
        """Both recordings."""
        with self._lock:
            return self._pair

    @property
    def timeline(self) -> Timeline:
        """The clock of both."""
        with self._lock:
            return self._timeline

    @property
    def data(self) -> bytes:
        """The pair's bytes."""
        with self._lock:
            return self._data

    @property
    def header(self) -> dict[str, Any]:
        """What the bytes begin with: title, point, panes."""
        with self._lock:
            return self._header

    @property
    def figures(self) -> tuple[Figure, Figure, Figure]:
        """Charts of the left side, the right side and both, as Plotly's JSON."""
        with self._lock:
            return self._figures

    @property
    def address(self) -> str:
        """Where the browser fetches the bytes: it names their content, and what a worker has to make for it."""
        return f"/recording/{self.hash}.bin?{FIELD}={self.name}"

    @property
    def hash(self) -> str:
        """The name of the bytes, 64 hex digits."""
        with self._lock:
            return self._hash

    @property
    def made(self) -> bool:
        """Whether the bytes are there already; asking makes nothing and waits for nothing."""
        return "_hash" in self.__dict__

    @cached_property
    def link(self) -> ScenarioLink:
        """Its place in the menu, read without a replay."""
        return ScenarioLink(self.name, self.entry.group, menu_title(self.entry))

    # These run under the lock alone.
    @cached_property
    def _pair(self) -> Pair:
        return build(self.entry)

    @cached_property
    def _timeline(self) -> Timeline:
        return self._pair.timeline

    @cached_property
    def _data(self) -> bytes:
        return encode_pair(self._pair)

    @cached_property
    def _figures(self) -> tuple[Figure, Figure, Figure]:
        left, right = side_figures(self._pair)
        return left.to_plotly_json(), right.to_plotly_json(), both_figure(self._pair).to_plotly_json()

    @cached_property
    def _header(self) -> dict[str, Any]:
        return split_pair(self._data)[0]

    @cached_property
    def _hash(self) -> str:
        return content_hash(self._data)


class Shelf:
    """All scenarios, by name and by content; one shelf an app."""

    def __init__(self) -> None:
        """Take what the catalogue lists; nothing is made yet."""
        self.scenarios = {entry.name: Scenario(entry) for entry in CATALOGUE}

    @cached_property
    def links(self) -> list[ScenarioLink]:
        """Every scenario in the order of the catalogue."""
        return [scenario.link for scenario in self.scenarios.values()]

    def bytes_of(self, name: str, digest: str) -> bytes | None:
        """The bytes of a scenario, or None where there are none of that content.

        Args:
            name: of a scenario; any text is taken.
            digest: their hash, from an address; any text is taken.

        Returns:
            The bytes, the same in every worker: whichever is asked makes what it has not yet.
        """
        scenario = self.scenarios.get(name)
        if scenario is not None and scenario.hash == digest:
            return scenario.data
        # An address without a name, or with another one: it may still be among what is made.
        return next((each.data for each in self.scenarios.values() if each.made and each.hash == digest), None)
