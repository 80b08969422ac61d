"""Success rates over time as JSON and as a page."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from referee.foundation.web.answers import PrincipalParameter
from referee.foundation.web.charts import Line, Tone, render_line_chart
from referee.foundation.web.lists import Card, EmptyState
from referee.foundation.web.rendering import render_page
from referee.pipelines.api import GetRoom
from referee.pipelines.success_rates import MAX_DAYS_COUNT, RATED, SuccessRates, read_success_rates

__all__ = ["create_success_routes"]

_TITLES: Final = {
    "static": "Static service",
    "dynamic": "Dynamic service",
    "performance": "Performance service",
    "ai": "AI service",
    "cells": "Valid cells",
    "pipelines": "Completed pipelines",
}
_TONES: Final[dict[str, Tone]] = {
    "static": "series-1",
    "dynamic": "series-2",
    "performance": "series-3",
    "ai": "series-4",
    "cells": "series-5",
    "pipelines": "series-6",
}
_DEFAULT_DAYS_COUNT: Final = 30
_NOTHING: Final = EmptyState(
    "Nothing has ended in these days",
    "A service succeeds when every tool that can be had came to a result, a cell when it is valid, "
    "a pipeline when all its cells are.",
    "referee selftest",
)

DaysParameter = Annotated[
    int, Query(ge=1, le=MAX_DAYS_COUNT, description="Days that are counted, today included.")
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SuccessDayModel(_Model):
    """One day in UTC."""

    on: date
    succeeded_count: int
    total_count: int
    success_rate: float | None = Field(description="Share, 0 to 1; null on a day without a case.")


class SuccessRateModel(_Model):
    """What one kind came to."""

    kind: str = Field(description="A service, `cells` or `pipelines`.")
    succeeded_count: int
    total_count: int
    success_rate: float | None = Field(description="Share, 0 to 1; null without a case.")
    low: float | None = Field(description="Lower bound of its 95 % Wilson interval.")
    high: float | None = Field(description="Upper bound.")
    days: list[SuccessDayModel]


class SuccessRatesModel(_Model):
    """Rates by kind and day. Cancelled work and tools that cannot be had do not count."""

    items: list[SuccessRateModel]

    @classmethod
    def of(cls, rates: SuccessRates) -> SuccessRatesModel:
        """Return the shape of rates."""
        return cls(items=[_shape(rates, kind) for kind in RATED])


def _shape(rates: SuccessRates, kind: str) -> SuccessRateModel:
    counted, interval = rates.sum_up(kind), rates.compute_interval(kind)
    return SuccessRateModel(
        kind=kind,
        succeeded_count=counted.succeeded_count,
        total_count=counted.total_count,
        success_rate=counted.rate,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        days=[
            SuccessDayModel(
                on=on,
                succeeded_count=day.succeeded_count,
                total_count=day.total_count,
                success_rate=day.rate,
            )
            for on in rates.days
            for day in (rates.find(kind, on),)
        ],
    )


def create_success_routes(room: GetRoom) -> tuple[APIRouter, APIRouter]:
    """Return the routes of the API and those of the pages."""
    api, pages = APIRouter(prefix="/v1"), APIRouter(include_in_schema=False)

    @api.get("/success-rates", tags=["pipelines"])
    async def get_success_rates(
        principal: PrincipalParameter, days: DaysParameter = _DEFAULT_DAYS_COUNT
    ) -> SuccessRatesModel:
        """Return how often services, cells and pipelines came to their end without help, by day."""
        async with room().database.reading() as session:
            rates = await read_success_rates(session, principal.project_id, days_count=days)
        return SuccessRatesModel.of(rates)

    @pages.get("/ui/success-rates")
    async def show_success_rates(
        request: Request, principal: PrincipalParameter, days: DaysParameter = _DEFAULT_DAYS_COUNT
    ) -> Response:
        async with room().database.reading() as session:
            rates = await read_success_rates(session, principal.project_id, days_count=days)
        shown = [kind for kind in RATED if rates.sum_up(kind).total_count]
        context = {
            "number_cards": [_build_card(rates, kind) for kind in shown],
            "chart": _draw(rates, shown) if shown else "",
            "days_count": days,
            "periods": (7, 30, 90),
            "nothing": _NOTHING,
        }
        return await render_page(
            request,
            "pipelines/success_rates.html",
            context,
            title="Success rates",
            twin_url=f"/v1/success-rates?days={days}",
        )

    return api, pages


def _build_card(rates: SuccessRates, kind: str) -> Card:
    counted, interval = rates.sum_up(kind), rates.compute_interval(kind)
    assert interval is not None  # noqa: S101 - only kinds with a case are shown
    cases = f"{counted.succeeded_count:,} of {counted.total_count:,}"
    return Card(
        _TITLES[kind],
        f"{interval.point:.1%}",
        f"{cases}; 95 % interval {interval.low:.0%} to {interval.high:.0%}",
    )


def _draw(rates: SuccessRates, kinds: list[str]) -> str:
    return render_line_chart(
        "Share that succeeded, by the day on which it ended (percent)",
        [day.isoformat() for day in rates.days],
        [
            Line(_TITLES[kind], tuple(rates.find(kind, day).rate for day in rates.days), _TONES[kind])
            for kind in kinds
        ],
        format_value=lambda value: f"{value:.0%}",
    )
