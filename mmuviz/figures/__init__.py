"""Floor 4: Plotly figures of a Recording."""
