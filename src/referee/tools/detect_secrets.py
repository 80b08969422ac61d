"""detect-secrets: passwords, keys and tokens that lie in files.

Runs detect-secrets' API through ``runners/run_detect_secrets.py`` over every text
file, not only code. Neither a secret nor a hash of it leaves the run, and nothing
is verified over the network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from referee.core.findings import JsonValue, Location, Rule, ToolFinding, ToolReport
from referee.core.sources import SourceSnapshot
from referee.core.vocabulary import Confidence, ExitMeaning, Service, Severity
from referee.foundation.sandbox.commands import Limits
from referee.tools.contract import (
    Installation,
    InstallKit,
    Parameter,
    ParameterValue,
    RawOutput,
    RunKit,
    Tool,
    ToolDescription,
    ToolPlan,
)
from referee.tools.planning import EXCLUDE_PARAMETER, get_words, plan_files
from referee.tools.reading import (
    OutputUnreadable,
    as_array,
    as_object,
    build_file_coverage,
    get_text,
    normalise_path,
)
from referee.tools.runner_output import read_runner_output, run_runner
from referee.tools.running import probe_python_package

__all__ = ["DetectSecrets", "create_tool"]

_PLUGINS: Final = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "Base64HighEntropyString", "BasicAuthDetector",
    "CloudantDetector", "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "HexHighEntropyString",
    "IbmCloudIamDetector", "IbmCosHmacDetector", "IPPublicDetector", "JwtTokenDetector", "KeywordDetector",
    "MailchimpDetector", "NpmDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector",
    "SlackDetector", "SoftlayerDetector", "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector",
    "TwilioKeyDetector",
)  # fmt: skip

_CONFIDENCES: Final[dict[str, Confidence]] = {
    "secret-keyword": Confidence.medium,
    "base64-high-entropy-string": Confidence.low,
    "hex-high-entropy-string": Confidence.low,
    "public-ip-ipv4": Confidence.low,
}
"""Detectors that guess; all others know the form of one service's keys."""

_DESCRIPTION = ToolDescription(
    name="detect-secrets",
    service=Service.static,
    summary="Finds passwords, keys and tokens in files.",
    homepage_url="https://github.com/Yelp/detect-secrets",
    license="Apache-2.0",
    languages=(),
    applies_to="all text files",
    parameters=(
        Parameter(
            name="disabled_plugins",
            type="array",
            default=(),
            options=_PLUGINS,
            help="Detectors not to run.",
        ),
        EXCLUDE_PARAMETER,
        Parameter(
            name="base64_limit",
            type="number",
            default=4.5,
            minimum=0,
            maximum=8,
            help="Entropy in bits per character from which a base64 text counts as a secret.",
        ),
        Parameter(
            name="hex_limit",
            type="number",
            default=3.0,
            minimum=0,
            maximum=8,
            help="Entropy in bits per character from which a hexadecimal text counts as a secret.",
        ),
    ),
    presets={
        "quick": {
            "disabled_plugins": ("Base64HighEntropyString", "HexHighEntropyString", "IPPublicDetector")
        },
        "deep": {},
    },
    limits=Limits(wall_s=300),
    exit_codes={0: ExitMeaning.clean, 1: ExitMeaning.error},
    identity_fields=(),
    is_default=False,
    cost_s=1.0,
)


class DetectSecrets:
    """The tool detect-secrets."""

    def describe(self) -> ToolDescription:
        """Return what detect-secrets is."""
        return _DESCRIPTION

    async def ensure_installed(self, kit: InstallKit) -> Installation:
        """Return detect-secrets' environment, installed first if need be."""
        return await kit.python_environment("detect-secrets", "detect-secrets.txt", "python")

    async def probe_version(self, installation: Installation) -> str:
        """Return the installed version."""
        return await probe_python_package(installation, "detect-secrets")

    def plan(self, snapshot: SourceSnapshot, parameters: Mapping[str, ParameterValue]) -> ToolPlan:
        """Plan every file of the subject."""
        return plan_files(snapshot, parameters, noun="files")

    async def run(self, kit: RunKit, plan: ToolPlan) -> RawOutput:
        """Scan all planned files."""
        job: dict[str, JsonValue] = {
            "files": list(plan.files),
            "disabled_plugins": list(get_words(plan.parameters, "disabled_plugins")),
            "base64_limit": float(str(plan.parameters["base64_limit"])),
            "hex_limit": float(str(plan.parameters["hex_limit"])),
        }
        return await run_runner(kit, "detect-secrets", "run_detect_secrets.py", job)

    def parse(self, raw: RawOutput, plan: ToolPlan) -> ToolReport:
        """Read the runner's lines.

        Raises:
            OutputUnreadable: There is no output, or not of the runner's form.
        """
        output = read_runner_output(raw)
        findings: list[ToolFinding] = []
        names: dict[str, str] = {}
        for record in output.records:
            path = normalise_path(get_text(record, "path"))
            if path is None:
                raise OutputUnreadable(
                    f"The output names {get_text(record, 'path')!r} outside of the subject."
                )
            for item in as_array(record.get("secrets"), "secrets"):
                secret = as_object(item, "a secret")
                finding = _read_finding(secret, path)
                names[finding.rule_id] = get_text(secret, "type")
                findings.append(finding)
        return ToolReport(
            findings=tuple(findings),
            rules=tuple(
                Rule(rule_id, names[rule_id], f"{names[rule_id]} in a file.", Severity.high, None, (798,))
                for rule_id in sorted(names)
            ),
            coverage=build_file_coverage(
                plan.files,
                unreadable=output.unreadable,
                skipped=output.skipped,
                suppressed_count=sum(finding.suppression is not None for finding in findings),
            ),
            failure=output.failure,
            is_partial=output.failure is not None,
        )


def create_tool() -> Tool:
    """Return the tool."""
    return DetectSecrets()


def _read_finding(secret: dict[str, JsonValue], path: str) -> ToolFinding:
    kind = get_text(secret, "type")
    rule_id = re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")
    lines = [line for line in as_array(secret.get("lines"), "lines") if isinstance(line, int)]
    return ToolFinding(
        rule_id=rule_id,
        message=f"Possible secret: {kind}.",
        severity=Severity.high,
        location=Location(path, lines[0] if lines else None),
        confidence=_CONFIDENCES.get(rule_id, Confidence.high),
        cwe_ids=(798,),
        suppression="pragma: allowlist secret" if secret.get("allowed") is True else None,
        related=tuple(Location(path, line) for line in lines[1:]),
    )
