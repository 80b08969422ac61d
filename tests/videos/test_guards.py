"""What the database itself refuses: done without its parts, and any change of what is done."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import text
from tests.videos.conftest import Bench
from tests.videos.recorded import outcome_of

from referee.core.errors import IntegrityError
from referee.core.integrity import IntegrityProblem
from referee.videos import passes, queries, result_queries
from referee.videos.integrity import check_videos
from referee.videos.recording import DONE_REFUSALS, fail_revision, record_pass
from referee.videos.shapes import PassKind, VideoState


async def run_sql(bench: Bench, statement: str, **values: object) -> str:
    """Run a statement in a transaction of its own. Returns what the database says against it, empty for nothing."""
    try:
        async with bench.room.database.transaction() as session:
            await session.execute(text(statement), values)
    except Exception as error:  # whatever the driver raises, its words are the case
        return str(error.__cause__ or error)
    return ""


async def test_database_refuses_done_until_every_part_is_recorded(bench: Bench) -> None:
    video = await bench.add(is_deep=True)
    revision_id = video.revision.revision_id
    of = {"id": revision_id}
    done = "UPDATE video_revisions SET state = 'done', progress_share = 1, finished_at = now() WHERE revision_id = :id"
    assert "cannot go from queued to done" in await run_sql(bench, done, **of)
    assert await passes.begin(bench.room, bench.project_id, revision_id) == "quick_running"
    assert "findings, report and artifacts of its quick pass" in await run_sql(bench, done, **of)
    await run_sql(
        bench,
        "INSERT INTO video_passes (revision_id, kind, project_id) VALUES (:id, 'quick', :project)",
        project=bench.project_id,
        **of,
    )
    bare = "UPDATE video_passes SET state = 'done' WHERE revision_id = :id"
    assert "its findings are not all recorded" in await run_sql(bench, bare, **of)
    empty = "UPDATE video_passes SET state = 'done', findings_count = 0 WHERE revision_id = :id"
    assert "its metrics are not recorded" in await run_sql(bench, empty, **of)
    metric = (
        "INSERT INTO video_metrics (revision_id, kind, code, project_id, position, reason_code, reason, detail_json)"
        " VALUES (:id, 'quick', 'elbow_drop', :project, 0, 'unseen', 'The elbow is not seen.', '{}')"
    )
    assert await run_sql(bench, metric, project=bench.project_id, **of) == ""
    assert "done_whole" in await run_sql(bench, empty, **of)
    assert (
        await record_pass(bench.room, bench.project_id, revision_id, PassKind.quick, outcome_of())
        == "quick_done"
    )
    assert "its deep pass" in await run_sql(bench, done, **of)
    state = await record_pass(
        bench.room, bench.project_id, revision_id, PassKind.deep, outcome_of(PassKind.deep, value=28.0)
    )
    assert state == "done"
    async with bench.room.database.reading() as session:
        found = await queries.get_video(session, bench.project_id, video.video_id)
        stored = await result_queries.list_passes(session, revision_id)
    assert (found.state, found.overall_level) == (VideoState.done, "high")
    assert result_queries.find_missing(found.revision, stored) == ()


CHANGES = (
    "UPDATE video_revisions SET reason = 'x' WHERE revision_id = :id",
    "UPDATE video_revisions SET state = 'failed', reason = 'x', reason_code = 'y' WHERE revision_id = :id",
    "DELETE FROM video_revisions WHERE revision_id = :id",
    "UPDATE video_passes SET report_json = '{}' WHERE revision_id = :id",
    "UPDATE video_passes SET state = 'running' WHERE revision_id = :id",
    "DELETE FROM video_passes WHERE revision_id = :id",
    "UPDATE video_findings SET title = 'x' WHERE revision_id = :id",
    "DELETE FROM video_findings WHERE revision_id = :id",
    "UPDATE video_metrics SET value = 0 WHERE revision_id = :id AND value IS NOT NULL",
    "DELETE FROM video_events WHERE revision_id = :id",
    "UPDATE video_pictures SET caption = 'x' WHERE revision_id = :id",
    "INSERT INTO video_events (revision_id, kind, name, project_id, t_s, uncertainty_s, is_edited)"
    " SELECT revision_id, 'quick', 'impact', project_id, 1, 0, true FROM video_revisions WHERE revision_id = :id",
)


async def finish(bench: Bench) -> UUID:
    """Add a clip and finish its quick pass."""
    video = await bench.add()
    revision_id = video.revision.revision_id
    await passes.begin(bench.room, bench.project_id, revision_id)
    assert (
        await record_pass(bench.room, bench.project_id, revision_id, PassKind.quick, outcome_of()) == "done"
    )
    return revision_id


async def test_nothing_of_a_finished_revision_is_changed(bench: Bench) -> None:
    revision_id = await finish(bench)
    refusals = {statement: await run_sql(bench, statement, id=revision_id) for statement in CHANGES}
    assert [statement for statement, refusal in refusals.items() if "done" not in refusal] == []
    assert await find_problems(bench) == []


async def find_problems(bench: Bench) -> list[IntegrityProblem]:
    return [item async for item in check_videos(bench.room) if isinstance(item, IntegrityProblem)]


async def test_whole_video_can_be_deleted(bench: Bench) -> None:
    await finish(bench)
    assert await run_sql(bench, "DELETE FROM videos") == ""
    async with bench.room.database.reading() as session:
        assert await session.scalar(text("SELECT count(*) FROM video_findings")) == 0


async def test_pass_that_lacks_an_artifact_is_refused_counted_and_named(bench: Bench) -> None:
    video = await bench.add()
    revision_id = video.revision.revision_id
    await passes.begin(bench.room, bench.project_id, revision_id)
    whole = outcome_of()
    cut = replace(whole, files={name: data for name, data in whole.files.items() if name != "pdf"})
    before = DONE_REFUSALS._value.get()
    with pytest.raises(IntegrityError, match="quick_pdf is missing"):
        await record_pass(bench.room, bench.project_id, revision_id, PassKind.quick, cut)
    assert DONE_REFUSALS._value.get() == before + 1
    async with bench.room.database.transaction() as session:
        await fail_revision(session, revision_id, "video.pass_incomplete", "It did not end.")
    async with bench.room.database.reading() as session:
        failed = (await queries.get_video(session, bench.project_id, video.video_id)).revision
    assert failed.state is VideoState.failed
    assert "quick_findings" in failed.reason
    assert "quick_report" in failed.reason


async def test_recording_twice_keeps_the_first(bench: Bench) -> None:
    revision_id = await finish(bench)
    again = await record_pass(
        bench.room, bench.project_id, revision_id, PassKind.quick, outcome_of(value=99.0)
    )
    async with bench.room.database.reading() as session:
        results = await result_queries.find_results(session, revision_id, PassKind.quick)
    assert again == "done"
    assert results is not None
    assert results.metrics[0].value == 31.5
    assert results.findings == outcome_of().findings


async def test_verify_sees_rows_that_were_altered_behind_the_triggers(bench: Bench) -> None:
    await finish(bench)
    for statement in (
        "ALTER TABLE video_findings DISABLE TRIGGER USER",
        "UPDATE video_findings SET title = 'other'",
        "ALTER TABLE video_findings ENABLE TRIGGER USER",
    ):
        assert await run_sql(bench, statement) == ""
    problems = await find_problems(bench)
    assert [(problem.code, "findings" in problem.message) for problem in problems] == [
        ("video.altered", True)
    ]


async def test_deep_pass_of_bowling_is_not_done_without_its_ball(bench: Bench) -> None:
    video = await bench.add(is_deep=True)
    revision_id = video.revision.revision_id
    await passes.begin(bench.room, bench.project_id, revision_id)
    await record_pass(bench.room, bench.project_id, revision_id, PassKind.quick, outcome_of())
    of = {"id": revision_id}
    await run_sql(bench, "UPDATE video_revisions SET state = 'deep_running' WHERE revision_id = :id", **of)
    whole = outcome_of(PassKind.deep)
    without = replace(whole, measurement=replace(whole.measurement, ball=None))
    with pytest.raises(Exception, match="nothing is recorded of its ball"):
        await record_pass(bench.room, bench.project_id, revision_id, PassKind.deep, without)
    assert await record_pass(bench.room, bench.project_id, revision_id, PassKind.deep, whole) == "done"
    alter = "UPDATE video_passes SET ball_json = NULL WHERE revision_id = :id AND kind = 'deep'"
    assert "is not overwritten" in await run_sql(bench, alter, **of)
    async with bench.room.database.reading() as session:
        found = await result_queries.find_results(session, revision_id, PassKind.deep)
    assert found is not None
    assert found.done.ball == whole.measurement.ball
