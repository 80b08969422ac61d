"""One document, and the files that are made of it: numbers stay numbers, foreign text stays text."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
import zlib
from datetime import UTC, datetime
from html.parser import HTMLParser
from uuid import UUID
from xml.etree import ElementTree

import pytest
from tests.pipelines.comparing.planted import make_cell, make_cells, make_run, plant

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.core.vocabulary import Outcome
from referee.pipelines.comparing.cells import CellSet
from referee.pipelines.reports.building import build_document
from referee.pipelines.reports.document import (
    Block,
    Chart,
    ChartRow,
    Column,
    Document,
    Section,
    Table,
    Text,
    dump_document,
    load_document,
)
from referee.pipelines.reports.drawing import draw_svg
from referee.pipelines.reports.html import render_html
from referee.pipelines.reports.sheets import render_csv, render_xlsx
from referee.pipelines.reports.states import ReportKind, ReportState
from referee.pipelines.reports.typesetting import render_pdf
from referee.pipelines.reports.views import Report

AT = datetime(2026, 1, 2, tzinfo=UTC)
HOSTILE = '<img src=x onerror=alert(1)>#pagebreak()*x*\u202e=cmd|"/c calc"!A1'


def make_report(kind: ReportKind = ReportKind.comprehensive, **parameters: JsonValue) -> Report:
    return Report(
        report_id=UUID(int=7), sequence=1, project_id=UUID(int=1), kind=kind, title="Spring", parameters=parameters,
        state=ReportState.running, reason="", files={}, job_id=None, created_at=AT, finished_at=None,
    )  # fmt: skip


def build(cells: CellSet, kind: ReportKind = ReportKind.comprehensive, **parameters: JsonValue) -> Document:
    return build_document(make_report(kind, **parameters), cells, definition="name: x\n", made_at=AT)


@pytest.fixture(scope="module")
def whole() -> Document:
    return build(plant(3, 4, 2, step=1.0))


@pytest.fixture(scope="module")
def hostile() -> Document:
    """A small document whose every text is as hostile as a name can be."""
    table = Table(
        table_id="t",
        title=HOSTILE,
        columns=[Column("a", HOSTILE), Column("b", "Number", "number", "x")],
        rows=[[HOSTILE, 1.5], ["=1+1", None], ["@x", -2.0]],
        note=HOSTILE,
    )
    chart = Chart(
        kind="intervals",
        title=HOSTILE,
        unit=HOSTILE,
        format="number",
        rows=[ChartRow(label=HOSTILE, value=1.0, low=-1.0, high=2.0, detail=HOSTILE)],
    )
    blocks: list[Block] = [Text(HOSTILE), Text(HOSTILE, "code"), chart, table]
    return Document(
        report_id="report_x", kind="comprehensive", title=HOSTILE, made_at="2026-01-02T00:00:00+00:00",
        summary=[HOSTILE], sections=[Section(section_id="s", title=HOSTILE, blocks=blocks)],
    )  # fmt: skip


class Addresses(HTMLParser):
    """What a page would fetch or lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    @classmethod
    def read(cls, text: str) -> list[str]:
        parser = cls()
        parser.feed(text)
        return parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {name}" for name, _ in attrs if name in {"href", "src", "action", "data"}]
        self.found += [f"{tag} {name}" for name, _ in attrs if name.startswith("on") or name == "style"]


def count_pages(pdf: bytes) -> int:
    """Return how many pages a PDF has; they may stand in compressed objects."""
    inner = b"".join(
        zlib.decompressobj().decompress(stream)
        for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL)
        if stream[:1] == b"x"
    )
    return len(re.findall(rb"/Type\s*/Page\b", pdf + inner))


def find_table(document: Document, table_id: str) -> Table:
    return next(table for _, table in document.list_tables() if table.table_id == table_id)


@pytest.mark.parametrize(
    ("kind", "parameters", "expected"),
    [
        (
            ReportKind.model_analysis,
            {"model": "model-1"},
            ["overview", "models", "apps", "repeats", "opinion", "reproduction"],
        ),
        (
            ReportKind.template_comparison,
            {},
            ["overview", "differences", "models", "templates", "screens", "reproduction"],
        ),
        (ReportKind.tool_analysis, {}, ["overview", "tools", "screens", "reproduction"]),
        (ReportKind.generation_analytics, {}, ["overview", "generation", "repeats", "reproduction"]),
    ],
)
def test_each_kind_has_its_parts(
    kind: ReportKind, parameters: dict[str, JsonValue], expected: list[str]
) -> None:
    document = build(plant(2, 2, 1), kind, **parameters)
    assert [section.section_id for section in document.sections] == expected


def test_document_goes_through_json_and_back(whole: Document) -> None:
    data = json.loads(json.dumps(dump_document(whole), allow_nan=False))
    assert (data["schema"], data["schema_version"]) == ("referee.report", "1.0")
    assert json.loads(json.dumps(dump_document(load_document(data)))) == data
    assert render_csv(load_document(data)) == render_csv(whole)
    with pytest.raises(InvalidInput, match="schema"):
        load_document(data | {"schema_version": "9"})


def test_document_says_what_is_needed_to_get_it_again(whole: Document) -> None:
    again = whole.reproduction
    cells = again["cells"]
    assert again["definition"] == "name: x\n"
    assert again["definition_sha256"] == "0" * 64
    assert again["seed"] == 1
    assert again["tool_versions"]["bandit"] == ["1.0"]  # type: ignore[index, call-overload]
    assert isinstance(cells, list)
    assert len(cells) == 24
    assert all(cell["source_digest"] for cell in cells if isinstance(cell, dict))


def test_holes_are_named_and_their_counts_are_unknown() -> None:
    failed = make_run("bandit", outcome=Outcome.failed)
    document = build(
        make_cells(
            make_cell("a", "t", make_run("bandit", {"high": 2})),
            make_cell("b", "t", failed, is_valid=False, reason="bandit is failed."),
        )
    )
    apps = find_table(document, "apps")
    column = [one.key for one in apps.columns].index("high")
    assert find_table(document, "holes").rows == [["b × t #1", "failed", "bandit is failed."]]
    assert [row[column] for row in apps.rows] == [2, None]
    assert document.summary[0].startswith("1 of 2 cells are valid")


def test_opinions_stand_under_that_word_alone(whole: Document) -> None:
    assert [section.section_id for section in whole.sections if section.is_opinion] == ["opinion"]
    words = json.dumps(
        [dump for dump in dump_document(whole)["sections"] if dump["section_id"] != "opinion"], default=str
    )
    assert "TOPSIS" not in words
    assert "everity score" not in words


@pytest.mark.parametrize(
    ("kind", "parameters", "code"),
    [
        (ReportKind.model_analysis, {}, "report.model_needed"),
        (ReportKind.model_analysis, {"model": "x"}, "report.model_unknown"),
        (ReportKind.comprehensive, {"template": "x"}, "report.template_unknown"),
        (ReportKind.comprehensive, {"baseline": "x"}, "report.baseline_unknown"),
    ],
)
def test_what_the_source_does_not_have_is_refused(
    kind: ReportKind, parameters: dict[str, JsonValue], code: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        build(plant(2, 2, 1), kind, **parameters)
    assert refusal.value.code == code


def test_report_of_one_template_has_only_its_cells() -> None:
    document = build(plant(2, 3, 2), template="template-1")
    assert len(find_table(document, "apps").rows) == 4
    assert "1 units" in document.summary[0]


def test_html_file_fetches_nothing_and_shows_foreign_text_as_text(hostile: Document) -> None:
    text = render_html(hostile).decode()
    assert "<h1>&lt;img src=x onerror=alert(1)&gt;" in text
    assert "<img" not in text
    assert "<script" not in text
    assert "\u202e" not in text
    assert "⟨U+202E⟩" in text
    assert Addresses.read(text) == []
    assert "url(" not in text
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    assert "light-dark(" in text


def test_csv_and_workbook_hold_numbers_and_no_formula(hostile: Document) -> None:
    with zipfile.ZipFile(io.BytesIO(render_csv(hostile))) as archive:
        rows = list(csv.reader(io.StringIO(archive.read("t.csv").decode())))
    with zipfile.ZipFile(io.BytesIO(render_xlsx(hostile))) as archive:
        sheet = archive.read("xl/worksheets/sheet2.xml").decode()
        strings = archive.read("xl/sharedStrings.xml").decode()
    assert [row[1] for row in rows[1:]] == ["1.5", "", "-2.0"]
    assert [row[0][:2] for row in rows[2:]] == ["'=", "'@"]
    assert "<f>" not in sheet
    assert "<v>1.5</v>" in sheet
    assert ">=1+1<" in strings
    assert "hyperlink" not in sheet.lower()


def test_drawing_is_a_whole_svg_file_without_markup_of_others(hostile: Document) -> None:
    chart = next(block for block in hostile.sections[0].blocks if isinstance(block, Chart))
    root = ElementTree.fromstring(draw_svg(chart))  # noqa: S314 - made here
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "style", "line", "text", "path", "circle"}


async def test_pdf_is_set_from_data_and_the_same_twice(hostile: Document) -> None:
    first, second = await render_pdf(hostile), await render_pdf(hostile)
    assert first.startswith(b"%PDF-")
    assert first == second
    assert count_pages(first) == 1  # a page break of the name's own would make more


async def test_whole_report_is_set_as_pdf(whole: Document) -> None:
    data = await render_pdf(whole)
    assert data.startswith(b"%PDF-")
    assert data.rstrip().endswith(b"%%EOF")
    assert len(data) > 20_000
