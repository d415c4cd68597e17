from pathlib import Path

from mmuviz.web.shipped import shipped_recordings


def test_every_shipped_file_has_a_row_and_every_row_its_file(repository: Path) -> None:
    files = {file.name for file in (repository / "mmuviz" / "data" / "recordings").glob("*.json.gz")}
    assert len(files) >= 3
    rows = shipped_recordings()
    assert len(rows) == len(files)
    for row in rows:
        release = ".".join(row.kernel.split(".")[:2])
        assert any(name.startswith(f"{row.name}__{release}") for name in files), row
        assert row.note


def test_the_folder_tells_where_they_come_from(repository: Path) -> None:
    assert "unmodified Debian kernels" in (repository / "mmuviz/data/recordings/README.md").read_text()
