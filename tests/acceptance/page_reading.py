"""Reading a page as a person does: cards, chips, tables and the line under a list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from xml.etree.ElementTree import Element, SubElement

VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
)


class _TreeBuilder(HTMLParser):
    """Builds a tree of a well-formed HTML page."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Element("root")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = SubElement(self._open[-1], tag, {name: value or "" for name, value in attrs})
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        SubElement(self._open[-1], tag, {name: value or "" for name, value in attrs})

    def handle_endtag(self, tag: str) -> None:
        closed = self._open.pop()
        assert closed.tag == tag, f"</{tag}> closes <{closed.tag}>"

    def handle_data(self, data: str) -> None:
        parent = self._open[-1]
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + data
        else:
            parent.text = (parent.text or "") + data


def parse_page(html: str) -> Element:
    """Return the page as a tree; what is not closed in order fails."""
    builder = _TreeBuilder()
    builder.feed(html)
    builder.close()
    return builder.root


def text_of(element: Element) -> str:
    """Return all text in an element, white space joined."""
    return " ".join("".join(element.itertext()).split())


def find_class(root: Element, name: str) -> Iterator[Element]:
    """Yield the elements that have a class."""
    return (element for element in root.iter() if name in element.get("class", "").split())


def read_number(text: str) -> int:
    """Return the first number of a text, written with thousands separators or without."""
    match = re.search(r"\d[\d,\u202f\u00a0]*", text)
    assert match is not None, text
    return int(re.sub(r"\D", "", match.group()))


def read_cards(root: Element) -> dict[str, str]:
    """Return the number cards: label → value and detail."""
    return {
        text_of(next(find_class(card, "card-label"))): " ".join(
            text_of(part) for name in ("card-value", "card-detail") for part in find_class(card, name)
        )
        for card in find_class(root, "card")
    }


def read_chips(root: Element, facet: str) -> dict[str, int]:
    """Return the chips of a facet: what stands on each → its count."""
    group = next(element for element in find_class(root, "facet") if element.get("aria-label") == facet)
    chips = {}
    for chip in find_class(group, "chip"):
        count = next(find_class(chip, "chip-count"))
        chips[text_of(chip).removesuffix(text_of(count)).strip()] = read_number(text_of(count))
    return chips


def read_total(root: Element) -> int:
    """Return the N of "M of N findings" under a list."""
    pager = text_of(next(find_class(root, "pager")))
    match = re.search(r"of ([\d,\u202f\u00a0]+) findings", pager)
    assert match is not None, pager
    return read_number(match.group(1))
