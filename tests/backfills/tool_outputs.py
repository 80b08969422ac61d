"""What fifteen tools and more print themselves, short, and what has to be read from it."""

# ruff: noqa: E501 - their lines are as long as they are

from __future__ import annotations

import json
from typing import Any, Final

__all__ = ["TOOL_OUTPUTS"]


def _json(value: Any) -> str:
    return json.dumps(value)


_BANDIT = {
    "errors": [],
    "generated_at": "2025-10-27T18:02:11Z",
    "metrics": {"_totals": {"loc": 10}, "app.py": {"loc": 10, "nosec": 0, "skipped_tests": 0}},
    "results": [
        {
            "code": "7 eval(x)\n",
            "col_offset": 0,
            "end_col_offset": 7,
            "filename": "app.py",
            "issue_confidence": "HIGH",
            "issue_cwe": {"id": 78, "link": "https://cwe.mitre.org/data/definitions/78.html"},
            "issue_severity": "HIGH",
            "issue_text": "Use of eval.",
            "line_number": 7,
            "line_range": [7],
            "more_info": "https://bandit.readthedocs.io/en/1.8.0/",
            "test_id": "B307",
            "test_name": "eval",
        }
    ],
}
_PYLINT = [
    {
        "type": "error",
        "module": "app",
        "obj": "",
        "line": 3,
        "column": 0,
        "path": "app.py",
        "symbol": "undefined-variable",
        "message": "Undefined variable 'x'",
        "message-id": "E0602",
    }
]
_SEMGREP = {
    "version": "1.90.0",
    "errors": [],
    "paths": {"scanned": ["app.py"]},
    "results": [
        {
            "check_id": "python.flask.debug-enabled",
            "path": "app.py",
            "start": {"line": 9, "col": 1, "offset": 0},
            "end": {"line": 9, "col": 20, "offset": 19},
            "extra": {
                "message": "Debug is on",
                "severity": "WARNING",
                "lines": "app.run(debug=True)",
                "metadata": {},
            },
        }
    ],
}
_SAFETY = {
    "vulnerabilities": [
        {
            "vulnerability_id": "51457",
            "package_name": "flask",
            "analyzed_version": "0.12",
            "advisory": "Flask before 1.0 can be made to use much memory.",
            "CVE": "CVE-2018-1000656",
        }
    ]
}
_ESLINT = [
    {
        "filePath": "/app/sources/m/app1/frontend/src/App.jsx",
        "messages": [
            {"ruleId": "no-eval", "severity": 2, "message": "eval can be harmful.", "line": 4, "column": 2}
        ],
        "errorCount": 1,
        "warningCount": 0,
    }
]
_RUFF = [
    {
        "code": "F401",
        "filename": "app.py",
        "location": {"row": 1, "column": 8},
        "end_location": {"row": 1, "column": 10},
        "message": "`os` imported but unused",
        "url": "https://docs.astral.sh/ruff/rules/unused-import",
    }
]
_RADON = {
    "app.py": [
        {
            "type": "function",
            "rank": "D",
            "complexity": 22,
            "name": "create",
            "lineno": 10,
            "col_offset": 0,
            "endline": 60,
        },
        {
            "type": "function",
            "rank": "A",
            "complexity": 1,
            "name": "read",
            "lineno": 70,
            "col_offset": 0,
            "endline": 72,
        },
    ]
}
_SECRETS = {
    "version": "1.5.0",
    "plugins_used": [],
    "results": {"app.py": [{"type": "Secret Keyword", "filename": "app.py", "hashed_secret": "ab", "is_verified": False, "line_number": 5}]},
}  # fmt: skip
_PIP_AUDIT = {
    "dependencies": [
        {"name": "flask", "version": "0.12", "vulns": [{"id": "PYSEC-2019-179", "fix_versions": ["1.0"], "description": "Memory."}]},
        {"name": "click", "version": "8.0", "vulns": []},
    ],
    "fixes": [],
}  # fmt: skip
_NPM_AUDIT = {
    "auditReportVersion": 2,
    "vulnerabilities": {
        "lodash": {
            "name": "lodash",
            "severity": "critical",
            "via": [{"source": 1, "title": "Prototype pollution", "url": "https://github.com/advisories/GHSA-x", "severity": "critical", "cwe": ["CWE-1321"], "range": "<4.17.12"}],
            "range": "<4.17.12",
            "fixAvailable": True,
        }
    },
}  # fmt: skip
_ZAP = {
    "@version": "2.15.0",
    "site": [
        {
            "@name": "http://localhost:5001",
            "alerts": [
                {
                    "pluginid": "10038",
                    "alertRef": "10038-1",
                    "alert": "CSP: Header Not Set",
                    "name": "CSP: Header Not Set",
                    "riskcode": "2",
                    "riskdesc": "Medium (High)",
                    "cweid": "693",
                    "instances": [
                        {"uri": "http://localhost:5001/", "method": "GET", "param": "", "evidence": ""}
                    ],
                    "count": "1",
                }
            ],
        }
    ],
}
_AB = """This is ApacheBench, Version 2.3
Complete requests:      100
Failed requests:        2
Requests per second:    250.50 [#/sec] (mean)
Time per request:       19.960 [ms] (mean)
Time per request:       3.992 [ms] (mean, across all concurrent requests)
"""
_LOCUST = """Type,Name,Request Count,Failure Count,Requests/s,Average Response Time,50%,95%,99%
GET,/,50,0,5.0,10,9,20,30
,Aggregated,50,1,5.0,10,9,20,30
"""
_NMAP = """<?xml version="1.0"?><nmaprun scanner="nmap"><host><ports>
<port protocol="tcp" portid="5001"><state state="open" reason="syn-ack"/><service name="http"/></port>
<port protocol="tcp" portid="22"><state state="closed"/></port></ports></host></nmaprun>
"""
_STYLELINT = [
    {"source": "a.css", "warnings": [{"line": 2, "column": 1, "rule": "color-no-invalid-hex", "severity": "error", "text": "No colour"}]}
]  # fmt: skip
TOOL_OUTPUTS: Final[list[tuple[str, str, list[str]]]] = [
    ("bandit", _json(_BANDIT), ["high B307 app.py:7"]),
    ("pylint", _json(_PYLINT), ["medium undefined-variable app.py:3"]),
    ("mypy", "app.py:3: error: Incompatible types  [assignment]\nFound 1 error in 1 file\n", ["high assignment app.py:3"]),
    ("vulture", "app.py:3: unused import 'os' (90% confidence)\n", ["medium unused-import app.py:3"]),
    ("safety", _json(_SAFETY), ["medium 51457 :"]),
    ("semgrep", _json(_SEMGREP), ["medium python.flask.debug-enabled app.py:9"]),
    ("eslint", _json(_ESLINT), ["high no-eval frontend/src/App.jsx:4"]),
    ("ruff", _json(_RUFF), ["medium F401 app.py:1"]),
    ("radon", _json(_RADON), ["medium complexity-D app.py:10"]),
    ("detect-secrets", _json(_SECRETS), ["high Secret Keyword app.py:5"]),
    ("pip-audit", _json(_PIP_AUDIT), ["high PYSEC-2019-179 requirements.txt:"]),
    ("npm-audit", _json(_NPM_AUDIT), ["critical GHSA-x package.json:"]),
    ("zap", _json(_ZAP), ["medium 10038-1 :"]),
    ("nmap", _NMAP, ["info open-port :"]),
    ("curl", "HTTP/1.1 200 OK\nX-Frame-Options: DENY\nContent-Security-Policy: x\n", ["low missing-x-content-type-options :", "low missing-strict-transport-security :"]),
    ("ab", _AB, ["requests_count=100", "failures_count=2", "requests_per_s=250.5", "latency_mean_ms=19.96"]),
    ("locust", _LOCUST, ["requests_per_s=5", "latency_mean_ms=10", "latency_p50_ms=9", "latency_p95_ms=20", "latency_p99_ms=30", "failures_count=1", "requests_count=50"]),
    ("stylelint", _json(_STYLELINT), ["high color-no-invalid-hex a.css:2"]),
]  # fmt: skip
"""Tool, its output, and severity, rule and place of each finding or name and value of each number."""
