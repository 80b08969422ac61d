"""Bills of materials over HTTP: of the folder as it is now, and refused where the folder may not be read."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from tests.apps.strangers_folder import PLACEHOLDERS, write_files
from tests.apps.test_run_pages import NoJudgements
from tests.web_site import open_site

from referee.apps import AppsRoom, import_apps, read_app_folder, reserve_app
from referee.apps.api import create_api
from referee.apps.bill_of_materials.serving import make_bill
from referee.apps.naming import find_app_id
from referee.apps.pages import create_pages
from referee.apps.shell import register_in_shell
from referee.core.errors import Forbidden, NotFound

FILES = {
    "backend/requirements.txt": "flask==2.2.2\n",
    "backend/app.py": "import flask\n\nflask.Flask('x').run()\n",
}


async def fetch(room: AppsRoom, path: str) -> httpx.Response:
    """Return the answer of the apps room."""
    async with open_site(
        room.settings,
        room.database,
        create_api(lambda: room, NoJudgements()),
        create_pages(lambda: room, NoJudgements()),
        register=[lambda shell: register_in_shell(shell, lambda: room.database)],
    ) as client:
        return await client.get(path)


async def take(room: AppsRoom, project_id: UUID, folder: Path) -> UUID:
    """Make the one app of a folder known."""
    async with room.database.transaction() as session:
        imported = await import_apps(session, project_id, read_app_folder(str(folder), allowed_roots=()))
    return imported.apps[0].app.app_id


async def test_bill_is_of_the_folder_as_it_is_now(room: AppsRoom, project_id: UUID, tmp_path: Path) -> None:
    app_id = await take(room, project_id, write_files(tmp_path / "models/m/app1", FILES))
    answer = await fetch(room, f"/v1/apps/{app_id}/sbom")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/vnd.cyclonedx+json")
    assert answer.headers["content-disposition"] == f'attachment; filename="sbom-{app_id}.cdx.json"'
    document = answer.json()
    assert document["metadata"]["component"]["name"] == "m/app1"
    assert [one["purl"] for one in document["components"]] == ["pkg:pypi/flask@2.2.2"]

    write_files(tmp_path / "models/m/app1", {"backend/requirements.txt": "flask==3.0.3\n"})
    changed = (await fetch(room, f"/v1/apps/{app_id}/sbom")).json()
    assert [one["purl"] for one in changed["components"]] == ["pkg:pypi/flask@3.0.3"]
    assert f'href="/v1/apps/{app_id}/sbom"' in (await fetch(room, f"/ui/apps/{app_id}")).text


async def test_bill_that_cannot_be_made_says_why(room: AppsRoom, project_id: UUID, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "models/m/app1", FILES)
    app_id = await take(room, project_id, folder)
    async with room.database.transaction() as session:
        unwritten = await reserve_app(session, project_id, "m", None)

    assert (await fetch(room, f"/v1/apps/{uuid4()}/sbom")).status_code == 404
    assert (await fetch(room, f"/v1/apps/{unwritten.app_id}/sbom")).json()["code"] == "app.no_folder"
    folder.rename(tmp_path / "gone")
    gone = await fetch(room, f"/v1/apps/{app_id}/sbom")
    assert (gone.status_code, gone.json()["code"]) == (422, "source.absent")


@pytest.mark.parametrize("room", [{"host": "0.0.0.0"}], indirect=True)  # noqa: S104 - nothing listens
async def test_server_for_others_reads_no_folder_that_nobody_allowed(
    room: AppsRoom, project_id: UUID, tmp_path: Path
) -> None:
    app_id = await take(room, project_id, write_files(tmp_path / "models/m/app1", FILES))
    with pytest.raises(Forbidden, match="nobody has said which folders"):
        await make_bill(room, project_id, app_id)


async def test_placeholder_is_named_on_its_page_and_as_json(
    room: AppsRoom, project_id: UUID, tmp_path: Path
) -> None:
    kind, files = PLACEHOLDERS["cedar/app4"]
    app_id = await take(room, project_id, write_files(tmp_path / "models/cedar/app4", files))
    page, answer = await fetch(room, f"/ui/apps/{app_id}"), await fetch(room, f"/v1/apps/{app_id}")
    assert "A placeholder: It is what the Vite template for React leaves behind, unchanged." in page.text
    assert answer.json()["placeholder"] == kind
    assert f"placeholder: {kind}" in (await fetch(room, "/ui/apps?filter=is:placeholder")).text


async def test_app_is_found_by_id_or_name(room: AppsRoom, project_id: UUID, tmp_path: Path) -> None:
    app_id = await take(room, project_id, write_files(tmp_path / "models/m/app1", FILES))
    async with room.database.reading() as session:
        assert await find_app_id(session, project_id, "m/app1") == app_id
        assert await find_app_id(session, project_id, str(app_id)) == app_id
        with pytest.raises(NotFound, match="There is no app 'm/app2'"):
            await find_app_id(session, project_id, "m/app2")
