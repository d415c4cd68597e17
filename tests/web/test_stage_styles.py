"""The stage's colours: readable in both themes, each defined in both, each with one meaning."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.web.test_styles import READABLE, Palette, contrast

TEXT: Final = ("--ink", "--ink2", "--map", "--dirtyt", "--stall", "--run", "--ioctl")
"""Colours in which words and numbers are written."""
GRAPHICS: Final = ("--g2", "--g4", "--dirty", "--stall", "--runf", "--ioctl")
VISIBLE: Final = 3.0
"""The contrast that WCAG 2.2 asks of graphics (success criterion 1.4.11)."""
SHARED: Final = {("--dirty", "--dirtyt"), ("--run", "--runf"), ("--g1", "--hole"), ("--on", "--panel")}
"""Pairs of tokens that may be one colour: the same meaning in text and in a picture, and white."""
DARK_SHARED: Final = SHARED | {("--on", "--ground"), ("--map", "--focus")}


def palettes(repository: Path) -> dict[str, Palette]:
    """The colours of both themes."""
    text = (repository / "assets" / "stage" / "tokens.css").read_text()
    light, dark = re.split(r':root\[data-theme="dark"\]', text)
    return {name: dict(re.findall(r"(--\w+): (#\w{6});", part)) for name, part in (("light", light), ("dark", dark))}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("surface", ["--ground", "--panel"])
def test_text_and_graphics_stand_out(repository: Path, theme: str, surface: str) -> None:
    palette = palettes(repository)[theme]
    assert [name for name in TEXT if contrast(palette[name], palette[surface]) < READABLE] == []
    assert [name for name in GRAPHICS if contrast(palette[name], palette[surface]) < VISIBLE] == []


def test_both_themes_have_every_colour(repository: Path) -> None:
    light, dark = palettes(repository).values()
    assert light.keys() == dark.keys()


@pytest.mark.parametrize(("theme", "shared"), [("light", SHARED), ("dark", DARK_SHARED)])
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
    named = {f"--{word}" for text in others for word in re.findall(r"\b\w+\b", text)}
    assert defined <= used | named


def test_scripts_and_styles_load_nothing_from_elsewhere(repository: Path) -> None:
    """Links to the kernel's source are followed by people, never by the page."""
    for file in (repository / "assets" / "stage").iterdir():
        addresses = re.findall(r"https?://[^\s\"'`)]+", file.read_text())
        assert [each for each in addresses if not each.startswith("https://elixir.bootlin.com/")] == [], file
