"""Import and export of datasets by HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import File, Form, Query, UploadFile
from starlette.responses import StreamingResponse

from referee.experiments.datasets import files, models, queries
from referee.experiments.identifiers import read_id
from referee.experiments.room import GetRoom
from referee.foundation.web.answers import PrincipalParameter, answers_file
from referee.foundation.web.client_routes import ClientRouter
from referee.foundation.web.parquet import PARQUET_MEDIA_TYPE, FormatParameter, answer_rows

__all__ = ["ColumnNames", "create_files_api", "read_columns"]

MAX_COLUMNS_CHARACTERS = 10_000
ColumnNames = Annotated[
    str, Form(max_length=MAX_COLUMNS_CHARACTERS, description="Names, with commas between.")
]
Version = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="As it was then.")]


def create_files_api(room: GetRoom) -> ClientRouter:
    """Return the routes that take and give files."""
    router = ClientRouter(tags=["datasets"])

    @router.post("/v1/datasets/{dataset_id}/import")
    async def import_dataset_file(
        dataset_id: str,
        principal: PrincipalParameter,
        file: Annotated[UploadFile, File(description="CSV, JSON Lines or JSON; its name says which.")],
        inputs: ColumnNames = "",
        ground_truth: ColumnNames = "",
        history: ColumnNames = "",
    ) -> models.ImportedModel:
        """Add a file's rows to a dataset, all or none."""
        principal.require("write")
        mapping = read_columns(inputs, ground_truth, history)
        contents = files.parse_file(await file.read(), files.find_format(file.filename or ""), mapping)
        async with room().database.transaction() as session:
            dataset = await files.import_contents(
                session, principal.project_id, read_id(dataset_id, "dataset"), contents
            )
        return models.ImportedModel(
            dataset_id=dataset_id, version=dataset.version, imported_count=len(contents)
        )

    @router.get(
        "/v1/datasets/{dataset_id}/export",
        response_class=StreamingResponse,
        responses=answers_file("application/jsonl", PARQUET_MEDIA_TYPE),
    )
    async def export_dataset_file(
        dataset_id: str,
        principal: PrincipalParameter,
        version: Version = None,
        format: FormatParameter = "jsonl",
    ) -> StreamingResponse:
        """Send a dataset, as it is now or was in a version."""
        async with room().database.reading() as session:
            dataset = await queries.get_dataset(session, principal.project_id, read_id(dataset_id, "dataset"))
        shown = queries.check_version(dataset, version)
        pieces = await files.list_export_pages(room().database, dataset, shown)
        name = f"dataset-{dataset.dataset_id}-v{shown or dataset.version}"
        return await answer_rows(pieces, files.DATAPOINT_COLUMNS, format, name)

    return router


def read_columns(inputs: str, ground_truth: str, history: str) -> dict[str, list[str]]:
    """Return the mapping that three texts with commas state."""
    given = {"inputs": inputs, "ground_truth": ground_truth, "history": history}
    return {part: [name.strip() for name in text.split(",") if name.strip()] for part, text in given.items()}
