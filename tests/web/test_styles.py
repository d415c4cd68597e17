"""The style sheets, read as text: the browser would pass over a missing token in silence."""

import re
from pathlib import Path

import pytest

Palette = dict[str, str]
# The contrast that WCAG 2.2 asks of text (success criterion 1.4.3).
READABLE = 4.5


@pytest.fixture(scope="module")
def tokens(repository: Path) -> str:
    return (repository / "assets" / "tokens.css").read_text()


def palettes(tokens: str) -> list[Palette]:
    """The colours of each block: light, dark by the system's wish, dark by the theme attribute."""
    blocks = re.split(r":root[^{]*\{", tokens)[1:]
    colours = [dict(re.findall(r"(--[\w-]+): (#\w{6});", block)) for block in blocks]
    return [block for block in colours if block]


def test_both_dark_palettes_are_the_same(tokens: str) -> None:
    light, by_wish, by_theme = palettes(tokens)
    assert by_wish == by_theme
    assert light.keys() == by_wish.keys()
    assert light != by_wish


def own_assets(repository: Path) -> list[Path]:
    """All of the page of recorded pairs but Plotly's bundle."""
    found = (repository / "assets").iterdir()
    return [file for file in found if file.is_file() and not file.name.startswith("plotly-")]


def luminance(colour: str) -> float:
    def linear(part: float) -> float:
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_what_wcag_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("ink", ["--ink", "--ink-soft", "--accent"])
@pytest.mark.parametrize("surface", ["--surface", "--surface-raised"])
def test_text_is_readable_on_every_surface(tokens: str, ink: str, surface: str) -> None:
    for palette in palettes(tokens):
        assert contrast(palette[ink], palette[surface]) >= READABLE


def test_every_token_is_defined_and_used(repository: Path, tokens: str) -> None:
    others = [file.read_text() for file in own_assets(repository) if file.name != "tokens.css"]
    # What one rule, script or component sets for itself is no token.
    local = {"--thumb", "--done", "--between", "--number", "--kernel", "--faded-start", "--faded-end"}
    defined = set(re.findall(r"(--[\w-]+):", tokens)) | local
    used = {name for text in others for name in re.findall(r"var\((--[\w-]+)\)", text)}
    assert used <= defined
    assert {name for name in defined if not any(name in text for text in others)} == set()


def test_no_style_or_script_of_ours_names_another_host(repository: Path) -> None:
    for file in own_assets(repository):
        addresses = re.findall(r"https?://[^\s\"')]+", file.read_text())
        assert [address for address in addresses if address != "http://www.w3.org/2000/svg"] == [], file
