"""``referee video``: clips analysed on the command line, and what that needs."""

from __future__ import annotations

import asyncio

import typer

from referee.videos.clip_commands import register_clip_commands

__all__ = ["video_app"]

video_app = typer.Typer(
    name="video", help="Videos of athletes: analysis and what it needs.", no_args_is_help=True
)


register_clip_commands(video_app)


@video_app.callback()
def _group() -> None:
    """Videos of athletes: analysis and what it needs."""


@video_app.command("install")
def install_command() -> None:
    """Install the decoder, the runtime and the weights of the pose model; what is there already is left alone."""
    from referee.videos.vision import install_vision

    vision = asyncio.run(install_vision())
    for name, version in sorted(vision.versions.items()):
        typer.echo(f"{name:16} {version}")
    typer.echo(f"{'weights':16} @mediapipe/pose, four models, digests checked")
