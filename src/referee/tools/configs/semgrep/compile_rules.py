"""Compile all semgrep rules into one JSON file, which semgrep loads several times faster than YAML.

Usage, with the Python of semgrep's own environment::

    python compile_rules.py OWN_RULES_DIR COMMUNITY_RULES.json SEMGREP OUTPUT.json

Our own rules come first, then those that an installed package brings (``files`` names them; an
empty list takes a whole file). ``same_as_our_own`` names rules left out because one of ours finds
the same. A rule that semgrep refuses is left out too. Beside the output lies ``OUTPUT.dropped.json``
with the reason by rule.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

Rule = dict[str, Any]

LANGUAGES = {"python", "javascript", "typescript"}
PROBE: Rule = {
    "id": "probe",
    "languages": ["python"],
    "severity": "INFO",
    "message": "probe",
    "pattern": "probe()",
}
ALIASES = {"js": "javascript", "ts": "typescript", "py": "python"}


def main(own_dir: str, community_file: str, semgrep: str, output: str) -> None:
    """Write the rules that semgrep accepts, and the reasons for the others."""
    dropped: dict[str, str] = {}
    rules = list(read_own(Path(own_dir)))
    folder = Path(output).parent
    reason = refuse([PROBE], Path(semgrep), folder)
    if reason is not None:
        sys.exit(f"semgrep does not run here: {reason}")
    rules += read_community(json.loads(Path(community_file).read_text(encoding="utf-8")), dropped)
    accepted = list(keep_accepted(rules, Path(semgrep), folder, dropped))
    Path(f"{output}.dropped.json").write_text(json.dumps(dropped, indent=1, sort_keys=True), encoding="utf-8")
    Path(output).write_text(json.dumps({"rules": accepted}, separators=(",", ":")), encoding="utf-8")


def read_yaml(path: Path) -> list[Rule]:
    """Return the rules of a file."""
    rules: list[Rule] = YAML(typ="safe").load(path.read_text(encoding="utf-8"))["rules"]
    return rules


def read_own(folder: Path) -> Iterator[Rule]:
    """Yield our own rules."""
    for path in sorted(folder.glob("*.yaml")):
        for rule in read_yaml(path):
            yield {**rule, "metadata": {**rule["metadata"], "source": "referee", "license": "Apache-2.0"}}


def read_community(selection: dict[str, Any], dropped: dict[str, str]) -> Iterator[Rule]:
    """Yield the selected rules of the installed package, marked with where they come from."""
    distribution = importlib.metadata.distribution(selection["package"])
    source = f"{selection['package']} {distribution.version}"
    for name, wanted in selection["files"].items():
        for rule in read_yaml(Path(str(distribution.locate_file(f"rules/{name}")))):
            if wanted and rule["id"] not in wanted:
                continue
            rule_id = f"{selection['prefix']}.{rule['id'].lower()}"
            languages = sorted({ALIASES.get(word, word) for word in rule["languages"]} & LANGUAGES)
            same = selection["same_as_our_own"].get(rule["id"])
            if not languages:
                continue
            if same:
                dropped[rule_id] = f"Finds the same as {same}."
                continue
            metadata = {**rule.get("metadata", {}), "source": source, "license": selection["license"]}
            yield {**rule, "id": rule_id, "languages": languages, "metadata": metadata}


def keep_accepted(rules: list[Rule], semgrep: Path, folder: Path, dropped: dict[str, str]) -> Iterator[Rule]:
    """Yield the rules that semgrep loads; halves a set that it refuses until the guilty rule is alone."""
    reason = refuse(rules, semgrep, folder)
    if reason is None:
        yield from rules
    elif len(rules) == 1:
        dropped[rules[0]["id"]] = f"semgrep refuses it: {reason}"
    else:
        middle = len(rules) // 2
        yield from keep_accepted(rules[:middle], semgrep, folder, dropped)
        yield from keep_accepted(rules[middle:], semgrep, folder, dropped)


def refuse(rules: list[Rule], semgrep: Path, folder: Path) -> str | None:
    """Return why semgrep refuses a set of rules, None when it loads them all."""
    config = folder / "candidate.json"
    config.write_text(json.dumps({"rules": rules}), encoding="utf-8")
    targets = folder / "targets"
    targets.mkdir(exist_ok=True)
    for suffix in ("py", "js", "ts"):
        (targets / f"empty.{suffix}").write_text("\n", encoding="utf-8")
    argv = [str(semgrep), "scan", "--config", str(config), "--json", "--quiet", "--metrics=off", "--oss-only"]
    argv += ["--disable-version-check", "--no-git-ignore", "--no-rewrite-rule-ids", "-j", "1", "."]
    environment = {**os.environ, "PATH": f"{semgrep.parent}:{os.environ.get('PATH', '/usr/bin:/bin')}"}
    done = subprocess.run(argv, cwd=targets, capture_output=True, text=True, check=False, env=environment)
    try:
        errors = json.loads(done.stdout)["errors"]
    except (ValueError, KeyError):
        words = (done.stderr or done.stdout).strip().splitlines()
        return words[0][:300] if words else f"exit code {done.returncode}"
    if done.returncode != 0 or errors:
        return str(errors[0].get("message", "")).strip()[:300] if errors else f"exit code {done.returncode}"
    return None


if __name__ == "__main__":
    main(*sys.argv[1:5])
