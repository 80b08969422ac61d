"""Rules that hold for the templates and stylesheets of every room."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

import referee

SOURCE = Path(referee.__file__).parent
STATIC = SOURCE / "foundation" / "web" / "static"
TEMPLATES = sorted(SOURCE.glob("**/templates/**/*.html"))
STYLESHEETS = sorted(path for path in SOURCE.glob("**/static/**/*.css") if path.name != "tokens.css")
PAGES = [path for path in TEMPLATES if "components" not in path.parts and path.name != "layout.html"]
COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}\b|\b(?:rgb|rgba|hsl|hsla|oklch|lab|color-mix|light-dark)\(")
COLOUR_WORDS = re.compile(r":[^;{]*\b(?:white|black|red|green|blue|orange|yellow|purple|gr[ae]y|silver)\b")
HAIRLINES_PX = {0, 1, 2}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def find_base(path: Path) -> Path:
    """Return the template that a template extends in the end: the layout, for a page, or itself."""
    parents = re.findall(r'\{% extends "([^"]+)" %\}', path.read_text())
    if not parents:
        return path
    (parent,) = parents
    room, _, name = parent.rpartition("/")
    (found,) = SOURCE.glob(f"**/{room}/templates/{name}" if room else f"foundation/web/templates/{name}")
    return find_base(found)


def without_comments(css: str) -> str:
    return re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_a_template_has_no_inline_script_or_style(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"<style\b|\sstyle\s*=|\son[a-z]+\s*=|\bhx-on\b|javascript:|\bjs:", text) == []
    assert [tag for tag in re.findall(r"<script\b[^>]*>", text) if "src=" not in tag] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_a_template_names_no_colour_and_loads_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"(?:fill|stroke|color|bgcolor)=\"(?!none|currentColor)", text) == []
    assert re.findall(r"(?:src|href)=\"(?:https?:)?//", text) == []
    assert "|safe" not in text.replace(" ", "")


@pytest.mark.parametrize("path", STYLESHEETS, ids=name_of)
def test_a_stylesheet_names_no_colour(path: Path) -> None:
    css = without_comments(path.read_text())
    assert COLOUR.findall(re.sub(r"#[a-z][a-z-]+\b(?=[^;]*\{|\))", "", css)) == []
    assert COLOUR_WORDS.findall(css) == []


@pytest.mark.parametrize("path", STYLESHEETS, ids=name_of)
def test_sizes_stay_on_the_four_pixel_grid(path: Path) -> None:
    sizes = {
        float(size)
        for size in re.findall(r"(?<![\w.-])(\d+(?:\.\d+)?)px", without_comments(path.read_text()))
    }
    assert {size for size in sizes if size not in HAIRLINES_PX and size % 4} == set()


@pytest.mark.parametrize("path", STYLESHEETS, ids=name_of)
def test_type_comes_from_the_tokens(path: Path) -> None:
    css = without_comments(path.read_text())
    assert re.findall(r"font-size\s*:|font-family\s*:|font-weight\s*:(?!\s*var\()", css) == []
    assert [
        value for value in re.findall(r"font:\s*([^;]+);", css) if not re.match(r"var\(|inherit", value)
    ] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_every_class_of_a_template_is_drawn_by_a_stylesheet(path: Path) -> None:
    css = "".join(sheet.read_text() for sheet in SOURCE.glob("**/static/**/*.css"))
    known = set(re.findall(r"\.([A-Za-z][\w-]*)", css)) | {"htmx-request"}
    literal = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", " ", path.read_text(), flags=re.DOTALL)
    used = {name for names in re.findall(r'\sclass="([^"]*)"', literal) for name in names.split()}
    assert {name for name in used if name not in known and not name.endswith("-")} == set()


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_template_is_a_page_of_the_layout_or_a_set_of_macros(path: Path) -> None:
    base = find_base(path)
    assert base.name == "layout.html" or "{% macro" in base.read_text()


def test_every_token_that_is_used_exists() -> None:
    defined = set(re.findall(r"(--[\w-]+)\s*:", (STATIC / "tokens.css").read_text()))
    for path in STYLESHEETS:
        css = path.read_text()
        own = set(re.findall(r"(--[\w-]+)\s*:", css))
        assert set(re.findall(r"var\((--[\w-]+)", css)) - defined - own == set()


def test_our_own_script_stays_small() -> None:
    assert len((STATIC / "app.js").read_text().splitlines()) <= 700


def read_colours() -> dict[str, tuple[str, str]]:
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", (STATIC / "tokens.css").read_text())
    return {name: (light, dark) for name, light, dark in pairs}


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours.

    Source:
        WCAG 2.2, definitions of contrast ratio and relative luminance.
    """
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


TEXT_COLOURS = (
    *("text", "text-second", "text-third", "accent", "ok", "warn", "bad"),
    *("critical", "high", "medium", "low", "info", "code-keyword", "code-string", "code-number", "code-name"),
)
MARK_COLOURS = ("line", *(f"series-{number}" for number in range(1, 9)))


@pytest.mark.parametrize(("name", "ground"), list(product(TEXT_COLOURS, ("bg", "surface"))))
def test_text_has_enough_contrast_in_both_themes(name: str, ground: str) -> None:
    colours = read_colours()
    pairs = zip(colours[name], colours[ground], strict=True)
    assert min(contrast(text, behind) for text, behind in pairs) >= 4.5


@pytest.mark.parametrize(("name", "ground"), list(product(MARK_COLOURS, ("bg", "surface"))))
def test_marks_have_enough_contrast_in_both_themes(name: str, ground: str) -> None:
    colours = read_colours()
    pairs = zip(colours[name], colours[ground], strict=True)
    assert min(contrast(mark, behind) for mark, behind in pairs) >= 3
