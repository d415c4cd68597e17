"""MMUViz shows what a KVM MMU does to huge pages while dirty logging is on."""

from typing import Any

from mmuviz.ground.version import __version__
from mmuviz.recording import drawing


def _draw(recording: Any) -> Any:  # noqa: ANN401 - importing their types takes as long as using them
    """Draw a Recording. Plotly is imported when somebody asks for a figure."""
    from mmuviz.figures.recording_figure import figure_of  # noqa: PLC0415

    return figure_of(recording)


drawing.register_drawer(_draw)
