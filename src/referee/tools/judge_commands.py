"""``referee judge``: how far the language model that judges can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

if TYPE_CHECKING:
    from referee.core.sources import SourceSnapshot
    from referee.tools.judge_calibration import Calibration, Given, Label

__all__ = ["SnapshotTaker", "app"]

app = typer.Typer(help="The judging language model: calibrate it.", no_args_is_help=True)

_MAX_SHOWN: int = 20


class SnapshotTaker(Protocol):
    """How a command gets an app's source; ``ctx.obj`` of the root command."""

    def take_snapshot(self, source: Path, snapshots_dir: Path) -> SourceSnapshot:
        """Copy the source of a folder into ``snapshots_dir`` and return the copy."""
        ...


@app.callback()
def root() -> None:
    """The judging language model: calibrate it."""


@app.command("calibrate")
def calibrate_command(
    ctx: typer.Context,
    labels_file: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS",
            help="JSON lines with path, template, requirement_id and label; paths as seen from this file.",
        ),
    ],
    verdicts_file: Annotated[
        Path | None,
        typer.Option(
            "--verdicts", help="JSON lines with path, requirement_id and verdict; no model is asked."
        ),
    ] = None,
    written_file: Annotated[
        Path | None, typer.Option("--write-verdicts", help="Keep the verdicts here, for --verdicts.")
    ] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Compare the judge's verdicts with labels given by people: precision, recall, F1, accuracy and kappa."""
    import json

    from referee.core.errors import InvalidInput
    from referee.tools.judge_calibration import (
        calibrate,
        read_labels,
        read_verdicts,
        render_verdicts,
    )

    if written_file is not None and not written_file.parent.is_dir():
        raise InvalidInput(
            "judge.folder_not_found",
            f"There is no folder {str(written_file.parent)!r} to write the verdicts to.",
            "Make it, or name another.",
        )
    labels = read_labels(labels_file)
    given = read_verdicts(verdicts_file) if verdicts_file else _ask_judge(ctx.obj, labels)
    if written_file is not None:
        written_file.write_text(render_verdicts(given), encoding="utf-8")
    calibration = calibrate(labels, given)
    if is_json:
        typer.echo(json.dumps(calibration.to_json(), indent=1, ensure_ascii=False))
    else:
        typer.echo(_render(calibration))


def _ask_judge(taker: SnapshotTaker, labels: tuple[Label, ...]) -> Mapping[tuple[str, str], Given]:
    import asyncio
    import tempfile

    from referee.foundation.llm import open_llm
    from referee.foundation.settings import load_settings
    from referee.tools.judge_calibration import judge_labels

    settings = load_settings()
    with tempfile.TemporaryDirectory(prefix="referee-judge-") as folder:
        return asyncio.run(
            judge_labels(
                labels,
                lambda: open_llm(settings),
                lambda source: taker.take_snapshot(source, Path(folder)),
                lambda line: typer.echo(line, err=True),
            )
        )


def _render(calibration: Calibration) -> str:
    table = calibration.confusion
    lines = [
        f"{calibration.labels_count} labels, {table.total_count} judged, "
        f"{len(calibration.unscored)} without a verdict.",
        "",
        f"{'':18}{'judged met':>12}{'judged not met':>16}",
        f"{'labelled met':18}{table.true_positives_count:12}{table.false_negatives_count:16}",
        f"{'labelled not met':18}{table.false_positives_count:12}{table.true_negatives_count:16}",
        "",
    ]
    for name, interval, cases_count in calibration.list_measures():
        if interval is None:
            lines.append(f"{name:10} not defined: too few kinds of cases")
        else:
            lines.append(
                f"{name:10} {interval.point:.3f}  {interval.level:.0%} interval {interval.low:.3f} to "
                f"{interval.high:.3f}, n = {cases_count}"
            )
    unscored = list(calibration.unscored.items())
    if unscored:
        lines += ["", "Without a verdict, and in none of the numbers:"]
        lines += [
            f"  {path} {requirement_id}: {reason}" for (path, requirement_id), reason in unscored[:_MAX_SHOWN]
        ]
        if len(unscored) > _MAX_SHOWN:
            lines.append(f"  and {len(unscored) - _MAX_SHOWN} more; --json lists all")
    return "\n".join(lines)
