"""Put the result of a tool run into the database, exactly once.

One transaction holds everything: the tool run's outcome, its findings and
where they stand, rules, measurements and the names of its artifacts. The
outcome is written only where none is yet, so of two workers that ran the same
tool (a take-over that came too early) one is accepted and the other changes
nothing.

Rows go in by COPY into a temporary table and from there by set-wise
statements: 50,000 findings take seconds, not minutes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import ARRAY, Column, Integer, MetaData, Table, Text, Uuid, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.schema import CreateTable

from referee.analysis.results import PreparedOccurrence, ToolRunResult, digest_occurrences, dump_coverage
from referee.analysis.tables import MeasurementRow, RuleRow, ToolRunAttemptRow, ToolRunRow
from referee.core.ids import new_id
from referee.foundation.store import copy_rows, record_artifacts

__all__ = [
    "OCCURRENCE_DIGEST_COLUMNS",
    "ToolRunKey",
    "load_occurrence_rows",
    "lock_subject",
    "record_tool_run",
]

OCCURRENCE_DIGEST_COLUMNS = (
    "ordinal", "fingerprint", "rule_id", "severity", "tool_severity", "confidence", "message", "path", "start_line",
    "start_column", "end_line", "end_column", "code_line", "suppression",
)  # fmt: skip
"""What `referee verify` computes the digest of findings over."""

_INCOMING = Table(
    "incoming",
    MetaData(),
    Column("new_finding_id", Uuid()),
    Column("new_cluster_id", Uuid()),
    Column("cluster_key", Text()),
    Column("fingerprint", Text()),
    Column("ordinal", Integer()),
    Column("rule_id", Text()),
    Column("severity", Text()),
    Column("severity_rank", Integer()),
    Column("tool_severity", Text()),
    Column("confidence", Text()),
    Column("message", Text()),
    Column("path", Text()),
    Column("start_line", Integer()),
    Column("start_column", Integer()),
    Column("end_line", Integer()),
    Column("end_column", Integer()),
    Column("address", Text()),
    Column("address_json", JSONB()),
    Column("code_line", Text()),
    Column("source_sha256", Text()),
    Column("suppression", Text()),
    Column("help_url", Text()),
    Column("identity_json", JSONB()),
    Column("related_json", JSONB()),
    Column("properties_json", JSONB()),
    Column("cwe_ids", ARRAY(Integer())),
    prefixes=["TEMPORARY"],
)
"""Rows on their way in; lives for a few statements of one transaction."""

_UPSERT_CLUSTERS = """
INSERT INTO clusters (cluster_id, subject_id, cluster_key)
SELECT DISTINCT ON (cluster_key) new_cluster_id, CAST(:subject_id AS uuid), cluster_key
  FROM incoming WHERE cluster_key IS NOT NULL
 ORDER BY cluster_key, new_cluster_id
ON CONFLICT (subject_id, cluster_key) DO NOTHING
"""

# What an analysis saw opens a finding again unless a later one has found it fixed.
_IS_NEWER_THAN_FIX = """
(SELECT sequence FROM analyses WHERE analysis_id = CAST(:analysis_id AS uuid)) > COALESCE((
    SELECT max(fixing.sequence) FROM finding_events JOIN analyses AS fixing USING (analysis_id)
     WHERE finding_events.finding_id = findings.finding_id AND finding_events.state = 'fixed'
), 0)
"""

# The events come first: they must see the state as it was before this run.
_RECORD_REOPENED = f"""
INSERT INTO finding_events (finding_id, state, reason, actor, analysis_id)
SELECT findings.finding_id, 'open', 'It was seen again.', 'analysis', CAST(:analysis_id AS uuid)
  FROM findings JOIN incoming USING (fingerprint)
 WHERE findings.subject_id = CAST(:subject_id AS uuid) AND findings.state = 'fixed' AND {_IS_NEWER_THAN_FIX}
"""  # noqa: S608 - our own words

_UPSERT_FINDINGS = f"""
INSERT INTO findings (
    finding_id, project_id, subject_id, fingerprint, tool, rule_id, severity, severity_rank, confidence, message,
    path, start_line, address, cwe_ids, is_suppressed, state, state_reason, cluster_id, parameters_digest,
    first_analysis_id, last_analysis_id
)
SELECT incoming.new_finding_id, CAST(:project_id AS uuid), CAST(:subject_id AS uuid), incoming.fingerprint, :tool,
       incoming.rule_id, incoming.severity, incoming.severity_rank, incoming.confidence, incoming.message,
       incoming.path, incoming.start_line, incoming.address, incoming.cwe_ids, incoming.suppression IS NOT NULL,
       'open', '',
       clusters.cluster_id, :parameters_digest, CAST(:analysis_id AS uuid), CAST(:analysis_id AS uuid)
  FROM incoming
  LEFT JOIN clusters
    ON clusters.subject_id = CAST(:subject_id AS uuid) AND clusters.cluster_key = incoming.cluster_key
 ORDER BY incoming.fingerprint
ON CONFLICT (subject_id, fingerprint) DO UPDATE SET
    severity = excluded.severity,
    severity_rank = excluded.severity_rank,
    confidence = excluded.confidence,
    message = excluded.message,
    path = excluded.path,
    start_line = excluded.start_line,
    cwe_ids = excluded.cwe_ids,
    is_suppressed = excluded.is_suppressed,
    state = CASE WHEN findings.state = 'fixed' AND {_IS_NEWER_THAN_FIX} THEN 'open' ELSE findings.state END,
    cluster_id = CASE WHEN findings.is_link_refused THEN NULL ELSE excluded.cluster_id END,
    parameters_digest = excluded.parameters_digest,
    last_analysis_id = excluded.last_analysis_id,
    last_seen_at = now()
 WHERE (SELECT sequence FROM analyses WHERE analysis_id = CAST(:analysis_id AS uuid))
       >= (SELECT sequence FROM analyses WHERE analyses.analysis_id = findings.last_analysis_id)
"""  # noqa: S608 - our own words

_RECORD_NEW = """
INSERT INTO finding_events (finding_id, state, reason, actor, analysis_id)
SELECT findings.finding_id, 'open', 'It was seen for the first time.', 'analysis', CAST(:analysis_id AS uuid)
  FROM findings JOIN incoming ON incoming.new_finding_id = findings.finding_id
"""

_INSERT_OCCURRENCES = """
INSERT INTO occurrences (
    tool_run_id, ordinal, analysis_id, finding_id, rule_id, severity, severity_rank, tool_severity, confidence,
    message, path, start_line, start_column, end_line, end_column, address_json, code_line, source_sha256,
    suppression, help_url, identity_json, related_json, properties_json, cwe_ids
)
SELECT CAST(:tool_run_id AS uuid), incoming.ordinal, CAST(:analysis_id AS uuid), findings.finding_id,
       incoming.rule_id, incoming.severity, incoming.severity_rank, incoming.tool_severity, incoming.confidence,
       incoming.message, incoming.path, incoming.start_line, incoming.start_column, incoming.end_line,
       incoming.end_column, incoming.address_json, incoming.code_line, incoming.source_sha256,
       incoming.suppression, incoming.help_url, incoming.identity_json, incoming.related_json,
       incoming.properties_json, incoming.cwe_ids
  FROM incoming JOIN findings
    ON findings.subject_id = CAST(:subject_id AS uuid) AND findings.fingerprint = incoming.fingerprint
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRunKey:
    """Which tool run a result is for."""

    tool_run_id: UUID
    analysis_id: UUID
    subject_id: UUID
    project_id: UUID
    tool: str
    parameters_digest: str
    attempt: int


async def record_tool_run(
    session: AsyncSession, key: ToolRunKey, result: ToolRunResult, *, cached_from: UUID | None = None
) -> bool:
    """Write a tool run's result, unless it already has one.

    Args:
        session: An open transaction.
        key: Which tool run.
        result: What became of it.
        cached_from: The tool run whose result this one repeats.

    Returns:
        Whether this result is the accepted one.
    """
    await lock_subject(session, key.subject_id)
    if cached_from is None:  # the artifacts of a repeated result are recorded since it was first there
        await record_artifacts(session, result.artifacts)
    if not await _accept(session, key, result, cached_from):
        return False
    if result.occurrences:
        await _store_occurrences(session, key, result)
    await _store_rules(session, key.tool, result)
    await _store_measurements(session, key, result)
    digest = digest_occurrences(await load_occurrence_rows(session, key.tool_run_id))
    await session.execute(
        update(ToolRunRow).where(ToolRunRow.tool_run_id == key.tool_run_id).values(findings_digest=digest)
    )
    return True


async def lock_subject(session: AsyncSession, subject_id: UUID) -> None:
    """Wait until nobody else writes the findings of a subject.

    Runs and ends of one subject write the same findings; one at a time needs no retry on deadlock.
    """
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"subject:{subject_id}"}
    )


async def load_occurrence_rows(session: AsyncSession, tool_run_id: UUID) -> list[tuple[object, ...]]:
    """Return the stored occurrences of a tool run in the form their digest is computed over."""
    columns = ", ".join(
        f"findings.{name}" if name == "fingerprint" else f"occurrences.{name}"
        for name in OCCURRENCE_DIGEST_COLUMNS
    )
    rows = await session.execute(
        text(
            f"SELECT {columns} FROM occurrences JOIN findings USING (finding_id)"  # noqa: S608 - our own column names
            " WHERE occurrences.tool_run_id = :tool_run_id ORDER BY occurrences.ordinal"
        ),
        {"tool_run_id": tool_run_id},
    )
    return [tuple(row) for row in rows]


async def _accept(
    session: AsyncSession, key: ToolRunKey, result: ToolRunResult, cached_from: UUID | None
) -> bool:
    statement = (
        update(ToolRunRow)
        .where(ToolRunRow.tool_run_id == key.tool_run_id, ToolRunRow.outcome.is_(None))
        .values(
            outcome=result.outcome.value,
            reason=result.reason,
            did_run=result.did_run,
            exit_meaning=result.exit_meaning.value,
            exit_code=result.exit_code,
            parse_state=result.parse_state.value,
            findings_count=result.findings_count,
            suppressed_count=result.suppressed_count,
            version=result.version,
            adapter_version=result.adapter_version,
            cache_key=result.cache_key,
            app_run_id=result.app_run_id,
            cached_from_tool_run_id=cached_from,
            command_json=list(result.command),
            isolation_json=None if result.isolation is None else dict(result.isolation),
            coverage_json=None if result.coverage is None else dump_coverage(result.coverage),
            notices_json=list(result.notices),
            plan_json=None if result.plan is None else dict(result.plan),
            raw_json={
                name: {
                    "sha256": stream.artifact.sha256,
                    "size_bytes": stream.artifact.size_bytes,
                    "total_bytes": stream.total_bytes,
                    "is_truncated": stream.is_truncated,
                }
                for name, stream in result.raw.items()
            },
            sarif_sha256=None if result.sarif is None else result.sarif.sha256,
            duration_ms=result.duration_ms,
            cpu_ms=result.cpu_ms,
            peak_memory_bytes=result.peak_memory_bytes,
            finished_at=result.ended_at or text("clock_timestamp()"),
        )
        .returning(ToolRunRow.tool_run_id)
    )
    accepted = (await session.execute(statement)).first() is not None
    await session.execute(
        update(ToolRunAttemptRow)
        .where(ToolRunAttemptRow.tool_run_id == key.tool_run_id, ToolRunAttemptRow.attempt == key.attempt)
        .values(finished_at=text("clock_timestamp()"), is_accepted=accepted)
    )
    return accepted


async def _store_occurrences(session: AsyncSession, key: ToolRunKey, result: ToolRunResult) -> None:
    values = {
        "subject_id": key.subject_id,
        "analysis_id": key.analysis_id,
        "project_id": key.project_id,
        "tool_run_id": key.tool_run_id,
        "tool": key.tool,
        "parameters_digest": key.parameters_digest,
    }
    await session.execute(CreateTable(_INCOMING))
    await copy_rows(session, _INCOMING, _INCOMING.columns.keys(), _incoming_rows(result))
    await session.execute(text("ANALYZE incoming"))
    for statement in (_UPSERT_CLUSTERS, _RECORD_REOPENED, _UPSERT_FINDINGS, _RECORD_NEW, _INSERT_OCCURRENCES):
        await session.execute(
            text(statement), {name: values[name] for name in values if f":{name}" in statement}
        )
    await session.execute(text("DROP TABLE incoming"))


def _incoming_rows(result: ToolRunResult) -> Iterable[tuple[object, ...]]:
    for ordinal, occurrence in enumerate(result.occurrences):
        yield _incoming_row(ordinal, occurrence, result)


def _incoming_row(ordinal: int, occurrence: PreparedOccurrence, result: ToolRunResult) -> tuple[object, ...]:
    finding = occurrence.finding
    location = finding.location
    source = result.sources.get(location.path) if location is not None else None
    return (
        new_id(),
        new_id(),
        occurrence.cluster_key,
        occurrence.fingerprint,
        ordinal,
        finding.rule_id,
        finding.severity.value,
        finding.severity.rank,
        finding.tool_severity,
        None if finding.confidence is None else finding.confidence.value,
        finding.message,
        None if location is None else location.path,
        None if location is None else location.start_line,
        None if location is None else location.start_column,
        None if location is None else location.end_line,
        None if location is None else location.end_column,
        None if finding.address is None else str(finding.address),
        None if finding.address is None else asdict(finding.address),
        occurrence.code_line,
        None if source is None else source.sha256,
        finding.suppression,
        finding.help_url,
        list(finding.identity),
        [asdict(place) for place in finding.related],
        dict(finding.properties),
        list(finding.cwe_ids),
    )


async def _store_rules(session: AsyncSession, tool: str, result: ToolRunResult) -> None:
    rows = [
        {
            "tool": tool,
            "rule_id": rule.rule_id,
            "name": rule.name,
            "summary": rule.summary,
            "default_severity": rule.default_severity.value,
            "help_url": rule.help_url,
            "cwe_ids": list(rule.cwe_ids),
        }
        for rule in sorted(result.rules, key=lambda rule: rule.rule_id)
    ]
    if not rows:
        return
    statement = insert(RuleRow)
    statement = statement.on_conflict_do_update(
        index_elements=["tool", "rule_id"],
        set_={
            name: statement.excluded[name]
            for name in ("name", "summary", "default_severity", "help_url", "cwe_ids")
        },
    )
    await session.execute(statement, rows)


async def _store_measurements(session: AsyncSession, key: ToolRunKey, result: ToolRunResult) -> None:
    rows = [
        {
            "tool_run_id": key.tool_run_id,
            "ordinal": ordinal,
            "analysis_id": key.analysis_id,
            "name": measurement.name,
            "value": measurement.value,
            "unit": measurement.unit,
            "better": measurement.better,
            "path": None if measurement.location is None else measurement.location.path,
            "start_line": None if measurement.location is None else measurement.location.start_line,
            "address": None if measurement.address is None else str(measurement.address),
        }
        for ordinal, measurement in enumerate(result.measurements)
    ]
    if rows:
        await session.execute(insert(MeasurementRow), rows)
