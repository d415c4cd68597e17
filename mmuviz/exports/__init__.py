"""Floor 4: exports of Recordings as text, CSV, Parquet and traces."""
