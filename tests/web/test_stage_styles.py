"""The stage's colours in each theme: readable, all defined, one meaning each, and distinct for the colour-blind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pytest

Palette = dict[str, str]
READABLE: Final = 4.5
"""The contrast that WCAG 2.2 asks of text (success criterion 1.4.3)."""
THEMES: Final = ("light", "dark", "projector")
TEXT: Final = ("--ink", "--ink2", "--map", "--dirtyt", "--stall", "--run", "--ioctl", "--sent", "--resent")
"""Colours of texts and numbers."""
GRAPHICS: Final = ("--g2", "--g4", "--dirty", "--stall", "--runf", "--ioctl")
VISIBLE: Final = 3.0
"""The contrast that WCAG 2.2 asks of graphics (success criterion 1.4.11)."""
SHARED: Final = {("--dirty", "--dirtyt"), ("--run", "--runf"), ("--g1", "--hole"), ("--on", "--panel")}
"""Pairs of tokens that may be one colour: the same meaning in text and in a picture, and white."""
PROJECTOR_SHARED: Final = SHARED | {("--ground", "--panel"), ("--ground", "--on")}
DARK_SHARED: Final = SHARED | {("--on", "--ground"), ("--map", "--focus")}


COLOUR_BLINDNESS: Final = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
"""Matrices in linear RGB at full severity: Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009, table 1."""
BESIDE: Final = (
    ("--stall", "--ioctl"),
    ("--stall", "--slowf"),
    ("--runf", "--slowf"),
    ("--runf", "--ioctl"),
    ("--dirty", "--g2"),
    ("--dirty", "--g4"),
    ("--stall", "--g2"),
    ("--stall", "--g4"),
    ("--ioctl", "--slowf"),
    ("--sent", "--g2"),
    ("--sent", "--g4"),
    ("--sent", "--dirty"),
    ("--sent", "--resent"),
    ("--resent", "--g1"),
    ("--resent", "--g2"),
    ("--resent", "--g4"),
    ("--resent", "--dirty"),
)
"""Colours that touch: parts of a ribbon or lane, and what stands on the map; levels are distinguished by geometry.

Between a 1G page and what was sent of it lies a line of the ground."""
FOLLOWED: Final = (
    "https://elixir.bootlin.com/",
    "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/commit/",
    "http://www.w3.org/2000/svg",
)
"""Links to the kernel's source and its commits, and a namespace."""
APART: Final = 15.0
"""Difference in CIE 1976 L*a*b*; 2.3 is just noticeable."""


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


def lab(colour: str, blindness: str) -> npt.NDArray[np.float64]:
    """Convert a colour as somebody sees it to CIE L*a*b* under D65 (sRGB of IEC 61966-2-1), float64[3]."""
    srgb = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(COLOUR_BLINDNESS[blindness]) @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = to_xyz @ seen / np.array([0.9505, 1.0, 1.089])
    x, y, z = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("blindness", COLOUR_BLINDNESS)
def test_colours_side_by_side_are_distinct(repository: Path, theme: str, blindness: str) -> None:
    palette = palettes(repository)[theme]
    seen = {name: lab(colour, blindness) for name, colour in palette.items()}
    apart = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in BESIDE}
    assert {pair: round(far, 1) for pair, far in apart.items() if far < APART} == {}


def palettes(repository: Path) -> dict[str, Palette]:
    """The colours of each theme."""
    text = (repository / "assets" / "stage" / "tokens.css").read_text()
    light, *others = re.split(r':root\[data-theme="(\w+)"\]', text)
    parts = {"light": light, **dict(zip(others[::2], others[1::2], strict=True))}
    return {name: dict(re.findall(r"(--\w+): (#\w{6});", part)) for name, part in parts.items()}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("surface", ["--ground", "--panel"])
def test_text_and_graphics_stand_out(repository: Path, theme: str, surface: str) -> None:
    palette = palettes(repository)[theme]
    assert [name for name in TEXT if contrast(palette[name], palette[surface]) < READABLE] == []
    assert [name for name in GRAPHICS if contrast(palette[name], palette[surface]) < VISIBLE] == []


def test_every_theme_has_every_colour(repository: Path) -> None:
    found = palettes(repository)
    assert set(found) == set(THEMES)
    assert all(each.keys() == found["light"].keys() for each in found.values())


def test_a_projector_gets_more_contrast(repository: Path) -> None:
    """Each text and each fill stands out more than in the light theme, the paler ones at 2 : 1 at least."""
    light, projector = (palettes(repository)[name] for name in ("light", "projector"))
    for name in {*TEXT, *GRAPHICS, "--slowf", "--line", "--hair"}:
        assert contrast(projector[name], projector["--ground"]) > contrast(light[name], light["--ground"]), name
    assert contrast(projector["--slowf"], projector["--ground"]) >= 2


@pytest.mark.parametrize(
    ("theme", "shared"), [("light", SHARED), ("dark", DARK_SHARED), ("projector", PROJECTOR_SHARED)]
)
def test_a_colour_has_one_meaning(repository: Path, theme: str, shared: set[tuple[str, str]]) -> None:
    palette = palettes(repository)[theme]
    names = list(palette)
    same = {(one, other) for at, one in enumerate(names) for other in names[at + 1 :] if palette[one] == palette[other]}
    assert {tuple(sorted(pair)) for pair in same} <= {tuple(sorted(pair)) for pair in shared}


def test_every_token_is_defined_and_used(repository: Path) -> None:
    folder = repository / "assets" / "stage"
    tokens = (folder / "tokens.css").read_text()
    others = [file.read_text() for file in folder.iterdir() if file.name != "tokens.css"]
    defined = set(re.findall(r"(--[\w-]+):", tokens))
    used = {name for text in others for name in re.findall(r"var\((--[\w-]+)\)", text)}
    set_there = {name for text in others for name in re.findall(r"(--[\w-]+)(?=:|\")", text)}
    assert used <= defined | set_there
    named = {f"--{name}" for text in others for name in re.findall(r"\b\w+\b", text)}
    assert defined <= used | named


def test_scripts_and_styles_load_nothing_from_elsewhere(repository: Path) -> None:
    """Links to the kernel's source are followed by people, never by the page."""
    for file in (repository / "assets" / "stage").iterdir():
        addresses = re.findall(r"https?://[^\s\"'`)]+", file.read_text())
        assert [each for each in addresses if not each.startswith(FOLLOWED)] == [], file
