"""ZAP: the exact conversation with its JSON API, and each way it can go wrong explained."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
from tests.tools.dynamic_runs import DynamicRun, list_silent_cuts, run_on_targets
from tests.tools.zap_server import API_KEY, Fault, ZapServer, make_alert, serving_zap

from referee.core.errors import Unavailable
from referee.core.sources import SourceSnapshot
from referee.core.targets import Target
from referee.core.vocabulary import Confidence, Severity
from referee.foundation.sandbox import run_command
from referee.foundation.sandbox.commands import NetworkHandle
from referee.tools import Installation, OutputUnreadable, RunKit, ToolInstaller, ToolPlan
from referee.tools.contract import RunningApp
from referee.tools.zap import Zap, create_tool, find_daemon

BACKEND = Target(name="backend", url="http://127.0.0.1:5001", port=5001)
FRONTEND = Target(name="frontend", url="http://127.0.0.1:5173", port=5173)
SOURCE = {
    "backend/app.py": (
        "from flask import Flask\napp = Flask(__name__)\n\n\n"
        '@app.route("/api/tasks/<int:task_id>")\ndef task(task_id):\n    return {}\n'
    )
}
CRAWL = [
    "core/action/accessUrl",
    "spider/action/scan",
    "spider/view/status",
    "spider/view/results",
    "pscan/view/recordsToScan",
]
FETCH = ["core/view/numberOfAlerts", "core/view/alerts"]


def make_zap(server: ZapServer, *, key: str = API_KEY) -> Zap:
    return Zap({"REFEREE_ZAP_URL": server.url, "REFEREE_ZAP_API_KEY": key})


async def talk(
    installer: ToolInstaller,
    folder: Path,
    *,
    fault: Fault = "",
    targets: tuple[Target, ...] = (BACKEND,),
    parameters: dict[str, object] | None = None,
    key: str = API_KEY,
    refused_urls: tuple[str, ...] = (),
) -> tuple[DynamicRun, ZapServer]:
    """Hold the conversation with a server that has two alerts for each target."""
    alerts = [make_alert(number, url) for number, url in enumerate([BACKEND.url, BACKEND.url, FRONTEND.url])]
    alerts[1] |= {
        "pluginId": "40012",
        "alertRef": "40012",
        "alert": "Cross Site Scripting (Reflected)",
        "risk": "High",
        "confidence": "Medium",
        "url": f"{BACKEND.url}/api/tasks/17?q=x",
        "param": "q",
        "cweid": "79",
    }
    with serving_zap(alerts, fault=fault, refused_urls=refused_urls) as server:
        run = await run_on_targets(
            make_zap(server, key=key), installer, folder, targets, files=SOURCE, parameters=parameters
        )
    return run, server


async def test_conversation_without_attack(installer: ToolInstaller, tmp_path: Path) -> None:
    _, server = await talk(installer, tmp_path)
    assert server.conversation == ["core/view/version", "core/action/newSession", *CRAWL, *FETCH]


async def test_conversation_with_attack(installer: ToolInstaller, tmp_path: Path) -> None:
    _, server = await talk(installer, tmp_path, parameters={"active_scan": True})
    attack = ["ascan/action/scan", "ascan/view/status"]
    assert server.conversation == ["core/view/version", "core/action/newSession", *CRAWL, *attack, *FETCH]


async def test_conversation_about_two_targets_has_one_session(
    installer: ToolInstaller, tmp_path: Path
) -> None:
    run, server = await talk(installer, tmp_path, targets=(BACKEND, FRONTEND))
    assert server.conversation == [
        "core/view/version",
        "core/action/newSession",
        *CRAWL,
        *FETCH,
        *CRAWL,
        *FETCH,
    ]
    assert {one.address.target for one in run.report.findings if one.address} == {"backend", "frontend"}


async def test_what_is_asked_of_the_spider_and_of_the_alerts(
    installer: ToolInstaller, tmp_path: Path
) -> None:
    _, server = await talk(installer, tmp_path)
    asked = [
        pair for pair in server.queries if pair[0] in ("core/action/accessUrl", "spider/action/scan", *FETCH)
    ]
    assert asked == [
        ("core/action/accessUrl", {"url": "http://127.0.0.1:5001/", "followRedirects": "false"}),
        ("core/action/accessUrl", {"url": "http://127.0.0.1:5001/api/tasks/1", "followRedirects": "false"}),
        (
            "spider/action/scan",
            {"url": "http://127.0.0.1:5001/", "maxChildren": "50", "recurse": "true", "subtreeOnly": "true"},
        ),
        ("core/view/numberOfAlerts", {"baseurl": "http://127.0.0.1:5001"}),
        ("core/view/alerts", {"baseurl": "http://127.0.0.1:5001", "start": "1", "count": "500"}),
    ]


async def test_alerts_become_findings(installer: ToolInstaller, tmp_path: Path) -> None:
    run, _ = await talk(installer, tmp_path)
    assert [
        (one.rule_id, one.severity, one.confidence, one.cwe_ids, str(one.address), one.identity)
        for one in run.report.findings
    ] == [
        ("10038", Severity.medium, Confidence.high, (693,), "backend GET /", ("10038-1",)),
        ("40012", Severity.high, Confidence.medium, (79,), "backend GET /api/tasks/:task_id (q)", ("40012",)),
    ]
    assert run.report.rules[0].help_url == "https://developer.mozilla.org/en-US/docs/Web/HTTP/CSP"
    assert run.report.notices == ("ZAP 2.16.1 was asked.",)
    assert run.report.failure is None


async def test_many_alerts_come_in_pages_and_all_are_counted(
    installer: ToolInstaller, tmp_path: Path
) -> None:
    alerts = [make_alert(number, BACKEND.url, url=f"{BACKEND.url}/page-{number}x") for number in range(1_203)]
    with serving_zap(alerts) as server:
        run = await run_on_targets(
            make_zap(server), installer, tmp_path, [BACKEND], parameters={"max_alerts_per_rule": 1_000}
        )
    starts = [query["start"] for call, query in server.queries if call == "core/view/alerts"]
    assert starts == ["1", "501", "1001"]
    assert len(run.report.findings) == 1_000
    assert run.report.notices[-1] == "backend: 1203 alerts of rule 10038; 1000 are kept."
    assert run.report.failure is None


async def test_alerts_below_the_risk_and_false_positives_are_left_out(
    installer: ToolInstaller, tmp_path: Path
) -> None:
    alerts = [
        make_alert(1, BACKEND.url, risk="Informational"),
        make_alert(2, BACKEND.url, risk="High", confidence="False Positive"),
        make_alert(3, BACKEND.url, risk="Low", pluginId="10021"),
    ]
    with serving_zap(alerts) as server:
        run = await run_on_targets(make_zap(server), installer, tmp_path, [BACKEND])
    assert [one.rule_id for one in run.report.findings] == ["10021"]


async def test_api_key_that_is_refused_is_a_failure_that_says_so(
    installer: ToolInstaller, tmp_path: Path
) -> None:
    run, server = await talk(installer, tmp_path, key="wrong")
    assert run.report.failure == "ZAP does not accept the API key."
    assert server.conversation == ["core/view/version"]
    assert run.report.unreachable is None


async def test_api_key_is_in_no_stream_and_on_no_command_line(
    installer: ToolInstaller, tmp_path: Path
) -> None:
    run, _ = await talk(installer, tmp_path)
    assert API_KEY.encode() not in b"".join(run.raw.streams.values())
    assert API_KEY not in " ".join(run.raw.command)


async def test_spider_that_never_ends_is_stopped_and_told(installer: ToolInstaller, tmp_path: Path) -> None:
    run, server = await talk(installer, tmp_path, fault="spider_stuck", parameters={"spider_time": 1})
    assert "spider/action/stop" in server.conversation
    assert "backend: ZAP was stopped at the time limit for crawling." in run.report.notices
    assert len(run.report.findings) == 2


async def test_passive_scan_that_never_ends_is_told(installer: ToolInstaller, tmp_path: Path) -> None:
    run, _ = await talk(installer, tmp_path, fault="passive_stuck", parameters={"passive_time": 1})
    assert "backend: The passive scan had not looked at every answer at its time limit." in run.report.notices


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("odd_id", "backend: ZAP answered 'busy' to spider/action/scan, which is no number."),
        ("short_page", "backend: ZAP has 2 alerts and gave 1."),
        ("not_json", "ZAP's answer to core/view/version is not JSON."),
        ("half_answer", "ZAP's answer to core/view/alerts ends before its end."),
        ("dropped", "ZAP gave no answer to spider/view/status: RemoteDisconnected."),
    ],
)
async def test_fault_of_the_daemon_is_an_explained_failure(
    installer: ToolInstaller, tmp_path: Path, fault: Fault, sentence: str
) -> None:
    run, _ = await talk(installer, tmp_path, fault=fault)
    assert run.report.failure is not None
    assert sentence in run.report.failure
    assert run.report.unreachable is None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("target_refused", "ZAP refused core/action/accessUrl with internal_error: Connection refused"),
        ("target_silent", "ZAP got no answer from it"),
    ],
)
async def test_target_that_zap_cannot_reach_is_unreachable_and_not_clean(
    installer: ToolInstaller, tmp_path: Path, fault: Fault, reason: str
) -> None:
    run, server = await talk(installer, tmp_path, fault=fault)
    assert run.report.unreachable == f"The target backend gave no answer: {reason}."
    assert run.report.failure is None
    assert "spider/action/scan" not in server.calls


async def test_target_that_zap_cannot_reach_beside_another_is_a_hole(
    installer: ToolInstaller, tmp_path: Path
) -> None:
    run, _ = await talk(installer, tmp_path, targets=(BACKEND, FRONTEND), refused_urls=(FRONTEND.url,))
    assert run.report.unreachable is None
    assert [hole.name for hole in run.report.coverage.holes] == ["frontend GET /"]


async def test_nothing_to_attack_is_told(installer: ToolInstaller, tmp_path: Path) -> None:
    run, _ = await talk(installer, tmp_path, fault="tree_empty", parameters={"active_scan": True})
    assert "backend: There was nothing to attack: ZAP knows no page of it." in run.report.notices
    assert run.report.failure is None


async def test_daemon_that_is_not_there_is_a_failure_and_not_clean(
    installer: ToolInstaller, tmp_path: Path
) -> None:
    with serving_zap([]) as server:
        tool = make_zap(server)
    run = await run_on_targets(tool, installer, tmp_path, [BACKEND])
    assert run.report.failure == "ZAP gave no answer to core/view/version: ConnectionRefusedError."


async def test_report_cut_anywhere_never_passes_for_whole(installer: ToolInstaller, tmp_path: Path) -> None:
    run, _ = await talk(installer, tmp_path)
    silent = list_silent_cuts(create_tool(), run.raw, run.plan, "zap.report.json", is_counted=False)
    assert silent == []


async def test_report_of_a_run_that_was_stopped_is_partial(installer: ToolInstaller, tmp_path: Path) -> None:
    run, _ = await talk(installer, tmp_path)
    document = {**json.loads(run.raw.streams["zap.report.json"]), "is_complete": False}
    data = json.dumps(document).encode()
    raw = replace(
        run.raw,
        streams={**run.raw.streams, "zap.report.json": data},
        total_bytes={**run.raw.total_bytes, "zap.report.json": len(data)},
    )
    report = create_tool().parse(raw, run.plan)
    assert report.is_partial
    assert report.failure == "ZAP's report ends before its end."


async def test_risk_that_zap_does_not_have_is_unreadable(installer: ToolInstaller, tmp_path: Path) -> None:
    alerts = [make_alert(1, BACKEND.url, risk="Terrible")]
    with serving_zap(alerts) as server, pytest.raises(OutputUnreadable, match="'terrible' is none"):
        await run_on_targets(make_zap(server), installer, tmp_path, [BACKEND])


async def test_zap_of_the_machine_is_started_asked_and_ended(tmp_path: Path) -> None:
    kit = MachineWith(write_zap_program(tmp_path, SMALL_ZAP))
    run = await run_on_targets(Zap({}), kit, tmp_path, [BACKEND])  # type: ignore[arg-type]
    assert run.report.failure is None
    assert run.report.notices == ("ZAP 2.0 of the machine was asked.",)
    assert run.report.coverage.examined_count == 1
    assert run.raw.streams["zap.stderr"] == b"shut down\n"


async def test_zap_of_the_machine_that_ends_at_once_is_a_failure(tmp_path: Path) -> None:
    kit = MachineWith(write_zap_program(tmp_path, "raise SystemExit(3)\n"))
    run = await run_on_targets(Zap({}), kit, tmp_path, [BACKEND])  # type: ignore[arg-type]
    assert run.report.failure == "ZAP ended with exit code 3 before it answered."
    assert run.report.unreachable is None


async def test_daemon_elsewhere_cannot_reach_an_app_with_a_network_of_its_own(
    installer: ToolInstaller, tmp_path: Path
) -> None:
    tool = Zap({"REFEREE_ZAP_URL": "http://127.0.0.1:1"})
    network = NetworkHandle(holder_pid=1, holder_started_ticks=1, inode=1)
    app = RunningApp(targets=(BACKEND,), network=network, app_run_id="test")
    plan = ToolPlan(parameters=tool.describe().resolve_parameters({}))
    raw = await tool.run(make_kit(app), plan)
    report = tool.parse(raw, plan)
    assert report.unreachable is not None
    assert "network of its own" in report.unreachable
    assert report.failure is None


async def test_machine_without_zap_is_unavailable_and_says_what_to_do() -> None:
    with pytest.raises(Unavailable) as caught:
        await Zap({}).ensure_installed(MachineWith(None))  # type: ignore[arg-type]
    assert caught.value.code == "tools.zap_absent"
    assert "REFEREE_ZAP_URL" in caught.value.hint
    assert "wapiti" in caught.value.hint


@pytest.mark.parametrize(
    "url", ["localhost:8090", "ftp://127.0.0.1", "http://", "http://[", "http://h:99999"]
)
def test_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Unavailable, match="not the address"):
        find_daemon({"REFEREE_ZAP_URL": url})


def test_no_address_means_no_daemon() -> None:
    assert find_daemon({"REFEREE_ZAP_URL": " "}) is None


SMALL_ZAP = dedent(
    """
    import json, sys
    from http.server import BaseHTTPRequestHandler, HTTPServer

    options = dict(zip(sys.argv, sys.argv[1:]))
    keys = [word.partition("=")[2] for word in sys.argv if word.startswith("api.key=")]
    assert "-daemon" in sys.argv and "-silent" in sys.argv and options["-host"] == "127.0.0.1"
    ANSWERS = {
        "core/view/version": {"version": "2.0 of the machine"},
        "core/action/newSession": {"Result": "OK"},
        "core/action/accessUrl": {"accessUrl": [{"responseHeader": "HTTP/1.1 200 OK"}]},
        "spider/action/scan": {"scan": "0"},
        "spider/view/status": {"status": "100"},
        "spider/view/results": {"results": []},
        "pscan/view/recordsToScan": {"recordsToScan": "0"},
        "core/view/numberOfAlerts": {"numberOfAlerts": "0"},
        "core/action/shutdown": {"Result": "OK"},
    }

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words):
            pass

        def do_GET(self):
            call = self.path.partition("?")[0].removeprefix("/JSON/").rstrip("/")
            assert [self.headers["X-ZAP-API-Key"]] == keys
            data = json.dumps(ANSWERS[call]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.server.is_done = call == "core/action/shutdown"

    server = HTTPServer(("127.0.0.1", int(options["-port"])), Handler)
    server.is_done = False
    while not server.is_done:
        server.handle_request()
    print("shut down", file=sys.stderr)
    """
)
"""A program in the place of ``zap.sh`` that takes its options and knows nothing to tell."""


def write_zap_program(folder: Path, code: str) -> Path:
    """Write a program that the sandbox can run and return its path."""
    home = folder / "zap-home"
    home.mkdir()
    interpreter = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    program = home / "zap.sh"
    program.write_text(f"#!{interpreter} -I\n{code}", encoding="utf-8")
    program.chmod(0o755)
    return program


def make_kit(app: RunningApp) -> RunKit:
    """Return a kit for a run that starts nothing."""
    nowhere = Path("/nonexistent")
    installation = Installation(root=nowhere, program=nowhere, read_only=(), lock_digest="0" * 64)
    return RunKit(
        snapshot=SourceSnapshot(root=nowhere, source_digest="", files=()),
        installation=installation,
        install_kit=MachineWith(None),  # type: ignore[arg-type]
        scratch_dir=nowhere,
        limits=Zap({}).describe().limits,
        cores_count=1,
        run_command=run_command,
        app=app,
    )


class MachineWith:
    """An install kit of a machine that has this ``zap.sh`` and nothing else."""

    def __init__(self, program: Path | None) -> None:
        self._program = program

    async def system_program(self, tool: str, program: str, package: str) -> Installation:
        if self._program is None:
            raise Unavailable("tools.program_absent", f"There is no {program}.")
        return Installation(
            root=self._program.parent, program=self._program, read_only=(), lock_digest="0" * 64
        )
