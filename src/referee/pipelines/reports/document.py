"""A report as a document: sections of texts, tables and charts, with numbers as numbers.

It is built once; the page, the HTML file, the PDF, the workbook and the CSV files are made of nothing else. What it
looks like as JSON is the schema ``referee.report``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, TypeAlias

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.foundation.web.charts import Tone
from referee.foundation.web.formats import (
    format_count,
    format_duration,
    format_number,
    format_share,
    show_text,
)

__all__ = [
    "SCHEMA",
    "SCHEMA_VERSION",
    "Block",
    "Chart",
    "ChartRow",
    "Column",
    "Document",
    "Facts",
    "Format",
    "Section",
    "Table",
    "Text",
    "Value",
    "dump_document",
    "format_cell",
    "load_document",
    "make_table",
]

SCHEMA: Final = "referee.report"
SCHEMA_VERSION: Final = "1.0"

Format: TypeAlias = Literal["text", "count", "number", "share", "usd", "seconds", "p"]
"""How a value is written; ``share`` is 0–1 in the data, ``seconds`` are seconds."""
Value: TypeAlias = str | int | float | bool | None
"""None: not known, or nothing to know."""
BROAD_CHARS_COUNT: Final = 20
MAX_ROWS_COUNT: Final = 5_000
"""Of one table; what is cut is told in its note."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    key: str
    title: str
    format: Format = "text"
    unit: str = ""

    @property
    def is_number(self) -> bool:
        """Whether its cells are right-aligned."""
        return self.format != "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Numbers with their units, row by row."""

    table_id: str
    """Unique in the document; the name of its sheet and its CSV file."""
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    note: str = ""
    """What it rests on, such as how many of how many."""
    type: Literal["table"] = "table"

    def is_broad(self, place: int) -> bool:
        """Whether a column holds text that is broken over lines; a column of shorter text keeps its width."""
        texts = [row[place] for row in self.rows]
        return max((len(text) for text in texts if isinstance(text, str)), default=0) > BROAD_CHARS_COUNT


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartRow:
    """One bar, or one point in its interval."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    detail: str = ""
    tone: Tone = "series-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawing with a statement above it."""

    kind: Literal["bars", "intervals"]
    title: str
    unit: str
    format: Format
    rows: Sequence[ChartRow]
    type: Literal["chart"] = "chart"


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str
    tone: Literal["", "quiet", "warn", "code"] = ""
    """``code``: as it is, with its line breaks."""
    type: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with values."""

    rows: Sequence[tuple[str, str]]
    type: Literal["facts"] = "facts"


Block: TypeAlias = Text | Facts | Table | Chart


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part with a heading."""

    section_id: str
    title: str
    blocks: Sequence[Block]
    is_opinion: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole report."""

    report_id: str
    kind: str
    title: str
    made_at: str
    """Instant in UTC, ISO 8601."""
    summary: Sequence[str]
    sections: Sequence[Section]
    reproduction: dict[str, JsonValue] = field(default_factory=dict)
    """Everything that is needed to get the same numbers again."""
    schema: str = SCHEMA
    schema_version: str = SCHEMA_VERSION

    def list_tables(self) -> list[tuple[Section, Table]]:
        """Return every table with its section."""
        return [
            (section, block)
            for section in self.sections
            for block in section.blocks
            if isinstance(block, Table)
        ]


def dump_document(document: Document) -> dict[str, Any]:
    """Return a document as JSON."""
    return asdict(document)


_BLOCKS: Final[dict[str, type[Text] | type[Facts]]] = {"text": Text, "facts": Facts}


def load_document(data: dict[str, Any]) -> Document:
    """Return the document in a JSON of ours.

    Raises:
        InvalidInput: It has another schema.
    """
    if (data.get("schema"), data.get("schema_version")) != (SCHEMA, SCHEMA_VERSION):
        raise InvalidInput(
            "report.schema_unknown",
            f"The report has the schema {data.get('schema')!r} {data.get('schema_version')!r}, which is not known.",
            "Make it again with this Referee.",
        )
    sections = [
        Section(**{**section, "blocks": [_load_block(block) for block in section["blocks"]]})
        for section in data["sections"]
    ]
    return Document(**{**data, "sections": sections})


def _load_block(data: dict[str, Any]) -> Block:
    if data["type"] == "table":
        return Table(**{**data, "columns": [Column(**column) for column in data["columns"]]})
    if data["type"] == "chart":
        return Chart(**{**data, "rows": [ChartRow(**row) for row in data["rows"]]})
    return _BLOCKS[data["type"]](**data)


def format_cell(format: Format, value: Value) -> str:
    """Return a value as people read it; characters that hide or reorder others are named."""
    if value is None:
        return "unknown" if format != "text" else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return show_text(value)
    match format:
        case "share":
            return format_share(value)
        case "usd":
            return format_number(value, 4)
        case "seconds":
            return format_duration(value)
        case "p":
            return "<0.0001" if value < 0.0001 else format_number(value, 4)
        case "count":
            return format_count(int(value))
        case _:
            text = format_number(abs(value), 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 4)
            return f"−{text}" if value < 0 and text != "0" else text


def make_table(
    table_id: str,
    title: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Value]],
    note: str = "",
) -> Table:
    """Return a table of at most ``MAX_ROWS_COUNT`` rows; its note tells what was cut."""
    if len(rows) > MAX_ROWS_COUNT:
        note = f"{note} The first {MAX_ROWS_COUNT:,} of {len(rows):,} rows.".strip()
    return Table(table_id=table_id, title=title, columns=columns, rows=rows[:MAX_ROWS_COUNT], note=note)
