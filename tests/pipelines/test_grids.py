"""The grid's squares: tools as marks, the worst outcome of all repeats, and how bad the findings are."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from tests.pipelines.conftest import RunPipeline
from tests.pipelines.test_existing import FOUR

from referee.app import Application
from referee.core.vocabulary import Outcome
from referee.pipelines.grids import Square, add_details, read_grid
from referee.pipelines.states import CellState
from referee.pipelines.views import CellCounts


async def test_each_square_shows_its_tools_and_the_worst_findings(
    application: Application, project_id: UUID, four_apps: Path, run_pipeline: RunPipeline
) -> None:
    pipeline = await run_pipeline(FOUR)

    async with application.database.reading() as session:
        plain = await read_grid(session, pipeline.pipeline_id)
        grid = await add_details(session, pipeline.pipeline_id, plain)

    square = grid.find("alpha", "")
    assert square is not None
    assert square.label == "2/2"
    assert dict(square.outcomes) == {"bandit": Outcome.succeeded, "vulture": Outcome.succeeded}
    assert 'aria-label="2 of 2 tools have a result"' in square.marks
    assert list(square.worst) == ["high", "low"]
    assert square.worst["high"] == 2, "one in each repeat"
    bare = plain.find("alpha", "")
    assert bare is not None
    assert (bare.marks, bare.worst) == ("", {})


def test_mark_says_in_its_shape_what_its_colour_says() -> None:
    def draw(outcome: Outcome | None) -> str:
        square = Square(
            counts=CellCounts(by_state={CellState.completed: 1}), outcomes=(("zap <b>", outcome),)
        )
        return str(square.marks)

    drawn = [draw(Outcome.succeeded), draw(Outcome.failed), draw(Outcome.unavailable), draw(None)]

    shapes = [mark.split("</title>", 1)[1].replace("tone-", "") for mark in drawn]
    without_colour = {"".join(char for char in shape if char.isdigit()) for shape in shapes}
    assert len(without_colour) == 4
    assert all("zap &lt;b&gt;" in mark for mark in drawn)
