"""What an installer is told: the environment of pip, uv and npm as the user configured them.

Registries are never named by Referee. They come from the user's own client
configuration: variables of the clients, their files in the home folder, and
the proxy and certificate settings of the machine.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["build_installer_environment", "hide_secrets"]

_PASSED = re.compile(
    r"^(PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TMPDIR|XDG_\w+|PIP_\w+|UV_\w+|npm_config_.*|NPM_CONFIG_.*|NPM_TOKEN"
    r"|NETRC|NODE_EXTRA_CA_CERTS|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
    r"|(https?|all|no)_proxy|(HTTPS?|ALL|NO)_PROXY)$"
)
_CREDENTIALS = re.compile(r"(://)[^/\s@]+@")


def build_installer_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the part of ``environment`` that package clients need, and nothing else.

    uv does not read pip's configuration, so an index that only pip knows is handed to uv as
    its default; uv's own configuration wins.
    """
    passed = {name: value for name, value in environment.items() if _PASSED.match(name)}
    passed.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
    if not any(name in passed for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_CONFIG_FILE")):
        index = passed.get("PIP_INDEX_URL") or _find_pip_index(passed)
        if index:
            passed["UV_DEFAULT_INDEX"] = index
    passed["UV_PYTHON_DOWNLOADS"] = "never"
    passed["UV_NO_PROGRESS"] = "1"
    return passed


def hide_secrets(text: str) -> str:
    """Return ``text`` with the user and password of each address left out."""
    return _CREDENTIALS.sub(r"\1", text)


def _find_pip_index(environment: Mapping[str, str]) -> str | None:
    home = Path(environment.get("HOME", "/nonexistent"))
    config_home = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    if _has_uv_index(config_home):
        return None
    found: str | None = None
    candidates = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"), home / ".pip" / "pip.conf"]
    candidates += [config_home / "pip" / "pip.conf"]
    if environment.get("PIP_CONFIG_FILE"):
        candidates.append(Path(environment["PIP_CONFIG_FILE"]))
    for path in candidates:  # the later file wins, as in pip
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue  # pip itself complains about it; an installer that needs it fails and says why
        found = parser.get("global", "index-url", fallback=found)
    return found


def _has_uv_index(config_home: Path) -> bool:
    for path in (config_home / "uv" / "uv.toml", Path("/etc/uv/uv.toml"), Path("/etc/xdg/uv/uv.toml")):
        try:
            if "index" in path.read_text(encoding="utf-8"):
                return True
        except (OSError, UnicodeDecodeError):
            continue
    return False
