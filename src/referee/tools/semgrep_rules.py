"""The rules that semgrep runs with: compiled once per environment, then picked for each run.

Semgrep's time on a small app is the loading of YAML, so all rules are compiled into one JSON
file beside the environment, named by the digest of what they are made of; a run gets only
the rules of the languages that its subject has.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from referee.core.errors import InvalidInput, Unavailable
from referee.foundation.sandbox import Command, Limits, run_command
from referee.tools.contract import Installation, ParameterValue
from referee.tools.node_runs import CONFIGS_DIR

__all__ = ["RULES_DIR", "CompiledRules", "build_environment", "ensure_rules", "load_rules", "pick_rules"]

RULES_DIR = Path(__file__).parent / "rules" / "semgrep"
"""Our own rules, one YAML file per area."""
_COMPILE = CONFIGS_DIR / "semgrep" / "compile_rules.py"
_COMMUNITY = CONFIGS_DIR / "semgrep" / "community_rules.json"
_LIMITS = Limits(wall_s=300, memory_bytes=2048 * 1024 * 1024)
_RANKS = {"INFO": 0, "LOW": 0, "WARNING": 1, "MEDIUM": 1, "ERROR": 2, "HIGH": 2, "CRITICAL": 3}


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """All rules of an environment."""

    rules: tuple[dict[str, Any], ...]
    """As semgrep takes them; only ``id``, ``languages``, ``severity`` and ``metadata`` are looked at here."""
    dropped: Mapping[str, str]
    """Reason by id for rules that were left out."""


async def ensure_rules(installation: Installation) -> Path:
    """Return the file of all compiled rules, compiling them first if need be.

    Raises:
        Unavailable: They cannot be compiled or written.
    """
    path = installation.root / f"rules-{await asyncio.to_thread(_compute_digest)}.json"
    if path.is_file():
        return path
    staging = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="referee-rules-"))
    try:
        await _compile(installation, staging)
        await asyncio.to_thread(_put_in_place, staging / "work", path)
    except OSError as error:
        raise Unavailable(
            "tools.install_failed",
            f"The rules of semgrep could not be written: {error.strerror or error}.",
            "Make room and see to it that the tools' folder can be written.",
        ) from error
    finally:
        await asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True)
    return path


def build_environment(installation: Installation, work: Path) -> dict[str, str]:
    """Return the environment in which semgrep stays offline and writes only below ``work``.

    It refuses to start without certificates, although it connects to nothing; its own package brings some.
    """
    certificates = next(installation.root.glob("lib/python*/site-packages/certifi/cacert.pem"), None)
    return {
        "HOME": str(work),
        "TMPDIR": str(work),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{installation.root / 'bin'}:/usr/bin:/bin",
        "SSL_CERT_FILE": str(certificates or ""),
        "SEMGREP_SETTINGS_FILE": str(work / "settings.yml"),
        "SEMGREP_VERSION_CACHE_PATH": str(work / "version"),
        "SEMGREP_LOG_FILE": str(work / "semgrep.log"),
        "SEMGREP_ENABLE_VERSION_CHECK": "0",
        "SEMGREP_SEND_METRICS": "off",
        "XDG_CONFIG_HOME": str(work),
        "XDG_CACHE_HOME": str(work),
    }


def load_rules(path: Path) -> CompiledRules:
    """Return the compiled rules and the reasons for those that are missing."""
    return CompiledRules(
        tuple(json.loads(path.read_bytes())["rules"]), json.loads(_dropped_path(path).read_bytes())
    )


def pick_rules(
    compiled: CompiledRules, parameters: Mapping[str, ParameterValue], languages: Set[str]
) -> list[dict[str, Any]]:
    """Return the rules that a run needs.

    Args:
        compiled: All rules.
        parameters: ``config`` (whose rules), ``rules`` (only these) and ``severity`` (at least).
        languages: Languages of the subject, in semgrep's words.

    Raises:
        InvalidInput: The parameter ``rules`` names one that does not exist.
    """
    config, least = parameters.get("config"), _RANKS[str(parameters.get("severity", "INFO"))]
    wanted = parameters.get("rules")
    names = set(wanted) if isinstance(wanted, tuple) else set()
    unknown = sorted(names - {rule["id"] for rule in compiled.rules})
    if unknown:
        raise InvalidInput(
            "tools.invalid_parameter",
            f"There is no semgrep rule {unknown[0]!r}.",
            "Give ids as findings show them, such as referee.python.ssrf.",
        )
    return [
        rule
        for rule in compiled.rules
        if (not names or rule["id"] in names)
        and (config == "auto" or rule["id"].startswith(f"{config}."))
        and _RANKS.get(rule["severity"], 1) >= least
        and not languages.isdisjoint(rule["languages"])
    ]


def _compute_digest() -> str:
    digest = hashlib.sha256()
    for path in (*sorted(RULES_DIR.glob("*.yaml")), _COMPILE, _COMMUNITY):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


async def _compile(installation: Installation, staging: Path) -> None:
    work, output_dir = staging / "work", staging / "output"
    for folder in (work, output_dir):
        folder.mkdir(mode=0o700)
    programs = installation.root / "bin"
    argv = (str(programs / "python"), str(_COMPILE), str(RULES_DIR), str(_COMMUNITY), str(programs / "semgrep"),
        str(work / "rules.json"))  # fmt: skip
    command = Command(
        label="semgrep-rules",
        argv=argv,
        working_dir=work,
        environment=build_environment(installation, work),
        read_only=(*installation.read_only, RULES_DIR, _COMPILE.parent),
        writable=(work,),
    )
    result = await run_command(command, _LIMITS, output_dir)
    if result.end != "exited" or result.exit_code != 0:
        words = result.stderr_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise Unavailable(
            "tools.install_failed",
            f"The rules of semgrep could not be compiled: {words[-1][:300] if words else result.reason}",
            "Remove semgrep's folder from the tools' folder and install it again.",
        )


def _put_in_place(work: Path, path: Path) -> None:
    """The rules come last, so that whoever sees them finds the reasons too."""
    for source, target in (
        (work / "rules.json.dropped.json", _dropped_path(path)),
        (work / "rules.json", path),
    ):
        temporary = path.with_name(f".{target.name}.{work.parent.name}")
        shutil.copyfile(source, temporary)
        temporary.rename(target)


def _dropped_path(path: Path) -> Path:
    return path.with_suffix(".dropped.json")
