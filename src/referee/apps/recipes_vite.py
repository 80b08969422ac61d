"""Where a frontend expects its backend, and where it listens itself, read from its text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container
from typing import Final

from referee.apps.recipes_ports import is_port
from referee.apps.recipes_reading import SourceReader, join_path, strip_script_comments

__all__ = ["find_backend_port", "find_own_port", "find_proxy_variables"]

_LOCAL_ADDRESS: Final = re.compile(
    r"\b(?:https?|wss?)://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\]|host\.docker\.internal"
    r"|backend|server|api|web)"
    r":(\d{2,5})\b"
)
"""An address of this machine, or of a neighbour as a compose file names it."""
_VARIABLE: Final = re.compile(r"\b(?:process\.env|env|import\.meta\.env)\.([A-Z][A-Z0-9_]*)")
_DEFAULTED: Final = re.compile(
    r"\b(?:process\.env|env)\.([A-Z][A-Z0-9_]*)\s*(?:\|\||\?\?)\s*"
    r"['\"`]https?://[^'\"`/\s]{1,200}(/?[^'\"`\s]{0,200})['\"`]"
)
"""A variable, and the address that stands for it when it is not set."""
_BACKEND_WORD: Final = re.compile(r"BACKEND|API|PROXY|SERVER")
_ADDRESS_WORD: Final = re.compile(r"URL|TARGET|ORIGIN|BASE|ADDRESS")
_MAX_SOURCES: Final = 200
_SCRIPT_ENDINGS: Final = (".js", ".jsx", ".ts", ".tsx", ".mjs")
_OTHER_ENDINGS: Final = (".vue", ".svelte", ".html", ".env", ".env.local", ".env.development")


def find_own_port(config: str) -> int | None:
    """Return the port that a Vite configuration fixes for its development server."""
    start = re.search(r"\bserver\s*:\s*\{", config)
    if start is None:
        return None
    server = re.split(r"\bpreview\s*:", config[start.end() :], maxsplit=1)[0]
    found = re.search(r"(?<![\w.])port\s*:\s*(\d{2,5})\s*[,}\n]", server)
    return int(found[1]) if found and is_port(int(found[1])) else None


def find_proxy_variables(text: str) -> dict[str, str]:
    """Return the variables by which a configuration or server learns where the backend is, and their values.

    A path that the default ends with, as ``/api``, is kept.
    """
    paths = {found[1]: found[2].rstrip("/") for found in _DEFAULTED.finditer(text)}
    names = dict.fromkeys(found[1] for found in _VARIABLE.finditer(text))
    return {
        name: "{backend_url}" + paths.get(name, "")
        for name in names
        if _BACKEND_WORD.search(name) and _ADDRESS_WORD.search(name)
    }


def find_backend_port(reader: SourceReader, folder: str, variables: Container[str]) -> int | None:
    """Return the port at which a frontend looks for its backend, None when it can be told.

    Its configuration says it first, as a proxy does; else the address that its source names most.

    Args:
        reader: Of the app's snapshot.
        folder: Of the frontend.
        variables: Those that tell it the address; the defaults beside them do not count.
    """
    for ending in ("js", "ts", "mjs", "mts", "cjs", "cts"):
        text = reader.find_text(join_path(folder, f"vite.config.{ending}"))
        found = _find_ports(strip_script_comments(text or ""), variables)
        if found:
            return found[0]
    package = reader.find_object(join_path(folder, "package.json")) or {}
    ports = _find_ports(str(package.get("proxy", "")), variables)
    for file in reader.list_files(folder, *_SCRIPT_ENDINGS, *_OTHER_ENDINGS)[:_MAX_SOURCES]:
        text = reader.find_text(file.path) or ""
        ports += _find_ports(
            strip_script_comments(text) if file.path.endswith(_SCRIPT_ENDINGS) else text, variables
        )
    return Counter(ports).most_common(1)[0][0] if ports else None


def _find_ports(text: str, variables: Container[str]) -> list[int]:
    fixed = _DEFAULTED.sub(lambda found: "" if found[1] in variables else found[0], text)
    ports = (int(found[1]) for found in _LOCAL_ADDRESS.finditer(fixed))
    return [port for port in ports if is_port(port)]
