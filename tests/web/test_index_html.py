from pathlib import Path

import pytest

import mmuviz
from mmuviz.web import index_html


def test_a_checkout_serves_its_top_folder(repository: Path) -> None:
    assert index_html.assets_folder() == repository / "assets" / "stage"


def test_a_package_serves_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "mmuviz"
    for folder in (package / "assets" / "stage", tmp_path / "assets" / "stage"):
        folder.mkdir(parents=True)
        (folder / "tokens.css").touch()
    monkeypatch.setattr(mmuviz, "__file__", str(package / "__init__.py"))
    assert index_html.assets_folder() == package / "assets" / "stage"


def test_a_package_without_assets_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmuviz, "__file__", str(tmp_path / "mmuviz" / "__init__.py"))
    with pytest.raises(FileNotFoundError, match="install again"):
        index_html.assets_folder()
