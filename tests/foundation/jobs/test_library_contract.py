"""What we use of the job library beyond its documented surface. A failure here means: read its new source first."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from importlib.metadata import version

from dbos import DBOS, DBOSClient, EnqueueOptions
from dbos._error import DBOSBaseException, DBOSWorkflowCancelledError, DBOSWorkflowConflictIDError
from dbos._event_loop import BackgroundEventLoop
from dbos._queue import queue_thread, queue_worker_thread
from dbos._recovery import _recover_workflow, recover_pending_workflows
from dbos._serialization import DBOSPortableJSONSerializer
from dbos._sys_db import SystemDatabase
from dbos._sys_db_postgres import PostgresSystemDatabase
from dbos._utils import INTERNAL_QUEUE_NAME
from sqlalchemy import text

from referee.core.findings import JsonValue
from referee.foundation.jobs import Job, JobContext, JobEngine
from referee.foundation.store import Database

Submit = Callable[..., Awaitable[Job]]


def list_parameters(function: Callable[..., object]) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_the_library_has_the_version_whose_source_was_read() -> None:
    assert version("dbos") == "3.4.0"


def test_the_private_functions_take_what_we_give_them() -> None:
    assert list_parameters(SystemDatabase.get_pending_workflows) == ["self", "executor_id", "app_version"]
    assert list_parameters(SystemDatabase.reenqueue_for_recovery) == [
        "self",
        "workflow_id",
        "executor_ids",
        "recovery_queue_name",
    ]
    assert list_parameters(PostgresSystemDatabase.run_migrations) == ["self"]
    assert INTERNAL_QUEUE_NAME == "_dbos_internal_queue"


def test_the_thread_of_a_queue_only_asks_its_event_whether_to_end_and_waits_on_it() -> None:
    assert list_parameters(queue_worker_thread) == ["stop_event", "dbos", "queue"]
    source = inspect.getsource(queue_worker_thread)
    assert set(re.findall(r"stop_event\.(\w+\()", source)) == {"wait(", "is_set("}
    assert len(re.findall(r"stop_event\.wait\(timeout=", source)) == source.count("stop_event.wait(") == 1
    assert list_parameters(SystemDatabase.get_queue)[:2] == ["self", "name"]


def test_the_library_looks_into_no_queue_that_it_was_not_told_to_listen_to() -> None:
    assert "queue.name not in listening_set" in inspect.getsource(queue_thread)
    assert "list(queues)" in inspect.getsource(DBOS.listen_queues)


def test_recovery_in_the_library_is_still_what_we_do_ourselves() -> None:
    assert "get_pending_workflows" in inspect.getsource(recover_pending_workflows)
    assert "reenqueue_for_recovery" in inspect.getsource(_recover_workflow)
    assert list_parameters(DBOS._recover_pending_workflows) == ["executor_ids"]


def test_disowned_jobs_are_told_by_errors_that_no_room_catches() -> None:
    assert issubclass(DBOSWorkflowCancelledError, DBOSBaseException)
    assert issubclass(DBOSWorkflowConflictIDError, DBOSBaseException)
    assert not issubclass(DBOSBaseException, Exception)


def test_the_public_calls_have_the_parameters_we_use() -> None:
    assert {"system_database_engine", "dbos_system_schema", "serializer", "application_name", "lazy"} <= set(
        list_parameters(DBOSClient.__init__)
    )
    assert list_parameters(DBOSClient.enqueue_in_transaction)[:3] == ["self", "conn_or_session", "options"]
    assert {
        "global_concurrency",
        "worker_concurrency",
        "polling_interval_sec",
        "on_conflict",
    } <= set(list_parameters(DBOSClient.register_queue_async))
    assert {"workflow_id_reuse_policy", "priority", "app_version"} <= set(EnqueueOptions.__annotations__)
    assert {"destroy_registry"} <= set(list_parameters(DBOS.destroy))
    assert "max_recovery_attempts" in list_parameters(DBOS.workflow)


def test_the_library_still_adopts_the_loop_of_the_launching_thread() -> None:
    assert "get_running_loop" in inspect.getsource(BackgroundEventLoop.set_main_loop)
    assert "_main_loop" in inspect.getsource(BackgroundEventLoop.target_loop)


def test_values_are_kept_as_plain_json() -> None:
    assert DBOSPortableJSONSerializer().serialize({"a": [1, "x", None]}) == '{"a":[1,"x",null]}'


async def test_the_columns_we_read_exist_and_hold_the_words_we_know(
    engine: JobEngine, submit: Submit, database: Database
) -> None:
    async def run(context: JobContext, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        async with database.transaction() as session:
            seen = text("SELECT status, executor_id, queue_name FROM dbos.workflow_status")
            return {"row": list((await session.execute(seen)).one())}

    engine.register("looking", run, queue="parents")
    await engine.start(is_worker=False)
    job = await submit("looking")
    async with database.transaction() as session:
        waiting = text(
            "SELECT workflow_uuid, status, priority, application_version FROM dbos.workflow_status"
        )
        row = tuple((await session.execute(waiting)).one())
    await engine.stop()
    await engine.start(is_worker=True)
    executor_id = engine.executor_id
    ended = await engine.wait(job.job_id, timeout_s=60)

    assert row == (str(job.job_id), "ENQUEUED", 100, "1")
    assert ended.result == {"row": ["PENDING", executor_id, "parents"]}
