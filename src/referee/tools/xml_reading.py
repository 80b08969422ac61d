"""Reading XML that a hostile app may have shaped: no entities, no external anything, bounded size and depth."""

from __future__ import annotations

from typing import Final, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from referee.tools.contract import RawOutput
from referee.tools.reading import OutputUnreadable, describe_end, read_text, shorten

__all__ = ["read_xml"]

MAX_XML_BYTES: Final = 32 * 1024 * 1024
"""Most bytes parsed as one document: nmap writes about 10 KB per open port."""
MAX_ELEMENTS: Final = 200_000
MAX_DEPTH: Final = 100


class _Forbidden(Exception):
    """The document has what we do not read."""


class _Builder:
    """Builds elements from expat's events and stops at whatever is not plain XML."""

    def __init__(self) -> None:
        self._tree = TreeBuilder()
        self._depth = 0
        self._elements_count = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._start_doctype
        self._parser.EntityDeclHandler = self._refuse_entity
        self._parser.ExternalEntityRefHandler = self._refuse_reference
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._tree.data

    def parse(self, data: bytes) -> Element:
        self._parser.Parse(data, True)
        return self._tree.close()

    def _start_doctype(
        self, _name: str, system_id: str | None, public_id: str | None, has_internal_subset: bool
    ) -> None:
        if has_internal_subset or system_id or public_id:
            raise _Forbidden("it has a document type with declarations")

    def _refuse_entity(self, *_declaration: object) -> NoReturn:
        raise _Forbidden("it declares an entity")

    def _refuse_reference(self, *_reference: object) -> NoReturn:
        raise _Forbidden("it refers to something outside")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements_count += 1
        if self._depth > MAX_DEPTH:
            raise _Forbidden(f"it is nested more than {MAX_DEPTH} deep")
        if self._elements_count > MAX_ELEMENTS:
            raise _Forbidden(f"it has more than {MAX_ELEMENTS} elements")
        self._tree.start(name, attributes)

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._tree.end(name)


def read_xml(raw: RawOutput, name: str) -> Element:
    """Return the root of the one XML document that a stream holds.

    Raises:
        OutputUnreadable: The stream is absent, empty, cut, too large, not XML, or has entities.
    """
    data = read_text(raw, name).encode()
    if not data.strip():
        raise OutputUnreadable(f"{name} is empty. {describe_end(raw)}")
    if len(data) > MAX_XML_BYTES:
        raise OutputUnreadable(f"{name} has {len(data)} bytes, more than the {MAX_XML_BYTES} that are read.")
    try:
        return _Builder().parse(data)
    except _Forbidden as error:
        raise OutputUnreadable(f"{name} is not read: {error}.") from None
    except expat.ExpatError as error:
        message = shorten(str(error), limit=120)
        raise OutputUnreadable(f"{name} is not whole XML ({message}). {describe_end(raw)}") from None
