"""The HTML document around the page, and the location of its assets."""

from pathlib import Path
from urllib.parse import quote

import mmuviz

DESCRIPTION = "A simulated KVM MMU splits 1G, 2M and 4K pages under dirty logging, on one clock, policy beside policy."

THEME = "tokens.js"
"""The script that chooses the colours; it is in the head, so that nothing is painted before it has run."""
NOT_WITH_THE_REST = r"^(tokens\.js|failure\.css)$"
"""Assets that are not part of the page's one script and one style sheet."""

_INDEX = f"""<!DOCTYPE html>
<html lang="en">
  <head>
    {{%metas%}}
    <meta name="description" content="{DESCRIPTION}">
    <meta name="color-scheme" content="light dark">
    <title>{{%title%}}</title>
    <link rel="icon" type="image/svg+xml" href="{{%icon%}}">
    <script src="{{%theme%}}"></script>
    {{%css%}}
    <link rel="stylesheet" href="{{%style%}}">
  </head>
  <body>
    <noscript>MMUViz draws in the browser: please allow JavaScript for this page.</noscript>
    {{%tree%}}
    <script src="{{%script%}}"></script>
    <div hidden>{{%app_entry%}}</div>
    <footer hidden>
      {{%config%}}
      {{%scripts%}}
      {{%renderer%}}
    </footer>
  </body>
</html>
"""


def index(tree: str) -> str:
    """Write the document.

    Args:
        tree: the page, as HTML.

    Returns:
        HTML, with the places that Dash fills, and {%style%} and {%script%}.
    """
    return _INDEX.replace("{%icon%}", icon()).replace("{%theme%}", address(THEME)).replace("{%tree%}", tree)


def icon() -> str:
    """Return the tab's icon as a data URL: a browser would fetch a file again whenever the page's address changes."""
    return f"data:image/svg+xml,{quote((assets_folder() / 'favicon.svg').read_text())}"


def assets_folder() -> Path:
    """Find the style sheets and scripts.

    Returns:
        ``assets/stage`` of an installed package, or at the top of a checkout.

    Raises:
        FileNotFoundError: neither exists.
    """
    package = Path(mmuviz.__file__).resolve().parent
    for parent in (package, package.parent):
        folder = parent / "assets" / "stage"
        if (folder / "tokens.css").is_file():
            return folder
    raise FileNotFoundError(f"no assets beside {package}; they belong to the wheel and to a checkout: install again")


def address(name: str) -> str:
    """Address of an asset.

    Args:
        name: name of the file.

    Returns:
        Its address, with the time of its last change, so that a cached copy is never stale.
    """
    return f"/assets/{name}?m={(assets_folder() / name).stat().st_mtime}"
