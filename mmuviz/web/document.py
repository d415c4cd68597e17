"""The HTML document around the app, and where the files beside it are."""

from pathlib import Path

import mmuviz

DESCRIPTION = "A simulated KVM MMU splits 1G, 2M and 4K pages under dirty logging, step by step."

BUNDLES = "plotly-*.min.js"

INDEX = f"""<!DOCTYPE html>
<html lang="en">
  <head>
    {{%metas%}}
    <meta name="description" content="{DESCRIPTION}">
    <meta name="color-scheme" content="light dark">
    <title>{{%title%}}</title>
    <link rel="icon" type="image/svg+xml" href="/assets/favicon.svg?v={mmuviz.__version__}">
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
