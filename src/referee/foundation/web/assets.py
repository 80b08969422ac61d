"""Static files with the hash of their content in the address.

A file's address changes exactly when its bytes do, so browsers may keep it for
a year and never show a stale one. Everything is read once at the start; the
whole set is a few hundred kilobytes.
"""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.responses import Response

from referee.core.errors import NotFound

__all__ = ["STATIC_PREFIX", "Asset", "Assets"]

STATIC_PREFIX: Final = "/-/static"
HASH_DIGITS_COUNT: Final = 12
"""48 bits tell two versions of one file apart."""
MAX_AGE_S: Final = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, ready to send."""

    path: str
    data: bytes
    media_type: str
    digest: str
    """The first digits of its SHA-256."""

    @property
    def url(self) -> str:
        """Return the address that changes with the content."""
        return f"{STATIC_PREFIX}/{self.digest}/{self.path}"


class Assets:
    """The static files of the shell and of the rooms that bring their own."""

    def __init__(self) -> None:
        self._by_path: dict[str, Asset] = {}
        self.add_folder(Path(__file__).parent / "static")

    def add_folder(self, folder: Path, prefix: str = "") -> None:
        """Add every file below ``folder``, its path put behind ``prefix``."""
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            path = prefix + file.relative_to(folder).as_posix()
            data = file.read_bytes()
            media_type = mimetypes.guess_type(path)[0] or "text/plain"
            digest = hashlib.sha256(data).hexdigest()[:HASH_DIGITS_COUNT]
            self._by_path[path] = Asset(path, data, media_type, digest)

    def url(self, path: str) -> str:
        """Return the address of a file.

        Raises:
            NotFound: No file has that path.
        """
        return self._get(path).url

    def respond(self, digest: str, path: str) -> Response:
        """Return the file; only under its own digest may it be kept without asking again."""
        asset = self._get(path)
        is_current = digest == asset.digest
        lifetime = f"public, max-age={MAX_AGE_S}, immutable" if is_current else "no-cache"
        return Response(
            asset.data,
            media_type=asset.media_type,
            headers={"Cache-Control": lifetime, "ETag": f'"{asset.digest}"'},
        )

    def _get(self, path: str) -> Asset:
        try:
            return self._by_path[path]
        except KeyError:
            raise NotFound("web.static_not_found", f"There is no static file {path!r}.") from None
