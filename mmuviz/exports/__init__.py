"""Floor 4: Recordings as text, CSV, Parquet and traces."""
