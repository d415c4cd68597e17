"""Floor 4: charts: a pair of recordings in, a Plotly figure out."""
