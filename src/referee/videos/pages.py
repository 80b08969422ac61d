"""Pages of videos: the library with its upload, one video, two side by side, and a player over time."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from referee.core.errors import InvalidInput
from referee.core.ids import format_id, parse_id
from referee.core.pages import DEFAULT_LIMIT
from referee.foundation.web.answers import CursorParameter, PrincipalParameter
from referee.foundation.web.charts import Estimate, render_interval_chart
from referee.foundation.web.formats import format_count, format_share
from referee.foundation.web.lists import Card, Column, EmptyState, ListView, Row, read_list_query
from referee.foundation.web.rendering import Crumb, render_page
from referee.videos import queries, remarks, result_queries, service, targets
from referee.videos.api import GetEngine, VideoId, read_video
from referee.videos.comparing import PlayerSummary, compare_videos, summarise_player
from referee.videos.files import find_revision
from referee.videos.room import GetRoom, VideosRoom
from referee.videos.shapes import (
    CameraView,
    Discipline,
    EventName,
    Handedness,
    MetricCode,
    MotionEvent,
    PassKind,
    Pitch,
    Target,
)
from referee.videos.states import NoteKind
from referee.videos.views import Video, VideoResults

__all__ = ["create_pages", "describe_results"]

CRUMB: Final = Crumb("Videos", "/ui/videos")
_COLUMNS: Final = (
    Column("title", "Video", is_title=True),
    Column("player", "Player"),
    Column("discipline", "Discipline"),
    Column("state", "State", "state"),
    Column("level", "Level"),
    Column("progress", "Done"),
    Column("size", "Size", "bytes", is_optional=True),
    Column("created", "Added", "time"),
)
_NO_VIDEOS: Final = EmptyState(
    "No videos yet",
    "Upload a clip of an athlete: poses are estimated here, technique is measured with intervals, and what was found "
    "is explained with pictures. Nothing leaves this machine.",
    "referee video analyze clip.mp4 --discipline batting",
)
_LEVEL_TONES: Final = {"low": "ok", "medium": "medium", "high": "high"}


def create_pages(room: GetRoom, engine: GetEngine) -> APIRouter:
    """Return the pages of videos."""
    router = APIRouter(include_in_schema=False)
    _add_reading(router, room)
    _add_acting(router, room, engine)
    return router


def _add_reading(router: APIRouter, room: GetRoom) -> None:
    @router.get("/ui/videos")
    async def show_videos(
        request: Request, principal: PrincipalParameter, cursor: CursorParameter = None
    ) -> Response:
        return await _show_list(request, room(), principal.project_id, cursor)

    @router.get("/ui/videos/compare")
    async def show_comparison(
        request: Request,
        principal: PrincipalParameter,
        baseline: Annotated[str, Query(max_length=80)] = "",
        candidate: Annotated[str, Query(max_length=80)] = "",
        event: Annotated[str, Query(max_length=40)] = "",
    ) -> Response:
        return await _show_comparison(request, room(), principal.project_id, baseline, candidate, event)

    @router.get("/ui/videos/players")
    async def show_player(
        request: Request,
        principal: PrincipalParameter,
        player: Annotated[str, Query(max_length=200)] = "",
        discipline: Annotated[str, Query(max_length=20)] = "",
    ) -> Response:
        return await _show_player(request, room(), principal.project_id, player, discipline)

    @router.get("/ui/videos/{video_id}")
    async def show_video(
        request: Request,
        video_id: VideoId,
        principal: PrincipalParameter,
        revision: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
        pass_kind: Annotated[PassKind | None, Query(alias="pass")] = None,
    ) -> Response:
        video = await read_video(room(), principal.project_id, video_id)
        context = await describe_results(room(), video, revision, pass_kind)
        async with room().database.reading() as session:
            notes = await remarks.list_notes(session, principal.project_id, video_id)
            shares = await remarks.list_shares(session, principal.project_id, video_id)
            revisions = await queries.list_revisions(session, principal.project_id, video_id, limit=20)
        return await render_page(
            request,
            "videos/video.html",
            {**context, "notes": notes.items, "shares": shares, "revisions": revisions.items},
            title=video.title,
            twin_url=f"/v1/videos/{video_id}",
            breadcrumb=(CRUMB,),
        )


def _add_acting(router: APIRouter, room: GetRoom, engine: GetEngine) -> None:
    @router.post("/ui/videos/{video_id}/analyze")
    async def analyze(
        video_id: VideoId,
        principal: PrincipalParameter,
        depth: Annotated[str, Form(max_length=10)] = "",
        start: Annotated[str, Form(max_length=10)] = "",
    ) -> Response:
        principal.require("write")
        await service.analyze_again(
            room(),
            engine(),
            principal.project_id,
            video_id,
            is_deep={"deep": True, "quick": False}.get(depth),
            is_from_start=start == "yes",
        )
        return _back(video_id)

    @router.post("/ui/videos/{video_id}/retry")
    async def retry(video_id: VideoId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        await service.retry(room(), engine(), principal.project_id, video_id)
        return _back(video_id)

    @router.post("/ui/videos/{video_id}/events")
    async def set_events(request: Request, video_id: VideoId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        form = await request.form()
        events = [
            MotionEvent(name, _read_number(str(form[name.value])), 0.0, is_edited=True)
            for name in EventName
            if str(form.get(name.value, "")).strip()
        ]
        await service.analyze_again(room(), engine(), principal.project_id, video_id, edited_events=events)
        return _back(video_id)

    @router.post("/ui/videos/{video_id}/details")
    async def change_details(request: Request, video_id: VideoId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        form = {name: str(value) for name, value in (await request.form()).items()}
        await service.update_video(room(), principal.project_id, video_id, changes=_read_details(form))
        return _back(video_id, "details")

    @router.post("/ui/videos/{video_id}/notes")
    async def add_note(
        video_id: VideoId,
        principal: PrincipalParameter,
        text: Annotated[str, Form(max_length=5_000)] = "",
        kind: Annotated[str, Form(max_length=20)] = "note",
        at: Annotated[str, Form(max_length=20)] = "",
    ) -> Response:
        principal.require("write")
        await remarks.create_note(
            room(),
            principal.project_id,
            video_id,
            text=text,
            kind=_read_word(NoteKind, kind),
            t_s=_read_number(at) if at.strip() else None,
        )
        return _back(video_id, "notes")

    @router.post("/ui/videos/{video_id}/shares")
    async def share(request: Request, video_id: VideoId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        _, url = await remarks.create_share(room(), principal.project_id, video_id, valid_days=14.0)
        video = await read_video(room(), principal.project_id, video_id)
        return await render_page(
            request,
            "videos/shared_link.html",
            # The whole address: what is copied is sent to somebody else.
            {"video": video, "url": f"{str(request.base_url).rstrip('/')}{url}"},
            title="A link to the video",
            breadcrumb=(CRUMB, Crumb(video.title, f"/ui/videos/{video_id}")),
        )

    @router.post("/ui/videos/{video_id}/withdraw")
    async def withdraw(video_id: VideoId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        async with room().database.reading() as session:
            shares = await remarks.list_shares(session, principal.project_id, video_id)
        for one in shares:
            await remarks.revoke_share(room(), principal.project_id, video_id, one.share_id)
        return _back(video_id, "share")

    @router.post("/ui/videos/{video_id}/delete")
    async def delete(video_id: VideoId, principal: PrincipalParameter) -> Response:
        principal.require("write")
        await service.delete_video(room(), engine(), principal.project_id, video_id)
        return RedirectResponse("/ui/videos", 303)

    @router.post("/ui/videos/players")
    async def set_targets(request: Request, principal: PrincipalParameter) -> Response:
        principal.require("write")
        form = {name: str(value) for name, value in (await request.form()).items()}
        player, discipline = form.get("player", ""), _read_word(Discipline, form.get("discipline", ""))
        limits = [
            Target(code, _read_number(form[f"{code}-low"]), _read_number(form[f"{code}-high"]))
            for code in MetricCode
            if form.get(f"{code}-low", "").strip() and form.get(f"{code}-high", "").strip()
        ]
        await targets.put_targets(room(), principal.project_id, player, discipline, limits)
        query = urlencode({"player": player, "discipline": discipline.value})
        return RedirectResponse(f"/ui/videos/players?{query}#goals", 303)


async def describe_results(
    room: VideosRoom, video: Video, number: int | None, kind: PassKind | None, *, base: str = ""
) -> dict[str, Any]:
    """Return what the page of a video shows of a revision. ``base``: where its files are."""
    revision = await find_revision(room, video, number)
    async with room.database.reading() as session:
        passes = await result_queries.list_passes(session, revision.revision_id)
        results = (
            await result_queries.get_best_results(session, revision)
            if kind is None
            else await result_queries.find_results(session, revision.revision_id, kind)
        )
        stretches = await result_queries.list_stretches(session, revision.revision_id)
    base = base or f"/v1/videos/{video.video_id}/files"
    query = "" if results is None else f"?revision={revision.number}&pass={results.done.kind}"
    compliance = None if results is None else targets.compute_compliance(revision.targets, results.metrics)
    return {
        "video": video,
        "revision": revision,
        "label": format_id("video", video.video_id),
        "topic": f"video:{video.video_id}",
        "results": results,
        "passes": passes,
        "stretches": stretches,
        "missing": result_queries.find_missing(revision, passes),
        "base": base,
        "query": query,
        "chart": None if results is None else _draw_metrics(results),
        "compliance": compliance,
        "event_names": _events_of(video.discipline),
        "known_events": {} if results is None else {event.name.value: event for event in results.events},
        "note_kinds": [one.value for one in NoteKind],
        "disciplines": [one.value for one in Discipline],
        "handednesses": [one.value for one in Handedness],
        "camera_views": [one.value for one in CameraView],
        "tones": _LEVEL_TONES,
        "clip_type": "video/mp4" if video.proxy_sha256 is not None else video.media_type,
    }


async def _show_list(request: Request, room: VideosRoom, project_id: UUID, cursor: str | None) -> Response:
    query = read_list_query(request, queries.VIDEO_FIELDS)
    async with room.database.reading() as session:
        page = await queries.list_videos(
            session, project_id, where=query.filter, cursor=cursor, limit=DEFAULT_LIMIT
        )
        players = await queries.list_players(session, project_id)
    view = ListView(
        title="Videos",
        noun="videos",
        query=query,
        columns=_COLUMNS,
        rows=[_row(video) for video in page.items],
        total_count=page.total_count,
        limit=page.limit,
        next_cursor=page.next_cursor,
        empty=_NO_VIDEOS,
        twin_url=query.url(item=None).replace("/ui/videos", "/v1/videos", 1),
        fields=queries.VIDEO_FIELDS,
        live_topic="videos",
        caption="Videos, newest first",
    )
    context = {
        "view": view,
        "players": players,
        "disciplines": [one.value for one in Discipline],
        "handednesses": [one.value for one in Handedness],
        "camera_views": [one.value for one in CameraView],
    }
    return await render_page(request, "videos/videos.html", context, title="Videos", twin_url=view.twin_url)


async def _show_comparison(
    request: Request, room: VideosRoom, project_id: UUID, baseline: str, candidate: str, event: str
) -> Response:
    comparison = None
    if baseline and candidate:
        comparison = await compare_videos(
            room,
            project_id,
            parse_id(baseline, "video"),
            parse_id(candidate, "video"),
            event=_read_word(EventName, event) if event else None,
        )
    async with room.database.reading() as session:
        choices = (await queries.list_videos(session, project_id, limit=100)).items
    chart = None
    if comparison is not None and comparison.changes:
        estimates = [
            Estimate(
                f"{_words(one.code)}{f' ({one.unit})' if one.unit else ''}",
                one.difference,
                one.low,
                one.high,
                detail=_words(one.verdict),
            )
            for one in comparison.changes
        ]
        chart = render_interval_chart(
            "Difference of each metric, candidate less baseline, 95 % interval", estimates
        )
    twin = "/v1/videos"
    if comparison is not None:
        ids = {"baseline": comparison.baseline.video_id, "candidate": comparison.candidate.video_id}
        twin = f"/v1/video-comparison?{urlencode(ids)}"
    context = {
        "comparison": comparison,
        "choices": choices,
        "chart": chart,
        "baseline": "" if comparison is None else str(comparison.baseline.video_id),
        "candidate": "" if comparison is None else str(comparison.candidate.video_id),
        "event_names": [one.value for one in EventName],
    }
    return await render_page(
        request, "videos/compare.html", context, title="Compare videos", twin_url=twin, breadcrumb=(CRUMB,)
    )


async def _show_player(
    request: Request, room: VideosRoom, project_id: UUID, player: str, discipline: str
) -> Response:
    chosen = _read_word(Discipline, discipline) if discipline else None
    summary = await summarise_player(room, project_id, player, discipline=chosen)
    async with room.database.reading() as session:
        players = await queries.list_players(session, project_id)
        goals = await targets.find_targets(session, project_id, player, chosen or Discipline.batting)
    charts = [
        render_interval_chart(
            f"{_words(code).capitalize()} ({unit}) over videos, 95 % interval",
            [
                Estimate(
                    f"{point.at:%Y-%m-%d} {point.title}",
                    point.value,
                    point.low,
                    point.high,
                    detail=point.level or "not measurable",
                    url=f"/ui/videos/{point.video_id}",
                )
                for point in points[-30:]
            ],
            has_zero=False,
        )
        for code in MetricCode
        if (points := [point for point in summary.trend if point.code == code.value])
        # A metric that no video measures has nothing to draw; its reasons stand on the videos.
        if (unit := next((point.unit for point in points if point.value is not None), ""))
    ]
    context = {
        "summary": summary,
        "players": players,
        "charts": charts,
        "codes": [one.value for one in MetricCode],
        "goals": {goal.code.value: goal for goal in goals},
        "disciplines": [one.value for one in Discipline],
        "discipline": (chosen or Discipline.batting).value,
        "cards_shown": _count_cards(summary),
    }
    query = urlencode({"player": player, **({"discipline": chosen.value} if chosen else {})})
    return await render_page(
        request,
        "videos/player.html",
        context,
        title=f"Player {player}" if player else "Players",
        twin_url=f"/v1/video-players?{query}",
        breadcrumb=(CRUMB,),
    )


def _count_cards(summary: PlayerSummary) -> list[Card]:
    share = summary.compliance_share
    return [
        Card(
            "Videos", format_count(summary.videos_count), f"{format_count(summary.analysed_count)} analysed"
        ),
        Card("Goals met", "none" if share is None else format_share(share, 0), "in the last video"),
        Card("Got better", format_count(len(summary.improved)), _words(", ".join(summary.improved))),
        Card("Got worse", format_count(len(summary.worsened)), _words(", ".join(summary.worsened))),
    ]


def _row(video: Video) -> Row:
    return Row(
        row_id=video.video_id.hex,
        url=f"/ui/videos/{video.video_id}",
        cells={
            "title": video.title,
            "player": video.player,
            "discipline": video.discipline.value,
            "state": video.state,
            "level": _words(video.overall_level or ""),
            "progress": format_share(video.revision.progress_share, 0).replace(" ", "\u00a0"),
            "size": video.size_bytes,
            "created": video.created_at,
        },
    )


def _draw_metrics(results: VideoResults) -> Any:
    estimates = [
        Estimate(
            f"{_words(metric.code)}{f' ({metric.unit})' if metric.unit else ''}",
            metric.value,
            metric.low,
            metric.high,
            tone="series-1",
            detail=f"{metric.level}{', uncertain' if metric.is_uncertain else ''}"
            if metric.level
            else "not measurable",
        )
        for metric in results.metrics
    ]
    return render_interval_chart("Each metric with its 95 % interval, in its unit", estimates)


def _events_of(discipline: Discipline) -> list[str]:
    bowling = (
        EventName.back_foot_contact,
        EventName.front_foot_contact,
        EventName.release,
        EventName.follow_through,
    )
    batting = (
        EventName.stance,
        EventName.backlift,
        EventName.stride,
        EventName.impact,
        EventName.follow_through,
    )
    return [one.value for one in (bowling if discipline is Discipline.bowling else batting)]


def _read_details(form: dict[str, str]) -> dict[str, Any]:
    changes: dict[str, Any] = {name: form[name] for name in ("title", "player", "notes") if name in form}
    for name, words in (
        ("discipline", Discipline),
        ("handedness", Handedness),
        ("camera_view", CameraView),
    ):
        if form.get(name):
            changes[name] = _read_word(words, form[name]).value
    if "capture_fps" in form:
        changes["capture_fps"] = _read_number(form["capture_fps"]) if form["capture_fps"].strip() else None
    if "pitch" in form:
        changes["pitch"] = _read_pitch(form["pitch"], form.get("across_m", ""), form.get("down_m", ""))
    if "athlete" in form:
        changes["athlete"] = _read_click(form["athlete"])
    return changes


def _read_click(text: str) -> tuple[float, float, float] | None:
    parts = [part for part in text.replace(",", " ").split() if part]
    if not parts:
        return None
    if len(parts) != 3:
        raise InvalidInput(
            "video.athlete_invalid", "The click is not on the clip.", "Give seconds, x and y, none below 0."
        )
    t_s, x_px, y_px = map(_read_number, parts)
    return t_s, x_px, y_px


def _read_pitch(text: str, across: str, down: str) -> Pitch | None:
    parts = [_read_number(part) for part in text.replace(",", " ").split()]
    if not parts:
        return None
    if len(parts) != 8:
        raise InvalidInput(
            "video.pitch_invalid",
            f"Four corners are eight numbers, and {len(parts)} were given.",
            "Click on top left, top right, bottom left and bottom right.",
        )
    a, b, c, d = zip(parts[::2], parts[1::2], strict=True)
    return Pitch((a, b, c, d), _read_number(across), _read_number(down))


def _read_number(text: str) -> float:
    try:
        value = float(text.strip())
        if not abs(value) < 1e9:
            raise ValueError(text)
    except ValueError as error:
        raise InvalidInput(
            "video.number_invalid", f"{text[:40]!r} is no number.", "Write it as 1.25."
        ) from error
    return value


def _read_word(words: Any, text: str) -> Any:
    try:
        return words(text)
    except ValueError as error:
        raise InvalidInput(
            "video.word_unknown", f"{text[:40]!r} is not known here.", f"Use one of: {', '.join(words)}."
        ) from error


def _words(text: str) -> str:
    return text.replace("_", " ")


def _back(video_id: UUID, anchor: str = "") -> Response:
    return RedirectResponse(f"/ui/videos/{video_id}{f'#{anchor}' if anchor else ''}", 303)
