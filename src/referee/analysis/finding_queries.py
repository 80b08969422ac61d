"""Every read of findings and of the places where analyses saw them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.tables import (
    FindingEventRow,
    FindingRow,
    OccurrenceRow,
    RuleRow,
    SubjectRow,
    ToolRunRow,
)
from referee.analysis.views import Facet, Finding, FindingEvent, Occurrence
from referee.core.addresses import Address
from referee.core.errors import NotFound
from referee.core.findings import JsonValue, Rule
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.core.vocabulary import Confidence, FindingState, Service, Severity
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where

__all__ = [
    "FINDING_COLUMNS",
    "FINDING_FIELDS",
    "OCCURRENCE_COLUMNS",
    "OCCURRENCE_FIELDS",
    "count_finding_facets",
    "count_findings",
    "count_findings_by_state",
    "count_occurrence_facets",
    "get_finding",
    "get_rule",
    "list_cluster",
    "list_finding_events",
    "list_finding_occurrences",
    "list_findings",
    "list_occurrences",
    "list_rules",
    "list_stored_sources",
    "stream_occurrences",
]

_FACET_VALUES_MAX_COUNT: Final = 20

FINDING_FIELDS: Final[Mapping[str, FilterField]] = {
    "state": FilterField.of_enum(FindingState, "State of the finding; is:open says the same."),
    "severity": FilterField(
        "ordered", "How bad it is.", tuple(word.value for word in sorted(Severity, key=lambda word: word.rank)),
        example="severity:>=high",
    ),
    "tool": FilterField("keyword", "Tool that reports it.", example="tool:bandit"),
    "rule": FilterField("text", "Part of the rule's id, or a pattern with *.", is_searched=True),
    "path": FilterField("text", "Part of the file's path, or a pattern.", is_searched=True, example="path:backend/*"),
    "address": FilterField(
        "text", "Part of the place in the running app, or a pattern.", is_searched=True, example="address:*/api/*"
    ),
    "subject": FilterField(
        "keyword", "Name of the subject, or a pattern with *.", is_searched=True, example="subject:*/app1"
    ),
    "message": FilterField("text", "Part of the message.", is_searched=True),
    "suppressed": FilterField("flag", "Whether the code asks not to be told."),
    "seen": FilterField("time", "When it was last seen.", example="seen:>=-7d"),
}  # fmt: skip
FINDING_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "state": FindingRow.__table__.c.state,
    "severity": FindingRow.__table__.c.severity,
    "tool": FindingRow.__table__.c.tool,
    "rule": FindingRow.__table__.c.rule_id,
    "path": FindingRow.__table__.c.path,
    "address": FindingRow.__table__.c.address,
    "subject": SubjectRow.__table__.c.name,
    "message": FindingRow.__table__.c.message,
    "suppressed": FindingRow.__table__.c.is_suppressed,
    "seen": FindingRow.__table__.c.last_seen_at,
}

OCCURRENCE_FIELDS: Final[Mapping[str, FilterField]] = {
    **{
        name: FINDING_FIELDS[name]
        for name in ("state", "severity", "tool", "rule", "path", "address", "message", "suppressed")
    },
    "service": FilterField.of_enum(Service, "Family of the tool that reports it."),
}
OCCURRENCE_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "state": FindingRow.__table__.c.state,
    "severity": OccurrenceRow.__table__.c.severity,
    "tool": ToolRunRow.__table__.c.tool,
    "rule": OccurrenceRow.__table__.c.rule_id,
    "path": OccurrenceRow.__table__.c.path,
    "address": FindingRow.__table__.c.address,
    "message": OccurrenceRow.__table__.c.message,
    "suppressed": OccurrenceRow.__table__.c.suppression.is_not(None),
    "service": ToolRunRow.__table__.c.service,
}


def _select_findings() -> Select[FindingRow, str]:
    return select(FindingRow, SubjectRow.name).join(
        SubjectRow, SubjectRow.subject_id == FindingRow.subject_id
    )


async def get_finding(session: AsyncSession, project_id: UUID, finding_id: UUID) -> Finding:
    """Return one finding.

    Raises:
        NotFound: The project has no such finding.
    """
    row = (
        await session.execute(
            _select_findings().where(FindingRow.finding_id == finding_id, FindingRow.project_id == project_id)
        )
    ).first()
    if row is None:
        raise NotFound(
            "finding.not_found", "There is no such finding.", "List the findings with `referee finding list`."
        )
    return _finding(row)


async def list_findings(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Finding]:
    """Return findings, worst first, then in the order they were first seen."""
    conditions = _finding_conditions(project_id, where)
    total_count = (
        await session.scalar(
            select(func.count())
            .select_from(FindingRow)
            .outerjoin(SubjectRow, SubjectRow.subject_id == FindingRow.subject_id)
            .where(*conditions)
        )
        or 0
    )
    statement = (
        _select_findings()
        .where(*conditions)
        .order_by(FindingRow.severity_rank.desc(), FindingRow.finding_id)
        .limit(limit + 1)
    )
    if cursor is not None:
        rank, finding_id = decode_cursor(cursor, "findings")
        statement = statement.where(
            or_(
                FindingRow.severity_rank < int(str(rank)),
                and_(
                    FindingRow.severity_rank == int(str(rank)), FindingRow.finding_id > UUID(str(finding_id))
                ),
            )
        )
    rows = (await session.execute(statement)).all()
    items = [_finding(row) for row in rows[:limit]]
    next_cursor = None
    if len(rows) > limit:
        next_cursor = encode_cursor("findings", [items[-1].severity.rank, str(items[-1].finding_id)])
    return Page(tuple(items), total_count, limit, next_cursor)


async def count_finding_facets(
    session: AsyncSession, project_id: UUID, *, where: Filter | None = None
) -> dict[str, tuple[Facet, ...]]:
    """Return counts by severity, state, tool, subject and suppression, at most 20 values each.

    Each key is counted under the filter without its own terms, so that a second value can be added to a first.
    """
    columns: dict[str, ColumnElement[Any]] = {
        "severity": FindingRow.__table__.c.severity,
        "state": FindingRow.__table__.c.state,
        "tool": FindingRow.__table__.c.tool,
        "subject": SubjectRow.__table__.c.name,
        "suppressed": _yes_or_no(FindingRow.is_suppressed.is_(True)),
    }
    counted = (
        select().select_from(FindingRow).outerjoin(SubjectRow, SubjectRow.subject_id == FindingRow.subject_id)
    )
    facets = {}
    for fields in _group_facets(columns, where):
        conditions = _finding_conditions(project_id, None if where is None else where.without(fields[0]))
        chosen = {field: columns[field] for field in fields}
        facets.update(await _count_facets(session, counted.where(*conditions), chosen))
    return {field: facets[field] for field in columns}


async def count_findings_by_state(session: AsyncSession, project_id: UUID) -> dict[FindingState, int]:
    """Return how many findings are in each state; those that the code suppresses do not count."""
    return (await count_findings(session, project_id))[0]


async def count_findings(session: AsyncSession, project_id: UUID) -> tuple[dict[FindingState, int], int]:
    """Return how many findings are in each state, and how many besides the code asks not to be told of."""
    rows = await session.execute(
        select(FindingRow.state, FindingRow.is_suppressed, func.count())
        .where(FindingRow.project_id == project_id)
        .group_by(FindingRow.state, FindingRow.is_suppressed)
    )
    counts, suppressed_count = dict.fromkeys(FindingState, 0), 0
    for state, is_suppressed, count in rows:
        if is_suppressed:
            suppressed_count += count
        else:
            counts[FindingState(state)] = count
    return counts, suppressed_count


async def list_cluster(session: AsyncSession, finding: Finding, *, limit: int = 20) -> tuple[Finding, ...]:
    """Return the other findings that report the same problem."""
    if finding.cluster_id is None:
        return ()
    rows = await session.execute(
        _select_findings()
        .where(FindingRow.cluster_id == finding.cluster_id, FindingRow.finding_id != finding.finding_id)
        .order_by(FindingRow.tool, FindingRow.rule_id)
        .limit(limit)
    )
    return tuple(_finding(row) for row in rows)


async def list_finding_events(
    session: AsyncSession, finding_id: UUID, *, limit: int = 100
) -> tuple[FindingEvent, ...]:
    """Return the changes in a finding's life, newest first."""
    rows = await session.scalars(
        select(FindingEventRow)
        .where(FindingEventRow.finding_id == finding_id)
        .order_by(FindingEventRow.sequence.desc())
        .limit(limit)
    )
    return tuple(
        FindingEvent(
            state=FindingState(row.state),
            reason=row.reason,
            actor=row.actor,
            analysis_id=row.analysis_id,
            at=row.at,
        )
        for row in rows
    )


async def get_rule(session: AsyncSession, tool: str, rule_id: str) -> Rule | None:
    """Return what a tool says about a rule, or None when it never did."""
    row = await session.get(RuleRow, (tool, rule_id))
    return None if row is None else _rule(row)


async def list_rules(session: AsyncSession, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Rule]:
    """Return what tools say about rules, by tool and rule id; a rule of which none was ever told is left out."""
    rows = await session.scalars(select(RuleRow).where(tuple_(RuleRow.tool, RuleRow.rule_id).in_(list(keys))))
    return {(row.tool, row.rule_id): _rule(row) for row in rows}


async def list_stored_sources(
    session: AsyncSession, analysis_id: UUID, *, limit: int = 1000
) -> dict[str, str]:
    """Return the files of an analysis whose text is kept: path → artifact, by path."""
    rows = await session.execute(
        select(OccurrenceRow.path, func.max(OccurrenceRow.source_sha256))
        .where(OccurrenceRow.analysis_id == analysis_id, OccurrenceRow.source_sha256.is_not(None))
        .group_by(OccurrenceRow.path)
        .order_by(OccurrenceRow.path)
        .limit(limit)
    )
    return {str(path): str(sha256) for path, sha256 in rows}


def _select_occurrences() -> Select[OccurrenceRow, str, str, str]:
    return (
        select(OccurrenceRow, FindingRow.fingerprint, FindingRow.state, ToolRunRow.tool)
        .join(FindingRow, FindingRow.finding_id == OccurrenceRow.finding_id)
        .join(ToolRunRow, ToolRunRow.tool_run_id == OccurrenceRow.tool_run_id)
    )


async def list_occurrences(
    session: AsyncSession,
    analysis_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Occurrence]:
    """Return what one analysis found, worst first."""
    conditions = _occurrence_conditions(analysis_id, where)
    counted = _select_counted_occurrences().where(*conditions).with_only_columns(func.count())
    total_count = await session.scalar(counted) or 0
    statement = (
        _select_occurrences()
        .where(*conditions)
        .order_by(OccurrenceRow.severity_rank.desc(), OccurrenceRow.tool_run_id, OccurrenceRow.ordinal)
        .limit(limit + 1)
    )
    if cursor is not None:
        rank, run, ordinal = decode_cursor(cursor, "occurrences")
        later_in_run = and_(
            OccurrenceRow.tool_run_id == UUID(str(run)), OccurrenceRow.ordinal > int(str(ordinal))
        )
        statement = statement.where(
            or_(
                OccurrenceRow.severity_rank < int(str(rank)),
                and_(
                    OccurrenceRow.severity_rank == int(str(rank)),
                    or_(OccurrenceRow.tool_run_id > UUID(str(run)), later_in_run),
                ),
            )
        )
    rows = (await session.execute(statement)).all()
    items = [_occurrence(row) for row in rows[:limit]]
    next_cursor = None
    if len(rows) > limit:
        last = items[-1]
        next_cursor = encode_cursor("occurrences", [last.severity.rank, str(last.tool_run_id), last.ordinal])
    return Page(tuple(items), total_count, limit, next_cursor)


async def count_occurrence_facets(
    session: AsyncSession, analysis_id: UUID, *, where: Filter | None = None
) -> dict[str, tuple[Facet, ...]]:
    """Return counts by severity, state, tool and suppression of what one analysis found.

    Each key is counted under the filter without its own terms.
    """
    columns: dict[str, ColumnElement[Any]] = {
        "severity": OccurrenceRow.__table__.c.severity,
        "state": FindingRow.__table__.c.state,
        "tool": ToolRunRow.__table__.c.tool,
        "suppressed": _yes_or_no(OccurrenceRow.suppression.is_not(None)),
    }
    facets = {}
    for fields in _group_facets(columns, where):
        conditions = _occurrence_conditions(analysis_id, None if where is None else where.without(fields[0]))
        chosen = {field: columns[field] for field in fields}
        facets.update(await _count_facets(session, _select_counted_occurrences().where(*conditions), chosen))
    return {field: facets[field] for field in columns}


async def stream_occurrences(session: AsyncSession, analysis_id: UUID) -> AsyncIterator[Occurrence]:
    """Yield everything an analysis found, by tool and position, without holding it all in memory."""
    statement = (
        _select_occurrences()
        .where(OccurrenceRow.analysis_id == analysis_id)
        .order_by(ToolRunRow.tool, OccurrenceRow.ordinal)
        .execution_options(yield_per=2_000)
    )
    result = await session.stream(statement)
    async for row in result:
        yield _occurrence(row)


async def list_finding_occurrences(
    session: AsyncSession, finding_id: UUID, *, limit: int = 20
) -> tuple[Occurrence, ...]:
    """Return where a finding was seen, newest analysis first."""
    rows = await session.execute(
        _select_occurrences()
        .where(OccurrenceRow.finding_id == finding_id)
        .order_by(OccurrenceRow.analysis_id.desc())
        .limit(limit)
    )
    return tuple(_occurrence(row) for row in rows)


def _group_facets(columns: Mapping[str, object], where: Filter | None) -> list[list[str]]:
    """Return the fields in groups that are counted under the same filter, so that each group takes one pass."""
    groups: dict[str, list[str]] = {}
    for field in columns:
        groups.setdefault("" if where is None else str(where.without(field)), []).append(field)
    return list(groups.values())


async def _count_facets(
    session: AsyncSession, counted: Select[Any], columns: Mapping[str, ColumnElement[Any]]
) -> dict[str, tuple[Facet, ...]]:
    """Count the values of all columns in one pass over the rows, most first."""
    values = list(columns.values())
    value = case(*((func.grouping(column) == 0, column) for column in values))
    field = case(
        *((func.grouping(column) == 0, literal_column(f"'{name}'")) for name, column in columns.items())
    )
    sets = func.grouping_sets(*(tuple_(column) for column in values))
    count = func.count()
    place = func.row_number().over(partition_by=field, order_by=(count.desc(), value)).label("place")
    ranked = (
        counted.with_only_columns(field.label("field"), value.label("value"), count.label("count"), place)
        .group_by(sets)
        .subquery()
    )
    rows = await session.execute(
        select(ranked.c.field, ranked.c.value, ranked.c.count)
        .where(ranked.c.place <= _FACET_VALUES_MAX_COUNT)
        .order_by(ranked.c.field, ranked.c.place)
    )
    found: dict[str, list[Facet]] = {name: [] for name in columns}
    for name, facet_value, facet_count in rows:
        found[name].append(Facet(name, str(facet_value), facet_count))
    return {name: tuple(facets) for name, facets in found.items()}


def _yes_or_no(condition: ColumnElement[bool]) -> ColumnElement[str]:
    """Return a flag as the words that a filter knows it by."""
    return case((condition, literal_column("'yes'")), else_=literal_column("'no'"))


def _finding_conditions(project_id: UUID, where: Filter | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [FindingRow.project_id == project_id]
    if where is not None:
        conditions.append(to_where(where, FINDING_COLUMNS))
    return conditions


def _occurrence_conditions(analysis_id: UUID, where: Filter | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [OccurrenceRow.analysis_id == analysis_id]
    if where is not None:
        conditions.append(to_where(where, OCCURRENCE_COLUMNS))
    return conditions


def _select_counted_occurrences() -> Select[Any]:
    """Outer joins, as the database leaves out those that a count does not need. Every row has its partners."""
    return (
        select(OccurrenceRow.ordinal)
        .select_from(OccurrenceRow)
        .outerjoin(FindingRow, FindingRow.finding_id == OccurrenceRow.finding_id)
        .outerjoin(ToolRunRow, ToolRunRow.tool_run_id == OccurrenceRow.tool_run_id)
    )


def _finding(row: Row[FindingRow, str]) -> Finding:
    finding, subject_name = row
    return Finding(
        finding_id=finding.finding_id,
        project_id=finding.project_id,
        subject_id=finding.subject_id,
        subject_name=subject_name,
        fingerprint=finding.fingerprint,
        tool=finding.tool,
        rule_id=finding.rule_id,
        severity=Severity(finding.severity),
        confidence=None if finding.confidence is None else Confidence(finding.confidence),
        message=finding.message,
        path=finding.path,
        start_line=finding.start_line,
        address=finding.address,
        cwe_ids=tuple(finding.cwe_ids),
        is_suppressed=finding.is_suppressed,
        state=FindingState(finding.state),
        state_reason=finding.state_reason,
        cluster_id=finding.cluster_id,
        first_analysis_id=finding.first_analysis_id,
        last_analysis_id=finding.last_analysis_id,
        first_seen_at=finding.first_seen_at,
        last_seen_at=finding.last_seen_at,
    )


def _occurrence(row: Row[OccurrenceRow, str, str, str]) -> Occurrence:
    occurrence, fingerprint, state, tool = row
    return Occurrence(
        tool_run_id=occurrence.tool_run_id,
        ordinal=occurrence.ordinal,
        analysis_id=occurrence.analysis_id,
        finding_id=occurrence.finding_id,
        fingerprint=fingerprint,
        tool=tool,
        rule_id=occurrence.rule_id,
        severity=Severity(occurrence.severity),
        tool_severity=occurrence.tool_severity,
        confidence=None if occurrence.confidence is None else Confidence(occurrence.confidence),
        message=occurrence.message,
        path=occurrence.path,
        start_line=occurrence.start_line,
        start_column=occurrence.start_column,
        end_line=occurrence.end_line,
        end_column=occurrence.end_column,
        address=_address(occurrence.address_json),
        code_line=occurrence.code_line,
        source_sha256=occurrence.source_sha256,
        suppression=occurrence.suppression,
        help_url=occurrence.help_url,
        identity=tuple(str(value) for value in occurrence.identity_json),
        related=tuple(place for place in occurrence.related_json if isinstance(place, dict)),
        properties=occurrence.properties_json,
        cwe_ids=tuple(occurrence.cwe_ids),
        state=FindingState(state),
    )


def _rule(row: RuleRow) -> Rule:
    return Rule(
        rule_id=row.rule_id,
        name=row.name,
        summary=row.summary,
        default_severity=Severity(row.default_severity),
        help_url=row.help_url,
        cwe_ids=tuple(row.cwe_ids),
    )


def _address(stored: Mapping[str, JsonValue] | None) -> Address | None:
    if stored is None:
        return None
    return Address(
        target=str(stored["target"]),
        method=str(stored["method"]),
        path=str(stored["path"]),
        parameter=str(stored["parameter"]),
    )
