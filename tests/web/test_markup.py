"""The page as HTML text, and its scripts and styles as one file each."""

from pathlib import Path

import pytest
from dash import dcc, html
from flask import Flask

from mmuviz.components.attributes import attributes
from mmuviz.web import bundle, index_html
from mmuviz.web.markup import markup


def test_components_are_written_as_their_elements() -> None:
    tree = html.Div(
        [html.B("a < b"), 1, None, html.Img(alt='"', src="a.png"), html.Label("x", htmlFor="y")],
        className="c",
        hidden=True,
        **attributes(data_a="&"),
    )
    assert markup(tree) == (
        '<div class="c" hidden="" data-a="&amp;"><b>a &lt; b</b>1<img alt="&quot;" src="a.png">'
        '<label for="y">x</label></div>'
    )
    assert markup(html.P(hidden=False)) == "<p></p>"


def test_what_needs_a_renderer_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Graph is no element of dash\.html"):
        markup(html.Div(dcc.Graph()))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.js", "a.js", "a.css", "tokens.js", "failure.css"):
        (tmp_path / name).write_text(f"/* inside {name} */")
    monkeypatch.setattr(bundle, "assets_folder", lambda: tmp_path)
    monkeypatch.setattr(index_html, "assets_folder", lambda: tmp_path)
    return tmp_path


def test_a_bundle_holds_its_parts_in_order_and_the_page_begins_at_its_end(folder: Path) -> None:
    server = Flask("test", static_folder=None)
    bundle.register(server)
    text = server.test_client().get(bundle.address("js")).text
    assert text.index("inside a.js") < text.index("inside b.js") < text.index("mmuvizStage.begin();")
    assert "tokens" not in text
    assert server.test_client().get(bundle.address("css")).text.count("inside") == 1
    before = bundle.address("js")
    (folder / "c.js").write_text("/* inside c.js */")
    assert bundle.address("js") != before
    assert "inside c.js" in server.test_client().get(bundle.address("js")).text
