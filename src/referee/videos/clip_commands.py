"""``referee video analyze``, ``list``, ``show`` and ``retry``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Protocol
from uuid import UUID

import typer

from referee.foundation.terminal import (
    CursorOption,
    JsonOption,
    LimitOption,
    ProjectOption,
    make_console,
    print_page_json,
    print_rest,
    run_for_project,
    write_output,
)

if TYPE_CHECKING:
    from referee.core.pages import Page
    from referee.foundation.jobs import JobEngine
    from referee.foundation.store import Database
    from referee.videos.room import VideosRoom
    from referee.videos.shapes import Capture
    from referee.videos.views import Video, VideoResults

__all__ = ["EXIT_INCOMPLETE", "VideoApplication", "register_clip_commands"]

EXIT_INCOMPLETE = 11
"""Exit code: the analysis ended, and not as done."""


class VideoApplication(Protocol):
    """The parts of the application that these commands use."""

    @property
    def database(self) -> Database:
        """The open database."""

    @property
    def engine(self) -> JobEngine:
        """The job engine."""

    @property
    def videos(self) -> VideosRoom:
        """The videos room."""


VideoArgument = Annotated[str, typer.Argument(help="Id of the video.")]


def register_clip_commands(app: typer.Typer) -> None:
    """Add the commands about clips to ``referee video``."""
    app.command("analyze")(analyze_command)
    app.command("list")(list_command)
    app.command("show")(show_command)
    app.command("retry")(retry_command)


def analyze_command(
    ctx: typer.Context,
    clip: Annotated[str, typer.Argument(help="Clip of an athlete: mp4, mov, avi, webm or mkv.")],
    discipline: Annotated[
        str, typer.Option("--discipline", help="batting, bowling, keeping or fielding.")
    ] = "batting",
    hand: Annotated[str, typer.Option("--hand", help="right or left.")] = "right",
    view: Annotated[
        str, typer.Option("--view", help="Where the camera is: side, front, behind or other.")
    ] = "side",
    capture_fps: Annotated[
        float | None, typer.Option("--capture-fps", help="Frames a second when filmed, for slow motion.")
    ] = None,
    athlete: Annotated[
        str | None, typer.Option("--athlete", help="A click on the person meant: seconds,x,y in pixels.")
    ] = None,
    title: Annotated[str, typer.Option("--title", help="Default: the file's name.")] = "",
    player: Annotated[str, typer.Option("--player", help="Who is seen.")] = "",
    is_deep: Annotated[bool, typer.Option("--deep", help="Every frame, after the quick pass.")] = False,
    is_again: Annotated[
        bool, typer.Option("--again", help="A new revision, though this clip was analysed before.")
    ] = False,
    pdf: Annotated[str | None, typer.Option("--pdf", help="Where to write the report.")] = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Analyse a clip, follow it to its end and print what was found.

    The same clip with the same words is the same video: called again it shows what was found.

    Exit codes: 0 done; 2 bad input; 4 no such file; 11 the analysis failed, and says why.
    """
    capture = _read_capture(discipline, hand, view, capture_fps, athlete)

    async def run(
        application: VideoApplication, project_id: UUID
    ) -> tuple[Video, VideoResults | None, bytes]:
        from referee.videos.files import open_file
        from referee.videos.following import add_clip, follow_video
        from referee.videos.result_queries import get_best_results

        video = await add_clip(
            application.videos, application.engine, project_id, clip, capture,
            title=title, player=player, is_deep=is_deep, is_again=is_again,
        )  # fmt: skip
        video = await follow_video(
            application.database, project_id, video.video_id, make_console(stderr=True)
        )
        async with application.database.reading() as session:
            results = await get_best_results(session, video.revision)
        report = b""
        if pdf is not None and results is not None:
            report = (await open_file(application.videos, video, "pdf")).data or b""
        return video, results, report

    video, results, report = run_for_project(ctx, project, run, is_worker=None)
    if pdf is not None and report:
        write_output(pdf, report)
    _print(video, results, is_json=is_json)
    if video.state.value != "done":
        raise typer.Exit(EXIT_INCOMPLETE)


def list_command(
    ctx: typer.Context,
    where: Annotated[
        list[str] | None, typer.Argument(metavar="[FILTER]...", help="Such as: state:failed")
    ] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """List videos, newest first."""

    async def read(application: VideoApplication, project_id: UUID) -> Page[Video]:
        from referee.foundation.web.filters import parse_filter
        from referee.videos.queries import VIDEO_FIELDS, list_videos

        async with application.database.reading() as session:
            return await list_videos(
                session,
                project_id,
                where=parse_filter(" ".join(where or []), VIDEO_FIELDS),
                cursor=cursor,
                limit=limit,
            )

    page = run_for_project(ctx, project, read)
    if is_json:
        from referee.videos.models import VideoModel

        print_page_json(page.map(VideoModel.of))
        return
    from referee.videos.printing import print_videos

    print_videos(make_console(), page)
    print_rest(len(page.items), page.total_count, page.next_cursor)


def show_command(
    ctx: typer.Context,
    video_id: VideoArgument,
    pdf: Annotated[str | None, typer.Option("--pdf", help="Where to write the report.")] = None,
    is_json: JsonOption = False,
    project: ProjectOption = "default",
) -> None:
    """Show a video: metrics with intervals, findings and report."""

    async def read(
        application: VideoApplication, project_id: UUID
    ) -> tuple[Video, VideoResults | None, bytes]:
        from referee.core.ids import parse_id
        from referee.videos.files import open_file
        from referee.videos.queries import get_video
        from referee.videos.result_queries import get_best_results

        async with application.database.reading() as session:
            video = await get_video(session, project_id, parse_id(video_id, "video"))
            results = await get_best_results(session, video.revision)
        report = b"" if pdf is None else (await open_file(application.videos, video, "pdf")).data or b""
        return video, results, report

    video, results, report = run_for_project(ctx, project, read)
    if pdf is not None:
        write_output(pdf, report)
    _print(video, results, is_json=is_json)


def retry_command(ctx: typer.Context, video_id: VideoArgument, project: ProjectOption = "default") -> None:
    """Let a failed analysis go on where it was, and follow it to its end.

    Exit codes: 0 done; 5 it has not failed; 11 it failed again.
    """

    async def run(application: VideoApplication, project_id: UUID) -> tuple[Video, VideoResults | None]:
        from referee.core.ids import parse_id
        from referee.videos.following import follow_video
        from referee.videos.result_queries import get_best_results
        from referee.videos.service import retry

        wanted = parse_id(video_id, "video")
        await retry(application.videos, application.engine, project_id, wanted)
        video = await follow_video(application.database, project_id, wanted, make_console(stderr=True))
        async with application.database.reading() as session:
            return video, await get_best_results(session, video.revision)

    video, results = run_for_project(ctx, project, run, is_worker=None)
    _print(video, results, is_json=False)
    if video.state.value != "done":
        raise typer.Exit(EXIT_INCOMPLETE)


def _print(video: Video, results: VideoResults | None, *, is_json: bool) -> None:
    if is_json:
        from referee.videos.printing import dump_video

        typer.echo(dump_video(video, results))
        return
    from referee.videos.printing import print_video

    print_video(make_console(), video, results)


def _read_capture(
    discipline: str, hand: str, view: str, capture_fps: float | None, athlete: str | None
) -> Capture:
    from referee.core.errors import InvalidInput
    from referee.videos.shapes import CameraView, Capture, Discipline, Handedness

    try:
        click = None
        if athlete is not None:
            t_s, x_px, y_px = map(float, athlete.split(","))
            click = (t_s, x_px, y_px)
        return Capture(Discipline(discipline), Handedness(hand), CameraView(view), capture_fps, click)
    except ValueError as error:
        raise InvalidInput(
            "video.word_unknown", f"What is said of the clip is not understood: {error}.", "See --help."
        ) from error
