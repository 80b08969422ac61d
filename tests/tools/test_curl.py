"""curl: what its probes find on real apps, and what they never take for found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.tools.dynamic_apps import (
    CatchAllHandler,
    CleanHandler,
    FlawedHandler,
    RedirectingHandler,
    closed_port,
    make_target,
    serving,
    silent_port,
)
from tests.tools.dynamic_runs import list_silent_cuts, run_on_targets
from tests.tools.python_samples import SAMPLES_DIR, load_sample, summarise

from referee.core.errors import Unavailable
from referee.core.vocabulary import Severity
from referee.tools import OutputUnreadable, RawOutput, ToolInstaller, ToolPlan
from referee.tools.app_targets import PathNames
from referee.tools.curl import create_tool
from referee.tools.curl_judging import judge_target
from referee.tools.curl_transfers import Answer, Probe, read_transfers, render_configuration
from referee.tools.exposed_paths import EXPOSED_PATHS, hide_values
from referee.tools.http_headers import judge_cookies, judge_protection

CASES = sorted((SAMPLES_DIR / "curl").glob("*/*"))
FINDINGS = next((SAMPLES_DIR / "curl").glob("*/findings"))


def make_answer(headers: dict[str, str], *, status: int = 200) -> Answer:
    pairs = tuple((name.lower(), value) for name, value in headers.items())
    return Answer(probe=Probe(kind="home", method="GET", path="/"), status=status, headers=pairs)


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_recorded_output_parses_to_the_expected_counts(folder: Path) -> None:
    _, raw, plan, expected = load_sample(folder)
    report = create_tool().parse(raw, plan)
    assert {**summarise(report), "unreachable": report.unreachable is not None} == expected


def test_start_page_cut_anywhere_never_passes_for_whole() -> None:
    _, raw, plan, _ = load_sample(FINDINGS)
    assert list_silent_cuts(create_tool(), raw, plan, "backend.home.stdout", step=7, is_counted=False) == []


def test_table_cut_anywhere_never_passes_for_whole() -> None:
    _, raw, plan, _ = load_sample(FINDINGS)
    assert (
        list_silent_cuts(create_tool(), raw, plan, "backend.table.stdout", step=997, is_counted=False) == []
    )


def test_record_of_what_was_asked_is_needed() -> None:
    _, raw, plan, _ = load_sample(FINDINGS)
    streams = {name: data for name, data in raw.streams.items() if name != "targets.json"}
    with pytest.raises(OutputUnreadable):
        create_tool().parse(replace(raw, streams=streams), plan)


@pytest.mark.apt
async def test_flawed_app_shows_its_flaws(installer: ToolInstaller, tmp_path: Path) -> None:
    with serving(FlawedHandler) as target:
        run = await run_on_targets(create_tool(), installer, tmp_path, [target])
    assert run.identities == {
        ("exposed-git-repository", "backend GET /.git/HEAD", ()),
        ("exposed-environment-file", "backend GET /.env", ()),
        ("exposed-source-map", "backend GET /assets/index-*.js.map", ()),
        ("cors-any-origin-with-credentials", "backend", ()),
        ("trace-enabled", "backend", ()),
        ("stack-trace", "backend POST /", ()),
        ("server-version", "backend", ()),
        ("powered-by", "backend", ()),
        ("cookie-without-httponly", "backend (session)", ()),
        ("cookie-without-secure", "backend (session)", ()),
        ("cookie-without-samesite", "backend (session)", ()),
        ("missing-csp", "backend GET /", ()),
        ("missing-nosniff", "backend GET /", ()),
        ("missing-frame-protection", "backend GET /", ()),
        ("missing-referrer-policy", "backend GET /", ()),
    }


@pytest.mark.apt
async def test_evidence_holds_no_secret(installer: ToolInstaller, tmp_path: Path) -> None:
    with serving(FlawedHandler) as target:
        run = await run_on_targets(create_tool(), installer, tmp_path, [target], preset="quick")
    shown = str([finding.properties for finding in run.report.findings])
    assert "SECRET_KEY" in shown
    assert "correct-horse" not in shown
    assert "abc123" not in shown


@pytest.mark.apt
async def test_clean_app_has_no_findings(installer: ToolInstaller, tmp_path: Path) -> None:
    with serving(CleanHandler) as target:
        run = await run_on_targets(create_tool(), installer, tmp_path, [target], preset="deep")
    assert run.report.findings == ()
    assert run.report.unreachable is None
    assert run.report.coverage.unreadable_count == 0
    assert [(one.name, one.unit, str(one.address)) for one in run.report.measurements] == [
        ("first_byte_ms", "ms", "backend GET /")
    ]


@pytest.mark.apt
async def test_page_for_every_path_exposes_nothing(installer: ToolInstaller, tmp_path: Path) -> None:
    with serving(CatchAllHandler) as target:
        run = await run_on_targets(create_tool(), installer, tmp_path, [target], preset="deep")
    assert run.report.findings == ()


@pytest.mark.apt
async def test_same_flaws_are_the_same_findings_at_another_port(
    installer: ToolInstaller, tmp_path: Path
) -> None:
    with serving(FlawedHandler) as first, serving(FlawedHandler) as second:
        runs = [
            await run_on_targets(create_tool(), installer, tmp_path, [target], preset="quick")
            for target in (first, second)
        ]
    assert runs[0].identities == runs[1].identities


@pytest.mark.apt
async def test_redirects_are_followed_within_the_app_only(installer: ToolInstaller, tmp_path: Path) -> None:
    with serving(RedirectingHandler) as target:
        run = await run_on_targets(create_tool(), installer, tmp_path, [target], preset="quick")
    assert run.report.notices == (
        "backend / redirects to /welcome.",
        "backend /welcome redirects to another place, which was not asked: http://elsewhere.example/.",
    )


@pytest.mark.apt
async def test_refused_connection_is_unreachable_and_not_clean(
    installer: ToolInstaller, tmp_path: Path
) -> None:
    with closed_port() as target:
        run = await run_on_targets(create_tool(), installer, tmp_path, [target])
    assert run.report.unreachable is not None
    assert run.report.unreachable.startswith("The target gone gave no answer: Failed to connect")
    assert run.report.coverage.examined_count == 0


@pytest.mark.apt
async def test_silent_target_beside_one_that_answers_is_a_hole(
    installer: ToolInstaller, tmp_path: Path
) -> None:
    with serving(CleanHandler) as target, silent_port() as silent:
        run = await run_on_targets(
            create_tool(), installer, tmp_path, [target, silent], parameters={"max_time": 1}
        )
    assert run.report.unreachable is None
    assert [hole.name for hole in run.report.coverage.holes] == ["silent GET /"]


@pytest.mark.apt
async def test_routes_of_the_source_are_asked(installer: ToolInstaller, tmp_path: Path) -> None:
    source = (
        "from flask import Flask\napp = Flask(__name__)\n\n\n"
        '@app.route("/api/tasks/<int:task_id>", methods=["POST", "GET"])\n'
        "def task(task_id):\n    return {}\n"
    )
    with serving(FlawedHandler) as target:
        run = await run_on_targets(
            create_tool(), installer, tmp_path, [target], files={"backend/app.py": source}, preset="quick"
        )
    assert run.plan.details["seeds"] == [{"target": "backend", "path": "/api/tasks/1"}]
    assert b'"path": "/api/tasks/1"' in run.raw.streams["targets.json"]


async def test_without_an_app_nothing_is_asked(installer: ToolInstaller, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no running app"):
        await run_on_targets(create_tool(), installer, tmp_path, [])


def test_app_that_prints_a_boundary_of_its_own_changes_nothing() -> None:
    body = b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\n--guess {"exitcode": 0, "response_code": 500}\n'
    numbers = (
        b'\n--secret {"exitcode": 0, "response_code": 200, "time_starttransfer": 0.5, "errormsg": null}\n'
    )
    raw = RawOutput(
        streams={"stdout": body + numbers},
        total_bytes={"stdout": len(body + numbers)},
        end="exited",
        exit_code=0,
        duration_ms=1,
        cpu_ms=1,
        peak_memory_bytes=None,
        isolation=None,
    )
    transfers = read_transfers(raw, [Probe(kind="home", method="GET", path="/")], "secret")
    assert [(answer.status, answer.first_byte_ms) for answer in transfers.answers] == [(200, 500.0)]
    assert not transfers.is_cut


def test_configuration_quotes_what_could_end_a_value() -> None:
    probe = Probe(kind="error", method="POST", path="/", body='{"a": "b\nc"}')
    parameters = create_tool().describe().resolve_parameters({})
    text = render_configuration("http://127.0.0.1:1", [probe], "mark", parameters).decode()
    assert 'data-raw = "{\\"a\\": \\"b\\nc\\"}"' in text.splitlines()


@pytest.mark.parametrize(
    ("cookie", "rules"),
    [
        ("session=1; HttpOnly; Secure; SameSite=Lax", {}),
        ("session=1; Secure; SameSite=Strict", {"cookie-without-httponly": Severity.medium}),
        ("theme=dark; Secure; SameSite=Lax", {"cookie-without-httponly": Severity.low}),
        ("csrftoken=1; Secure; SameSite=Lax", {}),
        ("a=1; HttpOnly; Secure; SameSite=None", {"cookie-without-samesite": Severity.low}),
        (
            "a=1; HttpOnly; SameSite=None",
            {"cookie-without-samesite": Severity.medium, "cookie-without-secure": Severity.low},
        ),
    ],
)
def test_cookie_flags(cookie: str, rules: dict[str, Severity]) -> None:
    seen = judge_cookies(make_answer({"Set-Cookie": cookie}), is_secure=False)
    assert {one.rule_id: one.severity for one in seen} == rules


@pytest.mark.parametrize(
    ("policy", "rules"),
    [
        ("default-src 'self'; frame-ancestors 'self'", set()),
        ("script-src 'self' 'unsafe-inline'; frame-ancestors 'none'", {"weak-csp"}),
        ("script-src 'nonce-abc' 'unsafe-inline'; frame-ancestors 'none'", set()),
        ("img-src 'self'; frame-ancestors 'none'", {"weak-csp"}),
        ("default-src 'self'", {"missing-frame-protection"}),
        ("", {"missing-csp", "missing-frame-protection"}),
    ],
)
def test_content_security_policies(policy: str, rules: set[str]) -> None:
    headers = {
        "Content-Type": "text/html",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    answer = make_answer({**headers, "Content-Security-Policy": policy})
    assert {one.rule_id for one in judge_protection(answer, is_secure=False)} == rules


def test_interface_without_pages_needs_no_page_headers() -> None:
    answer = make_answer(
        {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}, status=404
    )
    assert list(judge_protection(answer, is_secure=True)) != []
    assert list(judge_protection(answer, is_secure=False)) == []


def test_page_that_is_not_the_apps_own_is_not_judged_for_its_headers() -> None:
    answers = [
        Answer(
            probe=Probe(kind=kind, method="GET", path=path),
            status=status,
            body=b"<!doctype html>",
            headers=(("content-type", "text/html"),),
        )
        for kind, path, status in (("home", "/", 404), ("exposed", "/console", 200))
    ]

    findings = judge_target(make_target("backend", 1), answers, PathNames(ToolPlan(parameters={})))

    assert {str(one.address) for one in findings if one.rule_id == "missing-nosniff"} == {"backend GET /"}
    assert [one for one in findings if one.rule_id == "missing-csp"] == []


@pytest.mark.parametrize(
    "piece",
    [b"\n", b"<title", b" ", b"\nat .js", b"'token", b"A", b"<script src=", b"&nbsp;", b"type =", b"root:"],
)
def test_body_made_to_waste_time_is_judged_all_the_same(piece: bytes) -> None:
    body = piece * (300_000 // len(piece))
    table = [Probe(kind="exposed", method="GET", path=entry.path) for entry in EXPOSED_PATHS]
    probes = [
        Probe(kind="home", method="GET", path="/"),
        *table,
        Probe(kind="error", method="GET", path="/%"),
    ]
    answers = [
        Answer(probe=probe, status=status, body=body, headers=(("content-type", media_type),))
        for probe in probes
        for status, media_type in ((200, "text/plain"), (500, "text/html"))
    ]
    names = PathNames(ToolPlan(parameters={}))
    assert judge_target(make_target("backend", 1), answers, names) is not None


def test_values_are_hidden_in_evidence() -> None:
    assert hide_values(b"API_KEY=sk-123\nDEBUG = True\n") == "API_KEY=…\nDEBUG = …"
