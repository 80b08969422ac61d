"""Health, readiness, metrics, jobs and integrity as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from referee import __version__
from referee.core.integrity import IntegrityCheck
from referee.foundation.metrics import CONTENT_TYPE, render_metrics
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.foundation.web.answers import PrincipalParameter
from referee.operations.health import Check, check_health, check_readiness
from referee.operations.integrity import verify_everything

__all__ = ["create_api"]


class CheckModel(BaseModel):
    """One thing that was looked at."""

    status: Literal["ok", "warn", "fail"]
    detail: str


class HealthModel(BaseModel):
    """How Referee is."""

    status: Literal["ok", "warn", "fail"]
    version: str
    checks: dict[str, CheckModel]


class IntegrityProblemModel(BaseModel):
    """Something stored is not what was recorded."""

    code: str
    subject: str
    message: str


class IntegrityModel(BaseModel):
    """What `referee verify` says."""

    problems_count: int
    problems: list[IntegrityProblemModel]
    checked_counts: dict[str, int]


def create_api(
    settings: Settings,
    database: Callable[[], Database],
    checks: Callable[[], Sequence[IntegrityCheck]],
    refresh_metrics: Callable[[], Awaitable[None]],
) -> APIRouter:
    """Return the routes that watch Referee itself."""
    router = APIRouter()

    @router.get("/health", tags=["operations"])
    async def get_health(response: Response) -> HealthModel:
        """Say how the process, the database and the disk are. 503 when one of them fails."""
        return _answer(response, await check_health(settings, database()))

    @router.get("/ready", tags=["operations"])
    async def get_readiness(response: Response) -> HealthModel:
        """Say whether work is taken. 503 when no worker lives."""
        return _answer(response, await check_readiness(database()))

    @router.get("/-/metrics", tags=["operations"], response_class=Response)
    async def get_metrics() -> Response:
        """Return Referee's own metrics in the Prometheus text format."""
        await refresh_metrics()
        return Response(render_metrics(), media_type=CONTENT_TYPE)

    @router.post("/v1/integrity", tags=["operations"])
    async def verify(principal: PrincipalParameter) -> IntegrityModel:
        """Read every artifact, manifest and row again, and say what is wrong. Takes as long as the disk does."""
        principal.require("admin")
        report = await verify_everything(checks())
        return IntegrityModel(
            problems_count=report.problems_count,
            problems=[
                IntegrityProblemModel(code=problem.code, subject=problem.subject, message=problem.message)
                for problem in report.problems
            ],
            checked_counts=report.checked_counts,
        )

    return router


def _answer(response: Response, checks: Sequence[Check]) -> HealthModel:
    statuses = {check.status for check in checks}
    status: Literal["ok", "warn", "fail"] = "ok"
    if "warn" in statuses:
        status = "warn"
    if "fail" in statuses:
        status = "fail"
        response.status_code = 503
    return HealthModel(
        status=status,
        version=__version__,
        checks={check.name: CheckModel(status=check.status, detail=check.detail) for check in checks},
    )
