"""Floor 4: Plotly figures of Recordings."""
