"""MMUViz shows what a KVM MMU does to huge pages while dirty logging is on.

>>> import mmuviz
>>> recording = mmuviz.run(mmuviz.Scenario(memory=[{"size": "8 MiB"}]))
>>> recording.totals["accesses"]
6144

Each name is imported when it is first used, so that a command that needs no simulation starts without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmuviz.core.version import __version__ as __version__
from mmuviz.recording import drawing

if TYPE_CHECKING:
    from mmuviz.engine.choices.scenario import Focus, Scenario
    from mmuviz.engine.run import run
    from mmuviz.recording.file import load
    from mmuviz.recording.recording import Recording
    from mmuviz.studies.comparison import Comparison
    from mmuviz.studies.side_by_side import compare

__all__ = ["Comparison", "Focus", "Recording", "Scenario", "compare", "load", "run"]

_HOMES = {
    "Comparison": "mmuviz.studies.comparison",
    "Focus": "mmuviz.engine.choices.scenario",
    "Recording": "mmuviz.recording.recording",
    "Scenario": "mmuviz.engine.choices.scenario",
    "compare": "mmuviz.studies.side_by_side",
    "load": "mmuviz.recording.file",
    "run": "mmuviz.engine.run",
}


if not TYPE_CHECKING:  # a type checker reads the imports above

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'mmuviz' has no attribute {name!r}; it has {', '.join(_HOMES)}")
        found = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def _draw(recording: Any) -> Any:  # noqa: ANN401 - importing their types takes as long as using them
    """Draw a Recording. Plotly is imported when a figure is requested."""
    from mmuviz.figures.recording_figure import figure_of  # noqa: PLC0415  # Plotly takes long to import, and not every user draws

    return figure_of(recording)


drawing.register_drawer(_draw)
