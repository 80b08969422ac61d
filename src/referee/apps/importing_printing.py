"""What ``referee app import`` prints: every app, what is none yet, and what was left out."""

from __future__ import annotations

import json
import shlex

import typer

from referee.apps.importing_apps import FolderImport
from referee.core.ids import format_id
from referee.foundation.web.formats import show_text

__all__ = ["print_import"]

_SHOWN_COUNT = 20


def print_import(imported: FolderImport, folder: str, *, is_json: bool) -> None:
    """Print what became of a folder of apps."""
    if is_json:
        typer.echo(json.dumps(_to_json(imported), indent=1, ensure_ascii=False))
        return
    for one in imported.apps:
        app = one.app
        mark = f"  placeholder ({app.placeholder})" if app.placeholder else ""
        typer.echo(
            f"{format_id('app', app.app_id)}  {app.model}/app{app.number}  {show_text(app.path)}{mark}"
        )
    new_count = sum(one.is_new for one in imported.apps)
    typer.echo(f"{new_count} new, {len(imported.apps) - new_count} known before.")
    placeholders = imported.placeholders
    if placeholders:
        typer.echo(
            f"{len(placeholders)} of {len(imported.apps)} are placeholders, and a pipeline does not analyse them:"
        )
        for one in placeholders[:_SHOWN_COUNT]:
            typer.echo(f"  {one.app.model}/app{one.app.number}: {one.app.placeholder_reason}")
        if len(placeholders) > _SHOWN_COUNT:
            typer.echo(f"  and {len(placeholders) - _SHOWN_COUNT} more; --json names all.")
    if imported.left_out_count:
        typer.echo(f"{imported.left_out_count} left out:")
        for left in imported.left_out[:_SHOWN_COUNT]:
            typer.echo(f"  {left.path}: {left.reason}")
        if imported.left_out_count > _SHOWN_COUNT:
            typer.echo(f"  and {imported.left_out_count - _SHOWN_COUNT} more; --json names them.")
    typer.echo(f"Analyse them with: referee pipeline run --folder {shlex.quote(folder)}")


def _to_json(imported: FolderImport) -> dict[str, object]:
    return {
        "items": [
            {
                "app_id": format_id("app", one.app.app_id),
                "model": one.app.model,
                "number": one.app.number,
                "template": one.app.template,
                "path": one.app.path,
                "is_new": one.is_new,
                "placeholder": one.app.placeholder,
                "placeholder_reason": one.app.placeholder_reason,
            }
            for one in imported.apps
        ],
        "left_out": [{"path": left.path, "reason": left.reason} for left in imported.left_out],
        "left_out_count": imported.left_out_count,
    }
