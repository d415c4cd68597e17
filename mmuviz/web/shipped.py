"""The scenarios of the catalogue as the page needs them: each made once, when it is first asked for, and kept."""

from functools import cached_property
from threading import Lock
from typing import Any, Final, NamedTuple

from mmuviz.components.scenario_menu import ScenarioLink
from mmuviz.figures.both import both_figure
from mmuviz.figures.side import side_figures
from mmuviz.figures.timed import timed_figures
from mmuviz.recording.codec import content_hash
from mmuviz.recording.pair import Pair, encode_pair, split_pair
from mmuviz.recording.time_words import time_point
from mmuviz.recording.timeline import Timeline
from mmuviz.recording.timing import Timing
from mmuviz.studies.catalogue import CATALOGUE, DEFAULT, Entry, build, menu_title, timings

__all__ = ["DEFAULT", "Scenario", "Shelf"]

Figure = dict[str, Any]

FIELD: Final = "scenario"
"""Field of an address that names the scenario, of the page and of its bytes alike."""


class Made(NamedTuple):
    """What a scenario consists of once it was run.

    Attributes:
        pair: both recordings.
        timeline: the clock of both.
        data: the pair's bytes.
        header: what the bytes begin with: title, point, panes.
        digest: the hash of the bytes, 64 hex digits.
    """

    pair: Pair
    timeline: Timeline
    data: bytes
    header: dict[str, Any]
    digest: str


class Scenario:
    """One scenario; whoever asks first makes it, and all others who ask for the same one wait for that.

    Nothing here is a functools.cached_property: until Python 3.12 that holds one lock for all scenarios.
    """

    def __init__(self, entry: Entry) -> None:
        """Name it.

        Args:
            entry: one of the catalogue.
        """
        self.entry = entry
        self.name = entry.name
        self._lock = Lock()
        self._made: Made | None = None
        self._timings: tuple[Timing, Timing] | None = None
        self._figures: tuple[Figure, Figure, Figure] | None = None

    @property
    def made(self) -> Made:
        """All of it."""
        with self._lock:
            if self._made is None:
                pair = build(self.entry)
                data = encode_pair(pair)
                self._made = Made(pair, pair.timeline, data, split_pair(data)[0], content_hash(data))
            return self._made

    @property
    def is_made(self) -> bool:
        """Whether it was run; asking makes nothing and waits for nothing."""
        return self._made is not None

    @property
    def timings(self) -> tuple[Timing, Timing] | None:
        """What both sides cost in simulated time; None for recordings of real KVM."""
        with self._lock:
            if self._timings is None:
                self._timings = timings(self.entry)
            return self._timings

    @property
    def point(self) -> str:
        """One sentence that says what there is to see."""
        took = self.timings
        return time_point(self.made.pair, took) if took else str(self.made.header["point"])

    @property
    def figures(self) -> tuple[Figure, Figure, Figure]:
        """Charts of the left side, the right side and both, as Plotly's JSON."""
        pair, took = self.made.pair, self.timings
        with self._lock:
            if self._figures is None:
                drawn = timed_figures(pair, took) if took else (*side_figures(pair), both_figure(pair))
                left, right, both = (figure.to_plotly_json() for figure in drawn)
                self._figures = left, right, both
            return self._figures

    @property
    def address(self) -> str:
        """Where the browser fetches the bytes: it names their content, and what a worker has to make for it."""
        return f"/recording/{self.made.digest}.bin?{FIELD}={self.name}"

    @property
    def link(self) -> ScenarioLink:
        """Its place in the menu, read without a run."""
        return ScenarioLink(self.name, self.entry.group, menu_title(self.entry))


class Shelf:
    """All scenarios, by name and by content; one shelf an app."""

    def __init__(self) -> None:
        """Take what the catalogue lists; nothing is made yet."""
        self.scenarios = {entry.name: Scenario(entry) for entry in CATALOGUE}

    @cached_property
    def links(self) -> list[ScenarioLink]:
        """Every scenario in the order of the catalogue."""
        return [scenario.link for scenario in self.scenarios.values()]

    def prepare(self) -> None:
        """Make the menu and all of the default scenario, so that no visitor waits for them."""
        _ = self.links, self.scenarios[DEFAULT].figures

    def bytes_of(self, name: str, digest: str) -> bytes | None:
        """The bytes of a scenario, or None where there are none of that content.

        Args:
            name: of a scenario; any text is taken.
            digest: their hash, from an address; any text is taken.

        Returns:
            The bytes, the same in every worker: whichever is asked makes what it has not yet.
        """
        scenario = self.scenarios.get(name)
        if scenario is not None and scenario.made.digest == digest:
            return scenario.made.data
        # An address without a name, or with another one: it may still be among what is made.
        made = (each.made for each in self.scenarios.values() if each.is_made)
        return next((each.data for each in made if each.digest == digest), None)
