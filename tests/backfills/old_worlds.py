"""Results as the earlier system wrote them, one maker for each format, and the folder of its report: 15 tasks."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

MODEL = "anthropic_claude-3.5-sonnet"
STAMP = "2025-10-27T18:02:11.123456"
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def issue(tool: str, number: int, **changes: Any) -> dict[str, Any]:
    return {
        "tool": tool,
        "severity": "medium",
        "confidence": "high",
        "file_path": f"/app/sources/{MODEL}/app1/backend/app.py",
        "line_number": number,
        "column": 5,
        "message": f"{tool} says {number}",
        "rule_id": f"{tool}-{number}",
        "code_snippet": f"call({number})",
        **changes,
    }


def tool(name: str, count: int, **changes: Any) -> dict[str, Any]:
    """A tool's entry with ``count`` findings."""
    return {
        "tool": name,
        "executed": True,
        "status": "success",
        "total_issues": count,
        "issues": [issue(name, number) for number in range(1, count + 1)],
        "duration_seconds": 1.5,
        **changes,
    }


def sarif(name: str, count: int) -> dict[str, Any]:
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": name,
                        "version": "1.8.0",
                        "rules": [{"id": f"{name}-1", "name": "rule"}],
                    }
                },
                "results": [
                    {
                        "ruleId": f"{name}-{number}",
                        "level": "error",
                        "message": {"text": f"{name} says {number}"},
                        "locations": [
                            {
                                "physicalLocation": {
                                    "artifactLocation": {"uri": "backend/app.py"},
                                    "region": {"startLine": number, "startColumn": 1},
                                }
                            }
                        ],
                    }
                    for number in range(1, count + 1)
                ],
            }
        ],
    }


def static_payload() -> dict[str, Any]:
    """``analysis.results.{language}.{tool}`` with keys beside tools that are none."""
    return {
        "analysis": {
            "model_slug": MODEL,
            "app_number": 1,
            "tools_used": ["bandit", "semgrep", "eslint"],
            "results": {
                "python": {
                    "tool_status": {"bandit": "success"},
                    "_metadata": {"files": 3},
                    "bandit": tool("bandit", 3),
                    "semgrep": tool("semgrep", 1),
                },
                "javascript": {
                    "semgrep": tool(
                        "semgrep", 1, issues=[issue("semgrep", 9, file_path="frontend/src/App.jsx")]
                    ),
                    "eslint": tool("eslint", 0, status="no_issues"),
                },
                "structure": {"file_counts": {"py": 3}, "security_files": [], "total_files": 9},
            },
        }
    }


def dynamic_payload() -> dict[str, Any]:
    return {
        "analysis": {
            "tool_results": {
                "curl": {
                    "status": "success",
                    "total_issues": 1,
                    "issues": [{"message": "No CSP", "rule_id": "csp"}],
                },
                "nmap": {"status": "error", "error": "nmap: command failed", "executed": True},
            },
            "results": {
                "zap_security_scan": [
                    {
                        "status": "success",
                        "url": "http://host.docker.internal:5001",
                        "alerts": [
                            {
                                "alert": "Content Security Policy (CSP) Header Not Set",
                                "risk": "Medium",
                                "confidence": "High",
                                "cweid": "693",
                                "url": "http://host.docker.internal:5001/api/items",
                                "method": "GET",
                                "solution": "Set it.",
                            }
                        ],
                    }
                ]
            },
        }
    }


def performance_payload() -> dict[str, Any]:
    return {
        "analysis": {
            "results": {
                "tool_runs": {
                    "ab": {
                        "status": "success",
                        "url": "http://host.docker.internal:5001/",
                        "requests_per_second": 250.5,
                        "avg_response_time": 19.9,
                        "failed_requests": 0,
                    },
                    "locust": {
                        "status": "success",
                        "metrics": {"rps": 80.0, "p95": 120.0, "error_rate": 2.5},
                    },
                }
            }
        }
    }


def ai_payload() -> dict[str, Any]:
    return {
        "analysis": {
            "tools": {
                "requirements-scanner": {
                    "status": "success",
                    "results": {
                        "summary": {"compliance_percentage": 50.0},
                        "results": {
                            "backend": [
                                {
                                    "requirement": "Lists items",
                                    "met": True,
                                    "confidence": "HIGH",
                                    "evidence": "app.py",
                                },
                                {
                                    "requirement": "Paginates",
                                    "met": False,
                                    "confidence": "HIGH",
                                    "evidence": "none",
                                },
                            ]
                        },
                    },
                }
            }
        }
    }


def all_services() -> dict[str, Any]:
    return {
        "static": {"status": "success", "service": "static-analyzer", "payload": static_payload()},
        "dynamic": {"status": "success", "service": "dynamic-analyzer", "payload": dynamic_payload()},
        "performance": {
            "status": "success",
            "service": "performance-tester",
            "payload": performance_payload(),
        },
        "ai": {"status": "success", "service": "ai-analyzer", "payload": ai_payload()},
    }


def format_a(task_id: str) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "model_slug": MODEL,
        "app_number": 1,
        "results": {
            "tool_results": {"bandit": tool("bandit", 2), "pylint": tool("pylint", 4)},
            "raw_outputs": {},
        },
    }


def format_b(task_id: str, services: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "task": {"task_id": task_id, "model_slug": MODEL, "app_number": 1, "started_at": STAMP},
        "summary": {
            "total_findings": 99,
            "tools_used": ["bandit", "semgrep", "eslint", "curl", "nmap", "zap"],
        },
        "metadata": {"model_slug": MODEL, "app_number": 1, "timestamp": STAMP},
        "services": services or all_services(),
    }


def format_c(task_id: str) -> dict[str, Any]:
    """Consolidated: a SARIF-only tool has no issues of its own, one service lies in a file."""
    return {
        "metadata": {
            "model_slug": MODEL,
            "app_number": 1,
            "analysis_type": "unified",
            "timestamp": "2025-11-02 10:11:12",
            "analyzer_version": "1.0.0",
            "module": "unified",
            "version": "1.0",
        },
        "results": {
            "task": {"task_id": task_id, "started_at": STAMP, "completed_at": "2025-11-02T10:11:12Z"},
            "summary": {
                "total_findings": 7,
                "services_executed": 2,
                "tools_executed": 3,
                "status": "completed",
            },
            "services": {
                "static": {"status": "success", "file": "services/static.json"},
                "dynamic": {"status": "targets_unreachable", "error": "No target answered."},
            },
            "tools": {
                "bandit": {
                    "status": "success",
                    "total_issues": 5,
                    "issues": [],
                    "sarif": {"sarif_file": "sarif/static-analyzer_python_bandit.sarif.json"},
                },
                "ruff": {
                    "status": "success",
                    "total_issues": 2,
                    "issues": [],
                    "sarif_file": "sarif/static_ruff.sarif.json",
                },
            },
            "findings": [],
        },
    }


def format_d(task_id: str) -> dict[str, Any]:
    return {
        "schema": {"name": "universal", "version": "v1"},
        "metadata": {
            "task_id": task_id,
            "model_slug": MODEL,
            "app_number": 1,
            "tools_requested": ["bandit", "vulture", "safety"],
            "timestamp": STAMP,
        },
        "tools": {
            "bandit": {
                "status": "success",
                "duration_seconds": 2.25,
                "issue_count": 1,
                "raw": {
                    "stdout": json.dumps(
                        {
                            "results": [
                                {
                                    "filename": "backend/app.py",
                                    "line_number": 7,
                                    "issue_text": "Use of eval",
                                    "issue_severity": "HIGH",
                                    "issue_confidence": "HIGH",
                                    "test_id": "B307",
                                    "issue_cwe": {"id": 78},
                                    "code": "7 eval(x)\n",
                                }
                            ]
                        }
                    ),
                    "stderr": "",
                },
            },
            "vulture": {
                "status": "success",
                "issue_count": 1,
                "raw": {"stdout": "backend/app.py:3: unused import 'os' (90% confidence)\n", "stderr": ""},
            },
        },
    }


def format_e(task_id: str) -> dict[str, Any]:
    return {
        "schema": {"name": "unified-analysis", "version": "2.0"},
        "metadata": {"task_id": task_id, "model_slug": MODEL, "app_number": 1, "completed_at": 1_761_588_131},
        "summary": {"total_findings": 4},
        "tools": {
            "bandit": {
                "status": "success",
                "service": "static",
                "findings_count": 4,
                "execution_time": 1.1,
                "sarif_file": "sarif/static_bandit.sarif.json",
            },
            "zap": {
                "status": "timeout",
                "service": "dynamic",
                "findings_count": 0,
                "error": "60 s were over",
            },
        },
        "services": {"static": {"status": "success"}, "dynamic": {"status": "timeout"}},
    }


def format_f(service: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"model_slug": MODEL, "app_number": 1, "service_name": service, "timestamp": STAMP},
        "results": payload,
    }


def format_g() -> dict[str, dict[str, Any]]:
    """Dot files of 2025-07 and before."""
    return {
        ".backend_security_results.json": {
            "issues": [
                {
                    "filename": "app.py",
                    "line_number": 12,
                    "issue_text": "Possible SQL injection",
                    "severity": "HIGH",
                    "confidence": "MEDIUM",
                    "issue_type": "hardcoded_sql",
                    "line_range": [12, 13],
                    "code": "12 query = f'...'",
                    "tool": "bandit",
                    "fix_suggestion": "Bind values.",
                }
            ],
            "summary": {"total_issues": 1},
            "tool_status": {
                "bandit": "⚠️ Found 1 issues",
                "safety": "✅ No issues found",
                "pylint": "❌ pylint is not installed",
            },
            "tool_outputs": {"bandit": "…"},
        },
        ".zap_results.json": {
            "alerts": [
                {"name": "X-Frame-Options", "risk": "Low", "url": "http://localhost:5001/", "cweid": "1021"}
            ],
            "summary": {"low": 1},
        },
        ".locust_result.json": {"total_requests": 100, "avg_response_time": 12.0, "requests_per_sec": 40.0},
        ".gpt4all_requirements.json": {
            "requirements": [
                {"requirement": "Has a login", "met": False, "confidence": "HIGH", "explanation": "No route."}
            ]
        },
    }


def format_i(task_id: str, service: str | None = None) -> dict[str, Any]:
    """As the report's backfill wrote it; with one service, or all four."""
    services = {name: {"payload": _flat(part["payload"])} for name, part in all_services().items()}
    if service is not None:
        services = {service: services[service]}
    used = [name for part in services.values() for name in part["payload"]["tool_results"]]
    return {
        "task_id": task_id,
        "model_slug": MODEL,
        "app_number": 1,
        "analysis_type": "unified",
        "metadata": {
            "unified_analysis": True,
            "orchestrator_version": "2.0.0",
            "requested_tools": used,
            "requested_services": list(services),
        },
        "results": {
            "success": True,
            "tools_successful": len(used),
            "tools_used": used,
            "raw_outputs": {"services": services, "summary": {"tools_used": used}},
        },
    }


def _flat(payload: dict[str, Any]) -> dict[str, Any]:
    analysis = payload["analysis"]
    results = analysis.get("results", {})
    tools = {**analysis.get("tool_results", {}), **analysis.get("tools", {}), **results.get("tool_runs", {})}
    for language in ("python", "javascript"):
        tools |= {k: v for k, v in results.get(language, {}).items() if isinstance(v, dict) and "issues" in v}
    return {"tool_results": tools}


def write_json(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1))
    return path


def write_c(folder: Path, task_id: str) -> None:
    """A consolidated task with its snapshots, SARIF and manifest."""
    name = f"{MODEL}_app1_{task_id}_20251102_101112.json"
    write_json(folder / name, format_c(task_id))
    write_json(
        folder / "manifest.json",
        {
            "task_id": task_id,
            "model_slug": MODEL,
            "app_number": 1,
            "primary_result": name,
            "services": ["static"],
            "service_files": {"static": "services/static.json"},
            "created_at": STAMP,
        },
    )
    write_json(
        folder / "services" / "static.json", format_f("static", {"tool_results": {"mypy": tool("mypy", 2)}})
    )
    write_json(folder / "sarif" / "static-analyzer_python_bandit.sarif.json", sarif("Bandit", 5))
    write_json(folder / "sarif" / "static_ruff.sarif.json", sarif("ruff", 2))


def write_report_folder(root: Path, tasks: int = 15) -> list[str]:
    """Write the folder of the report: 3 tasks of one service, the others of several. Returns the ids of the tasks."""
    ids = []
    for number in range(tasks):
        app = root / "results" / MODEL / f"app{number % 3 + 1}"
        if number < 3:
            service = ("static", "dynamic", "performance")[number]
            task_id = f"task_{service}_20251027_1802{number:02d}"
            document = format_i(task_id, service)
        else:
            task_id = f"task_unified_20251027_1903{number:02d}"
            document = format_i(task_id)
        document["app_number"] = number % 3 + 1
        write_json(app / task_id / f"{MODEL}_app{number % 3 + 1}_{task_id}.json", document)
        write_json(
            app / task_id / "manifest.json",
            {"task_id": task_id, "main_result_file": "x.json", "services": []},
        )
        ids.append(task_id)
    return ids


def write_every_format(root: Path) -> dict[str, int]:
    """Write one task of each format. Returns letter → findings that stand in it."""
    app = root / "results" / MODEL / "app1"
    write_json(app / "task_aaaaaaaaaaaa" / "main.json", format_a("task_aaaaaaaaaaaa"))
    write_json(app / "task_bbbbbbbbbbbb" / "main.json", format_b("task_bbbbbbbbbbbb"))
    write_c(app / "task_cccccccccccc", "task_cccccccccccc")
    write_json(app / "task_dddddddddddd" / "main.json", format_d("task_dddddddddddd"))
    write_json(app / "task_eeeeeeeeeeee" / "main.json", format_e("task_eeeeeeeeeeee"))
    write_json(app / "task_eeeeeeeeeeee" / "sarif" / "static_bandit.sarif.json", sarif("Bandit", 4))
    folder = app / "task_ffffffffffff" / "services"
    write_json(folder / f"{MODEL}_app1_static.json", format_f("static-analyzer", static_payload()))
    write_json(
        folder / f"{MODEL}_app1_dynamic.json",
        {"type": "dynamic_analysis_result", "status": "success", **dynamic_payload()},
    )
    for name, document in format_g().items():
        write_json(root / "models" / MODEL / "app2" / name, document)
    write_json(
        app / "task_static_20251027_180211" / "main.json", format_i("task_static_20251027_180211", "static")
    )
    return {"A": 6, "B": 8, "C": 9, "D": 2, "E": 4, "F": 7, "G": 3, "I": 4}


def write_database(path: Path) -> None:
    """The earlier system's table of tasks: both structures, parts of one service, rows of findings, no result."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """CREATE TABLE analysis_tasks (
                id INTEGER PRIMARY KEY, task_id VARCHAR(100), parent_task_id VARCHAR(100), is_main_task BOOLEAN,
                service_name VARCHAR(100), status VARCHAR(20), target_model VARCHAR(200), target_app_number INTEGER,
                result_summary JSON, created_at DATETIME, started_at DATETIME, completed_at DATETIME);
            CREATE TABLE analysis_results (
                id INTEGER PRIMARY KEY, task_id VARCHAR(100), tool_name VARCHAR(100), severity VARCHAR(20),
                file_path VARCHAR(500), line_number INTEGER, title TEXT, rule_id VARCHAR(100));"""
        )
        add = (
            "INSERT INTO analysis_tasks (task_id, parent_task_id, service_name, status, target_model,"
            " target_app_number, result_summary) VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        rows: list[tuple[Any, ...]] = [
            (
                "task_111111111111",
                None,
                None,
                "completed",
                MODEL,
                1,
                json.dumps(format_a("task_111111111111")),
            ),
            (
                "task_222222222222",
                None,
                None,
                "completed",
                MODEL,
                1,
                json.dumps(format_b("task_222222222222")),
            ),
            ("task_333333333333", None, None, "partial_success", MODEL, 2, None),
            (
                "task_333333333333_static",
                "task_333333333333",
                "static",
                "completed",
                MODEL,
                2,
                json.dumps(static_payload()),
            ),
            ("task_444444444444", None, None, "completed", MODEL, 3, None),
            ("task_555555555555", None, None, "failed", MODEL, 3, None),
            ("task_666666666666_static", "task_gone", "static", "completed", MODEL, 3, "{}"),
        ]
        connection.executemany(add, rows)
        connection.executemany(
            "INSERT INTO analysis_results (task_id, tool_name, severity, file_path, line_number, title, rule_id)"
            " VALUES ('task_444444444444', ?, 'high', 'backend/app.py', ?, 'Use of eval', 'B307')",
            [("bandit", number) for number in range(1, 4)] + [("semgrep", 1)],
        )
        connection.commit()
