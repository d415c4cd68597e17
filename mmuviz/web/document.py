"""The HTML document around the app, and where the files beside it are."""

import re
from pathlib import Path
from urllib.parse import quote

import mmuviz

DESCRIPTION = "A simulated KVM MMU splits 1G, 2M and 4K pages under dirty logging, step by step."

BUNDLES = "plotly-*.min.js"
NOT_WITH_THE_REST = r"^(plotly-|theme\.)"
"""Scripts of the assets that Dash must not load: one comes once the story is painted, one before anything is."""

_INDEX = f"""<!DOCTYPE html>
<html lang="en">
  <head>
    {{%metas%}}
    <meta name="description" content="{DESCRIPTION}">
    <meta name="color-scheme" content="light dark">
    <title>{{%title%}}</title>
    <link rel="icon" type="image/svg+xml" href="/assets/favicon.svg?v={mmuviz.__version__}">
    <script src="{{%theme%}}"></script>
    {{%css%}}
  </head>
  <body>
    <noscript>MMUViz draws in the browser: please allow JavaScript for this page.</noscript>
    {{%app_entry%}}
    <footer>
      {{%config%}}
      {{%scripts%}}
      {{%renderer%}}
    </footer>
  </body>
</html>
"""


def index() -> str:
    """Write the document around the app.

    Returns:
        HTML, with the places that Dash fills.
    """
    return _INDEX.replace("{%theme%}", theme_script())


def stage_index() -> str:
    """Write the document around the stage.

    Returns:
        HTML, with the places that Dash fills; the theme is set by the first script of the stage.
    """
    # Inside the document: a browser asks for another file anew whenever the address changes.
    icon = quote((assets_folder() / "favicon.svg").read_text())
    index = re.sub(r'href="/assets/favicon[^"]*"', f'href="data:image/svg+xml,{icon}"', _INDEX)
    return index.replace('    <script src="{%theme%}"></script>\n', "")


def assets_folder() -> Path:
    """Find the style sheets and scripts.

    Returns:
        ``mmuviz/assets`` in an installed package, ``assets`` at the top of a checkout.

    Raises:
        FileNotFoundError: when neither is there.
    """
    package = Path(mmuviz.__file__).resolve().parent
    for folder in (package / "assets", package.parent / "assets"):
        if (folder / "tokens.css").is_file():
            return folder
    raise FileNotFoundError(f"no assets beside {package}; they belong to the wheel and to a checkout: install again")


def theme_script() -> str:
    """Find the script that chooses the colours before anything is painted.

    Returns:
        Its address, with the time of its last change, so a copy never grows stale.
    """
    file = assets_folder() / "theme.js"
    return f"/assets/{file.name}?m={file.stat().st_mtime}"


def charts_script() -> str:
    """Find Plotly's bundle, which the page loads once its story is painted.

    Returns:
        Its address; the name carries its version, so a copy never grows stale.

    Raises:
        FileNotFoundError: when the assets hold none.
    """
    for file in assets_folder().glob(BUNDLES):
        return f"/assets/{file.name}"
    raise FileNotFoundError(f"no {BUNDLES} in {assets_folder()}; it belongs to the assets: install again")
