"""Scan the files named on stdin with detect-secrets and print one JSON line per file.

Reads one JSON object: ``files``, ``disabled_plugins``, ``base64_limit``,
``hex_limit``. A line has the kinds and lines of what looks like a secret, marked
where a comment allows it; never the secret nor a hash of it. The last line is
``{"kind": "end"}``. Nothing is verified over the network.
"""

# mypy: ignore-errors
# The packages it imports are in the tool's environment, not in ours.

from __future__ import annotations

import json
import sys
from pathlib import Path

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.scan import _is_filtered_out, scan_file, scan_for_allowlisted_secrets_in_file
from detect_secrets.settings import transient_settings

_VERIFICATION = "detect_secrets.filters.common.is_ignored_due_to_verification_policies"


def _make_plugins(job):
    limits = {"Base64HighEntropyString": job["base64_limit"], "HexHighEntropyString": job["hex_limit"]}
    names = sorted(plugin.__name__ for plugin in get_mapping_from_secret_type_to_class().values())
    return [
        {"name": name, **({"limit": limits[name]} if name in limits else {})}
        for name in names
        if name not in job["disabled_plugins"]
    ]


def _secrets(name):
    """Each secret of a file once, as detect-secrets counts them, with all its lines."""
    rows = []
    for scan, is_allowed in ((scan_file, False), (scan_for_allowlisted_secrets_in_file, True)):
        places = {}
        for secret in scan(name):
            places.setdefault((secret.type, secret.secret_hash), set()).add(secret.line_number)
        rows += [
            {"type": kind, "lines": sorted(lines), "allowed": is_allowed}
            for (kind, _), lines in places.items()
        ]
    return sorted(rows, key=lambda row: (row["lines"], row["type"], row["allowed"]))


def main():
    """Do the job on stdin."""
    job = json.load(sys.stdin)
    with transient_settings({"plugins_used": _make_plugins(job)}) as settings:
        settings.disable_filters(_VERIFICATION)
        for name in job["files"]:
            try:
                text = Path(name).read_text(encoding="utf-8")
                if _is_filtered_out(required_filter_parameters=["filename"], filename=name):
                    record = {
                        "kind": "skipped",
                        "path": name,
                        "reason": "detect-secrets leaves out files of this kind",
                    }
                else:
                    record = {"kind": "file", "path": name, "secrets": _secrets(name) if text else []}
            except Exception as error:  # the reason is told, the other files go on
                record = {"kind": "unreadable", "path": name, "reason": f"{type(error).__name__}: {error}"}
            print(json.dumps(record))
    print(json.dumps({"kind": "end", "files": len(job["files"])}))


main()
