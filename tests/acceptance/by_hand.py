"""The eight tools as a person runs them: the same programs, plain command lines from their documentation.

What the product does on purpose is given to the hand too, and nothing else of the product's code is used:

- *The same files.* The product leaves out vendored and minified files, so the hand works in a copy of those it kept.
- *Comments that silence.* The product keeps what they hide and marks it, so in the copy the words that silence
  are overwritten by as many other letters; the hand's count is to be findings and suppressed ones together.
- *The same parameters*, as the product stored them with the run, where a default of Referee is not the tool's.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from referee.tools import Installation, ToolInstaller, get_tool

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / "src" / "referee" / "tools" / "configs"
ADVISORIES = REPOSITORY / "src" / "referee" / "tools" / "advisories" / "data" / "pypi.json"

SILENCERS = {
    "bandit": re.compile(rb"nosec"),
    "jshint": re.compile(rb"js[hl]int(?=[\s:])"),
    "mypy": re.compile(rb"type:(?= *ignore)"),
    "pylint": re.compile(rb"pylint:"),
    "vulture": re.compile(rb"noqa", re.IGNORECASE),
}
"""Each tool's own words; the others have an option that makes them deaf to comments, or know none."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A copy of the files that the product judged, with the means to run a tool on it."""

    sources: Path
    """The files with nothing silenced."""
    originals: Path
    """The files as they are."""
    work: Path
    installer: ToolInstaller
    languages: Mapping[str, str | None]
    """Language by path."""
    run: Mapping[str, Any]
    """The product's tool run, as the API tells it: parameters and coverage."""

    def files_in(self, *languages: str) -> list[str]:
        """Return the paths of files in these languages."""
        return sorted(path for path, language in self.languages.items() if language in languages)

    def install(self, tool: str) -> Installation:
        """Return a tool's environment, which is there already."""
        return asyncio.run(get_tool(tool).ensure_installed(self.installer))

    def call(
        self, *command: str | Path, allowed: Sequence[int], folder: Path | None = None, **variables: str
    ) -> str:
        """Run a command in the copy and return what it prints."""
        ended = subprocess.run(
            command,
            cwd=folder or self.sources,
            env={"PATH": os.environ["PATH"], "HOME": str(self.work), "LC_ALL": "C.UTF-8", **variables},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert ended.returncode in allowed, (
            f"{command[0]} ended with {ended.returncode}: {ended.stderr[-2000:]}"
        )
        return ended.stdout


def copy_files(
    source: Path, target: Path, files: Iterable[str], *, silencer: re.Pattern[bytes] | None = None
) -> None:
    """Copy files, with the words of a silencer overwritten so that every place stays where it is."""
    for path in files:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        data = (source / path).read_bytes()
        if silencer is not None:
            data = silencer.sub(lambda match: b"x" * len(match.group()), data)
        (target / path).write_bytes(data)


def count_bandit(bench: Bench) -> int:
    """``bandit -r``: assertions (B101) are left out by the product's default parameters."""
    skipped = ",".join(bench.run["parameters"]["skips"])
    program = bench.install("bandit").root / "bin" / "bandit"
    printed = bench.call(program, "-r", ".", "-q", "-f", "json", "-s", skipped, allowed=(0, 1))
    return len(json.loads(printed)["results"])


def count_pylint(bench: Bench) -> int:
    """``pylint FILES``: every file is named, since pylint leaves out folders that are no packages."""
    parameters = bench.run["parameters"]
    program = bench.install("pylint").root / "bin" / "pylint"
    printed = bench.call(
        program,
        "--rcfile=/dev/null",
        f"--disable={','.join(parameters['disable'])}",
        "--good-names=i,j,k,ex,Run,_,id,pk,db,app",
        "--output-format=json2",
        *bench.files_in("python"),
        allowed=range(32),
    )
    return len(json.loads(printed)["messages"])


def count_mypy(bench: Bench) -> int:
    """``mypy FILES``: packages that the app needs are not installed, so missing imports are ignored.

    mypy itself knows only which codes a comment silenced on its line, not how often: they count once.
    """
    visible = _run_mypy(bench, bench.originals)
    hidden = _run_mypy(bench, bench.sources) - visible
    return visible.total() + len({(path, line, code) for path, line, code, _ in hidden})


def _run_mypy(bench: Bench, folder: Path) -> Counter[tuple[str, int, str, str]]:
    program = bench.install("mypy").root / "bin" / "mypy"
    printed = bench.call(
        program,
        "--output=json",
        "--no-error-summary",
        "--config-file=",
        "--ignore-missing-imports",
        "--check-untyped-defs",
        "--no-site-packages",
        "--namespace-packages",
        "--explicit-package-bases",
        f"--cache-dir={bench.work / folder.name}",
        *bench.files_in("python"),
        allowed=(0, 1),
        folder=folder,
    )
    messages = [json.loads(line) for line in printed.splitlines()]
    return Counter((one["file"], one["line"], one["code"], one["message"]) for one in messages)


def count_vulture(bench: Bench) -> int:
    """``vulture .``: what a web framework calls by decorator or by name is not unused."""
    parameters = bench.run["parameters"]
    program = bench.install("vulture").root / "bin" / "vulture"
    printed = bench.call(
        program,
        ".",
        f"--min-confidence={parameters['min_confidence']}",
        f"--ignore-decorators={','.join(parameters['ignore_decorators'])}",
        f"--ignore-names={','.join(parameters['ignore_names'])}",
        allowed=(0, 3),
    )
    return len(re.findall(r"^.+:\d+: .+ \(\d+% confidence", printed, re.MULTILINE))


def count_semgrep(bench: Bench) -> int:
    """``semgrep scan`` with the product's rules: the registry's cannot be had offline."""
    (bench.sources / ".semgrepignore").write_text("")  # in place of semgrep's own, which leaves out tests
    root = bench.install("semgrep").root
    rules = max(root.glob("rules-*[0-9a-f].json"), key=lambda path: path.stat().st_mtime)
    certificates = next(root.glob("lib/python*/site-packages/certifi/cacert.pem"))
    printed = bench.call(
        root / "bin" / "semgrep",
        "scan",
        f"--config={rules}",
        "--json",
        "--quiet",
        "--metrics=off",
        "--disable-version-check",
        "--disable-nosem",
        "--no-git-ignore",
        f"--timeout={bench.run['parameters']['timeout']}",
        ".",
        allowed=(0,),
        PATH=f"{root / 'bin'}:{os.environ['PATH']}",
        SSL_CERT_FILE=str(certificates),
        SEMGREP_SETTINGS_FILE=str(bench.work / "settings.yml"),
    )
    return len(json.loads(printed)["results"])


def count_eslint(bench: Bench) -> int:
    """``eslint .`` with the product's rules: the app's own configuration is code and is never read."""
    root = bench.install("eslint").root
    config = bench.work / "eslint.config.mjs"
    config.write_bytes((CONFIGS / "eslint" / "eslint.config.mjs").read_bytes())
    (bench.work / "node_modules").symlink_to(root / "node_modules")
    levels = bench.run["parameters"]["rules"]
    printed = bench.call(
        bench.installer.node,
        root / "node_modules" / "eslint" / "bin" / "eslint.js",
        "--no-config-lookup",
        f"--config={config}",
        "--no-inline-config",
        "--format=json",
        "--no-error-on-unmatched-pattern",
        *(f"--rule={rule}: {level}" for rule, level in levels.items()),
        ".",
        allowed=(0, 1),
    )
    return sum(len(file["messages"]) for file in json.loads(printed))


def count_jshint(bench: Bench) -> int:
    """``jshint FILES`` with the product's options; modules apart, since JSHint must be told which files are."""
    left_out = {hole["name"] for hole in bench.run["coverage"]["holes"] if hole["kind"] == "skipped"}
    files = [path for path in bench.files_in("javascript") if path not in left_out]
    is_module = {
        path: bool(
            re.search(r"^\s*(import|export)\b", (bench.sources / path).read_text("utf-8"), re.MULTILINE)
        )
        for path in files
    }
    return sum(
        _run_jshint(bench, [path for path in files if is_module[path] is wanted], is_module=wanted)
        for wanted in (False, True)
    )


def _run_jshint(bench: Bench, files: Sequence[str], *, is_module: bool) -> int:
    if not files:
        return 0
    options = json.loads((CONFIGS / "jshint" / "jshint.json").read_text("utf-8"))
    config = bench.work / "jshint.json"
    config.write_text(json.dumps({**options, "module": is_module}))
    printed = bench.call(
        bench.installer.node,
        bench.install("jshint").program,
        f"--config={config}",
        "--reporter=checkstyle",
        *files,
        allowed=(0, 2),
    )
    return len(list(ElementTree.fromstring(printed).iter("error")))  # noqa: S314 - written by JSHint


def count_safety(bench: Bench) -> int:
    """``safety check -r`` on each requirements file, with a database made of the same advisories by hand.

    The files of this database are what safety 3 reads (schema 2.0.0); a stub answers the identity server that
    it asks before anything else. Several advisories may be one vulnerability under names that they share.
    """
    records = json.loads(ADVISORIES.read_text("utf-8"))
    database = bench.work / "db"
    numbers = _write_safety_database(records, database)
    python = bench.install("safety").root / "bin" / "python"
    count = 0
    with _identity_server() as url:
        for path in sorted(one for one in bench.languages if re.search(r"requirements[^/]*\.txt$", one)):
            report = bench.work / "safety.json"
            bench.call(
                python,
                "-m",
                "safety",
                "check",
                f"--file={path}",
                f"--db={database}",
                f"--save-json={report}",
                "--output=bare",
                allowed=(0, 64),
                SAFETY_AUTH_SERVER_URL=url,
                SAFETY_PLATFORM_URL=url,
            )
            found = json.loads(report.read_text("utf-8"))["vulnerabilities"]
            count += len({(one["package_name"], numbers[one["vulnerability_id"]]) for one in found})
    return count


def _write_safety_database(records: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, frozenset[str]]:
    """Write safety's two files; return, by safety's number, all names of the vulnerability behind it."""
    names = [frozenset((record["id"], *record.get("aliases", ()))) for record in records]
    numbers = {}
    short: dict[str, list[str]] = {}
    full: dict[str, list[dict[str, Any]]] = {}
    for number, record in enumerate(records, start=70_000):
        numbers[str(number)] = frozenset().union(
            *(other for other in names if other & names[number - 70_000])
        )
        for affected in record["affected"]:
            name = affected["package"]["name"]
            specifiers = [
                text for span in affected.get("ranges", ()) for text in _to_specifiers(span["events"])
            ]
            specifiers += [f"=={version}" for version in affected.get("versions", ())]
            short.setdefault(name, []).extend(specifiers)
            full.setdefault(name, []).append(
                {
                    "specs": specifiers,
                    "advisory": record.get("summary", ""),
                    "ids": [{"type": "pyup", "id": str(number)}],
                    "more_info_path": f"/{number}",
                    "fixed_versions": [],
                    "transitive": False,
                }
            )
    meta = {"schema_version": "2.0.0", "base_domain": "https://example.org", "timestamp": 0}
    folder.mkdir()
    (folder / "insecure.json").write_text(json.dumps({"meta": meta, "vulnerable_packages": short}))
    (folder / "insecure_full.json").write_text(
        json.dumps({"meta": {**meta, "severities": {}, "packages": {}}, "vulnerable_packages": full})
    )
    return numbers


def _to_specifiers(events: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Yield the spans between OSV events as specifiers: introduced 1, fixed 2 is ``>=1,<2``."""
    start = "0"
    for event in events:
        match event:
            case {"introduced": version}:
                start = version
            case {"fixed": version}:
                yield f">={start},<{version}"
            case {"last_affected": version}:
                yield f">={start},<={version}"


class _Identity(BaseHTTPRequestHandler):
    """What safety asks for before every command: where keys are, and the keys, of which there are none."""

    server: ThreadingHTTPServer

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        """Answer the discovery document and the keys."""
        base = f"http://127.0.0.1:{self.server.server_port}"
        endpoints = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")
        discovery = {"issuer": base, "jwks_uri": f"{base}/jwks", **dict.fromkeys(endpoints, base)}
        body = json.dumps({"keys": []} if self.path == "/jwks" else discovery).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@contextmanager
def _identity_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Identity) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


BY_HAND: dict[str, Callable[[Bench], int]] = {
    "bandit": count_bandit,
    "pylint": count_pylint,
    "mypy": count_mypy,
    "vulture": count_vulture,
    "safety": count_safety,
    "semgrep": count_semgrep,
    "eslint": count_eslint,
    "jshint": count_jshint,
}
