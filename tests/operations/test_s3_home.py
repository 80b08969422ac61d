"""A home whose artifacts lie on S3: analysed, verified, backed up, restored, and moved both ways."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import select
from tests.analysis.conftest import FLAWED
from tests.faults.pipeline_kills import APP
from tests.programs import Referee
from tests.s3_server import BUCKET, S3Server

from referee.analysis import AnalysisRequest, create_analysis
from referee.analysis.queries import get_analysis
from referee.app import Application, open_application
from referee.core.errors import Conflict, IntegrityError
from referee.foundation.access import get_project
from referee.foundation.settings import Settings
from referee.foundation.store import ArtifactRow, open_artifacts, open_database, record_artifacts
from referee.foundation.store.artifacts import name_key
from referee.operations.backups import back_up, restore_whole
from referee.operations.integrity import verify_everything


@pytest.fixture
def prefix() -> str:
    """The place on S3 of one test."""
    return uuid4().hex


@pytest.fixture
def s3_settings(database_settings: Settings, s3_server: S3Server, prefix: str) -> Settings:
    return s3_server.apply(database_settings, prefix)


async def analyse(application: Application, folder: Path) -> str:
    """Analyse an app as it stands and as it runs, and return how that ended."""
    folder.mkdir()
    (folder / "main.py").write_text(FLAWED)
    (folder / "app.py").write_text(APP.format(name="one that runs"))
    (folder / "Procfile").write_text("web: python app.py\n")
    project_id = (await get_project(application.database, "default")).project_id
    request = AnalysisRequest(path=str(folder), tools=("radon", "curl"))
    accepted = await create_analysis(application.analysis, application.engine, project_id, request)
    assert accepted.job_id is not None
    await application.engine.wait(accepted.job_id, 120)
    async with application.database.reading() as session:
        return (await get_analysis(session, project_id, accepted.analysis_id)).state


async def list_named(settings: Settings) -> list[str]:
    database = await open_database(settings)
    try:
        async with database.reading() as session:
            return sorted(await session.scalars(select(ArtifactRow.sha256)))
    finally:
        await database.close()


async def find_problems(settings: Settings) -> list[str]:
    """Return what is wrong with any artifact that the database names."""
    store = open_artifacts(settings)
    found = [await store.check(sha256) for sha256 in await list_named(settings)]
    return [problem for problem in found if problem is not None]


async def test_analysis_is_completed_verified_and_restored_into_a_folder_and_another_bucket(
    s3_settings: Settings, other_settings: Settings, s3_server: S3Server, tmp_path: Path
) -> None:
    async with open_application(s3_settings, is_worker=True) as application:
        state = await analyse(application, tmp_path / "subject")
        report = await verify_everything(application.integrity_checks)
    named = await list_named(s3_settings)
    made = await back_up(s3_settings, tmp_path / "backup")
    await restore_whole(other_settings, tmp_path / "backup")

    assert (state, report.problems) == ("completed", [])
    assert len(named) > 5
    assert not s3_settings.artifacts_dir.exists()
    kept = {name.rpartition("/")[2] for name in made.files if name.startswith("artifacts/")}
    assert set(named) <= kept
    assert await list_named(other_settings) == named
    async with open_application(other_settings, is_worker=False) as restored:
        assert (await verify_everything(restored.integrity_checks)).problems == []
    assert await find_problems(other_settings) == []
    assert all((other_settings.artifacts_dir / name_key(sha256)).is_file() for sha256 in named)

    elsewhere = s3_server.apply(other_settings.model_copy(update={"home": tmp_path / "third"}), uuid4().hex)
    await restore_whole(elsewhere, tmp_path / "backup")
    assert await find_problems(elsewhere) == []
    assert not elsewhere.artifacts_dir.exists()
    await open_artifacts(elsewhere).put_bytes(b"of another installation", "text/plain")
    with pytest.raises(Conflict, match="never mixes"):
        await restore_whole(elsewhere, tmp_path / "backup")


async def test_altered_object_is_not_backed_up_in_silence(
    s3_settings: Settings, s3_server: S3Server, prefix: str, tmp_path: Path
) -> None:
    artifact = await open_artifacts(s3_settings).put_bytes(b"good", "text/plain")
    s3_server.open_store(prefix).put(name_key(artifact.sha256), b"evil", use_multipart=False)
    with pytest.raises(IntegrityError, match="not what was stored"):
        await back_up(s3_settings, tmp_path / "backup")


async def store_some(settings: Settings, count: int) -> list[str]:
    database = await open_database(settings)
    store = open_artifacts(settings)
    artifacts = [
        await store.put_bytes(f"artifact {number}".encode(), "text/plain") for number in range(count)
    ]
    artifacts.append(await store.put_bytes(b"l" * 12_000_000, "text/plain"))
    async with database.transaction() as session:
        await record_artifacts(session, artifacts)
    await database.close()
    return sorted(artifact.sha256 for artifact in artifacts)


async def test_artifacts_move_to_s3_and_back(
    database_settings: Settings, s3_settings: Settings, s3_server: S3Server, prefix: str, referee: Referee
) -> None:
    digests = await store_some(database_settings, 20)
    url = f"s3://{BUCKET}/{prefix}"
    server = {
        name: value for name, value in s3_server.variables(prefix).items() if name != "REFEREE_ARTIFACTS_URL"
    }
    bucket = s3_server.open_store(prefix)

    counted = referee("artifacts", "move", "--to", url, "--dry-run", "--json", **server)
    assert json.loads(counted.stdout)["moved_count"] == 21
    assert bucket.list().collect() == []
    # What an earlier run left: one whole, one that is not.
    bucket.put(name_key(digests[0]), (database_settings.artifacts_dir / name_key(digests[0])).read_bytes())
    bucket.put(name_key(digests[1]), b"cut")
    moved = referee("artifacts", "move", "--to", url, **server)
    assert (moved.returncode, moved.stderr.splitlines()[-1].split(",")[0]) == (0, "21 of 21 artifacts")
    assert "20 artifacts, 12,000" in moved.stdout
    assert "1 are there already" in moved.stdout
    assert f"REFEREE_ARTIFACTS_URL={url}" in moved.stdout
    assert await find_problems(s3_settings) == []

    for path in database_settings.artifacts_dir.rglob("*"):
        if path.is_file():
            path.unlink()
    refused = referee("verify")
    assert (refused.returncode, f"REFEREE_ARTIFACTS_URL={url}" in refused.stderr) == (5, True)
    assert referee("verify", REFEREE_ARTIFACTS_URL=url, **server).returncode == 0
    assert len(await find_problems(database_settings)) == 21
    back = referee("artifacts", "move", "--to", "folder", REFEREE_ARTIFACTS_URL=url, **server)
    assert back.returncode == 0, back.stderr
    assert await find_problems(database_settings) == []
    same = referee("artifacts", "move", "--to", "folder")
    assert (same.returncode, same.stderr.splitlines()[0]) == (
        2, f"Error: Artifacts are kept in the folder {database_settings.artifacts_dir} already."
    )  # fmt: skip


async def test_move_names_what_is_damaged_and_is_refused_while_a_worker_writes(
    database_settings: Settings, s3_server: S3Server, prefix: str, referee: Referee
) -> None:
    digests = await store_some(database_settings, 2)
    path = database_settings.artifacts_dir / name_key(digests[0])
    path.chmod(0o600)
    path.write_bytes(b"altered")
    (database_settings.artifacts_dir / name_key(digests[1])).unlink()
    server = {
        name: value for name, value in s3_server.variables(prefix).items() if name != "REFEREE_ARTIFACTS_URL"
    }
    to = ("artifacts", "move", "--to", f"s3://{BUCKET}/{prefix}")

    async with open_application(database_settings, is_worker=True):
        refused = referee(*to, **server)
        ahead = referee(*to, "--ahead", **server)

    assert (refused.returncode, "may be written meanwhile" in refused.stderr) == (5, True)
    given_up = referee(*to, "--accept-damage", **server)
    assert (ahead.returncode, given_up.returncode) == (7, 7)
    assert "Now set REFEREE_ARTIFACTS_URL=" in given_up.stdout
    with pytest.raises(Conflict, match="would keep them in folder"):
        async with open_application(database_settings, is_worker=False):
            pass
    assert f"The artifact {digests[0]} is altered where it lies." in ahead.stdout
    assert f"No artifact has the digest {digests[1]}." in ahead.stdout
    assert [one["path"] for one in s3_server.open_store(prefix).list().collect()] == [name_key(digests[2])]


async def test_move_to_a_server_that_is_away_ends_in_a_sentence(
    database_settings: Settings, referee: Referee
) -> None:
    await store_some(database_settings, 1)
    done = referee(
        "artifacts", "move", "--to", "s3://bucket/x", REFEREE_ARTIFACTS_RETRY_S="0.5",
        REFEREE_ARTIFACTS_ENDPOINT_URL="http://127.0.0.1:9", REFEREE_ARTIFACTS_ACCESS_KEY_ID="id",
        REFEREE_ARTIFACTS_SECRET_ACCESS_KEY="never-seen",
    )  # fmt: skip
    assert done.returncode == 6
    assert done.stderr.splitlines()[0].startswith("Error: The artifact store s3://bucket/x does not answer")
    assert "never-seen" not in done.stderr + done.stdout
