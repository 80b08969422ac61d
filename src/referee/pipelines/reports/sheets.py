"""The tables of a report as a workbook and as CSV files, numbers as numbers and text never as a formula."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from typing import Final

from referee.analysis.exports import neutralise_formula
from referee.foundation.web.formats import show_text
from referee.pipelines.reports.document import Column, Document, Table, Value

__all__ = ["render_csv", "render_xlsx"]

_MAX_CELL_CHARS: Final = 32_000
"""A cell of a workbook holds 32,767."""
_SHEET_NAME: Final = re.compile(r"[^A-Za-z0-9_ -]")
_ZIP_DATE: Final = (2020, 1, 1, 0, 0, 0)
"""The same report gives the same bytes."""
_WIDEST: Final = 60
_NUMBER_FORMATS: Final = {
    "count": "#,##0",
    "number": "#,##0.00",
    "share": "0.0%",
    "usd": "#,##0.0000",
    "seconds": "#,##0.0",
    "p": "0.0000",
}


def render_xlsx(document: Document) -> bytes:
    """Return a workbook: a sheet that says what it is, and one for each table. Blocking."""
    import xlsxwriter  # noqa: PLC0415 - only a report needs it

    output = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with xlsxwriter.Workbook(output, options) as workbook:
        bold = workbook.add_format({"bold": True})
        wrap = workbook.add_format({"text_wrap": True, "valign": "top"})
        formats = {name: workbook.add_format({"num_format": form}) for name, form in _NUMBER_FORMATS.items()}
        first = workbook.add_worksheet("Report")
        first.set_column(0, 0, 24)
        first.set_column(1, 1, 100)
        for row, (name, text) in enumerate(_describe(document)):
            first.write_string(row, 0, name, bold)
            first.write_string(row, 1, _clean(text), wrap)
        names: set[str] = {"report"}
        for _, table in document.list_tables():
            sheet = workbook.add_worksheet(_name_sheet(table.table_id, names))
            for place, column in enumerate(table.columns):
                sheet.write_string(0, place, _clean(_name_column(column)), bold)
                sheet.set_column(place, place, _measure(table, place))
            for row, cells in enumerate(table.rows, start=1):
                for place, (column, value) in enumerate(zip(table.columns, cells, strict=True)):
                    if isinstance(value, bool):
                        sheet.write_boolean(row, place, value)
                    elif isinstance(value, int | float):
                        sheet.write_number(row, place, value, formats.get(column.format))
                    elif value is not None:
                        sheet.write_string(row, place, _clean(value))
            sheet.freeze_panes(1, 0)
            if table.rows:
                sheet.autofilter(0, 0, len(table.rows), len(table.columns) - 1)
    return output.getvalue()


def render_csv(document: Document) -> bytes:
    """Return a zip with one CSV file for each table. Blocking."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for _, table in document.list_tables():
            text = io.StringIO(newline="")
            writer = csv.writer(text)
            writer.writerow([neutralise_formula(_name_column(column)) for column in table.columns])
            for row in table.rows:
                writer.writerow([_write_value(value) for value in row])
            info = zipfile.ZipInfo(f"{_SHEET_NAME.sub('_', table.table_id)}.csv", _ZIP_DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, text.getvalue().encode())
    return output.getvalue()


def _describe(document: Document) -> list[tuple[str, str]]:
    return [
        ("Report", document.title),
        ("Kind", document.kind.replace("_", " ")),
        ("Made at", document.made_at),
        ("Id", document.report_id),
        *(("", sentence) for sentence in document.summary),
        *(
            (
                table.table_id,
                f"{'Opinion. ' if section.is_opinion else ''}{table.title}. {table.note}".strip(),
            )
            for section, table in document.list_tables()
        ),
    ]


def _name_column(column: Column) -> str:
    return f"{column.title} ({column.unit})" if column.unit else column.title


def _name_sheet(table_id: str, taken: set[str]) -> str:
    base = _SHEET_NAME.sub("_", table_id)[:28] or "table"
    name, number = base, 2
    while name.lower() in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add(name.lower())
    return name


def _measure(table: Table, place: int) -> int:
    longest = max(
        (len(str(row[place])) for row in table.rows[:200] if isinstance(row[place], str)), default=8
    )
    return min(_WIDEST, max(len(_name_column(table.columns[place])), longest, 8) + 2)


def _clean(text: str) -> str:
    return show_text(text)[:_MAX_CELL_CHARS]


def _write_value(value: Value) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return neutralise_formula(_clean(value)) if isinstance(value, str) else value
