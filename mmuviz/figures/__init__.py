"""Floor 4: a Recording in, a Plotly figure out."""
