"""Live updates: what one process publishes, every open page hears, after commit.

``publish`` puts an event into PostgreSQL inside the caller's transaction, so it
is delivered exactly when the rows it speaks of are visible. Each server process
listens while at least one page is open and hands events to the streams of
those pages. An event only says that a topic changed; the page fetches the
block again, so a lost event costs a moment and never a wrong number.

A stream: waiting → ``ready`` (events from here on are heard) → ``change`` … →
closed. When events had to be dropped, or the connection to the database was
lost for a while, the stream says ``resync`` and the page fetches everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias
from uuid import UUID

import psycopg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from referee.core.errors import Forbidden, InvalidInput, TooManyRequests
from referee.core.findings import JsonValue
from referee.foundation.access import Principal

__all__ = ["CHANNEL", "LiveEvent", "LiveHub", "LiveStream", "encode_event", "publish", "publish_all"]

CHANNEL: Final = "referee_live"
HEARTBEAT_S: Final = 15.0
"""Proxies close silent connections after 30 to 60 s."""
MAX_STREAMS_COUNT: Final = 200
MAX_TOPICS_COUNT: Final = 20
MAX_WAITING_EVENTS_COUNT: Final = 100
"""Per stream; a page that is slower than that is told to fetch everything."""
MAX_PAYLOAD_BYTES: Final = 7_000
"""PostgreSQL takes notifications below 8,000 bytes."""
RECONNECT_S: Final = 1.0

_log = structlog.get_logger(__name__)

Publisher: TypeAlias = "AsyncSession | AsyncConnection"
MayRead: TypeAlias = Callable[[Principal, str], Awaitable[bool]]
"""``(principal, rest of the topic) -> may this principal hear it``."""


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """What a stream hands to its page."""

    name: Literal["ready", "change", "resync", "heartbeat"]
    topic: str = ""
    payload: JsonValue = None


async def publish(
    target: Publisher, topic: str, payload: JsonValue = None, *, project_id: UUID | None = None
) -> None:
    """Tell every open page of every process that ``topic`` changed, once the transaction commits.

    Args:
        target: The session or connection whose transaction makes the change.
        topic: ``<kind>:<id>``, such as ``analysis:<uuid>``, or a kind alone.
        payload: Small JSON for a counter or a message; left out when larger than ``MAX_PAYLOAD_BYTES``.
        project_id: Only this project's pages hear it; None: all, for a topic that names its one object.
    """
    body = _write_event(topic, payload, project_id)
    await target.execute(text("SELECT pg_notify(:channel, :body)"), {"channel": CHANNEL, "body": body})


async def publish_all(target: Publisher, topics: Sequence[str]) -> None:
    """Tell every open page that these topics changed, in one statement. Each names its one object."""
    bodies = [_write_event(topic, {}, None) for topic in topics]
    await target.execute(
        text("SELECT pg_notify(:channel, body) FROM unnest(CAST(:bodies AS text[])) AS body"),
        {"channel": CHANNEL, "bodies": bodies},
    )


def _write_event(topic: str, payload: JsonValue, project_id: UUID | None) -> str:
    event: dict[str, JsonValue] = {"topic": topic, "payload": payload}
    if project_id is not None:
        event["project_id"] = str(project_id)
    body = json.dumps(event, separators=(",", ":"))
    if len(body.encode()) > MAX_PAYLOAD_BYTES:
        body = json.dumps({**event, "payload": None}, separators=(",", ":"))
    return body


def encode_event(event: LiveEvent) -> str:
    """Return an event in the form of server-sent events; a heartbeat is a comment."""
    if event.name == "heartbeat":
        return ": heartbeat\n\n"
    data = json.dumps({"topic": event.topic, "payload": event.payload}, separators=(",", ":"))
    return f"event: {event.name}\ndata: {data}\n\n"


@dataclass(slots=True, eq=False)
class LiveStream:
    """The events of one open page."""

    topics: frozenset[str]
    project_id: UUID | None = None
    """Whose events it hears; None: everybody's."""
    max_waiting_count: int = MAX_WAITING_EVENTS_COUNT
    _waiting: deque[LiveEvent] = field(default_factory=deque)
    _has_events: asyncio.Event = field(default_factory=asyncio.Event)
    _is_closed: bool = False

    def push(self, event: LiveEvent) -> None:
        """Queue an event. One of the same topic that still waits is replaced; overflow becomes a resync."""
        if event.name == "change":
            for index, waiting in enumerate(self._waiting):
                if waiting.name == "change" and waiting.topic == event.topic:
                    del self._waiting[index]
                    break
        if event.name == "resync" or len(self._waiting) >= self.max_waiting_count:
            self._waiting.clear()
            event = LiveEvent("resync")
        self._waiting.append(event)
        self._has_events.set()

    def close(self) -> None:
        """End the stream after what already waits."""
        self._is_closed = True
        self._has_events.set()

    async def events(self, heartbeat_s: float = HEARTBEAT_S) -> AsyncIterator[LiveEvent]:
        """Yield events as they come, a heartbeat when none came for a while, until closed."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._is_closed:
                return
            self._has_events.clear()
            try:
                async with asyncio.timeout(heartbeat_s):
                    await self._has_events.wait()
            except TimeoutError:
                yield LiveEvent("heartbeat")


class LiveHub:
    """The open streams of one process and its ear at the database.

    Args:
        conninfo: libpq connection string to listen on; None hears only this process' own ``deliver``.
        max_streams_count: Open pages this process serves at the same time.
    """

    def __init__(self, conninfo: str | None = None, *, max_streams_count: int = MAX_STREAMS_COUNT) -> None:
        self._conninfo = conninfo
        self._max_streams_count = max_streams_count
        self._kinds: dict[str, MayRead | None] = {}
        self._streams: set[LiveStream] = set()
        self._listener: asyncio.Task[None] | None = None
        self._is_listening = asyncio.Event()
        self._is_closed = False

    def connect(self, conninfo: str) -> None:
        """Name the database to listen on, before the first page opens."""
        self._conninfo = conninfo
        self._is_listening = asyncio.Event()
        self._is_closed = False

    def register_topic(self, kind: str, may_read: MayRead | None = None) -> None:
        """Allow topics ``<kind>:…``; ``may_read`` decides for each one who hears it."""
        if kind in self._kinds:
            raise ValueError(f"topic kind {kind} is already registered")
        self._kinds[kind] = may_read

    async def check_topics(self, principal: Principal, topics: Iterable[str]) -> frozenset[str]:
        """Return the topics as a set.

        Raises:
            InvalidInput: None, too many, or one of a kind that nobody registered.
            Forbidden: The principal may not hear one of them.
        """
        wanted = frozenset(topic for topic in topics if topic)
        if not 1 <= len(wanted) <= MAX_TOPICS_COUNT:
            raise InvalidInput(
                "live.topics_count",
                f"A stream takes 1 to {MAX_TOPICS_COUNT} topics, and {len(wanted)} were given.",
                "Write them as topics=analysis:<id>,jobs.",
            )
        for topic in sorted(wanted):
            kind, _, rest = topic.partition(":")
            if kind not in self._kinds:
                known = ", ".join(sorted(self._kinds)) or "none"
                raise InvalidInput(
                    "live.topic_unknown", f"There is no topic {kind!r}.", f"Topics are: {known}."
                )
            may_read = self._kinds[kind]
            if may_read is not None and not await may_read(principal, rest):
                raise Forbidden("live.topic_refused", f"The key may not hear {topic}.")
        return wanted

    @contextlib.asynccontextmanager
    async def open_stream(
        self, topics: frozenset[str], project_id: UUID | None = None
    ) -> AsyncIterator[LiveStream]:
        """Open a stream; when the body runs, events from here on are heard.

        Raises:
            TooManyRequests: As many streams as allowed are open.
        """
        if self._is_closed or len(self._streams) >= self._max_streams_count:
            raise TooManyRequests(
                "live.streams_full",
                f"{self._max_streams_count} live pages are open, which is the limit.",
                "The page fetches its data every few seconds instead.",
                retry_after_s=30,
            )
        stream = LiveStream(topics, project_id)
        self._streams.add(stream)
        try:
            await self._ensure_listening()
            stream.push(LiveEvent("ready"))
            yield stream
        finally:
            self._streams.discard(stream)
            if not self._streams:
                await self._stop_listening()

    @property
    def streams_count(self) -> int:
        """Open streams of this process."""
        return len(self._streams)

    def deliver(self, topic: str, payload: JsonValue = None, project_id: str | None = None) -> None:
        """Hand an event to the streams of this process only."""
        for stream in self._streams:
            is_meant = None in (project_id, stream.project_id) or project_id == str(stream.project_id)
            if is_meant and topic in stream.topics:
                stream.push(LiveEvent("change", topic, payload))

    async def close(self) -> None:
        """End every stream and stop listening. Call it before the server waits for open requests."""
        self._is_closed = True
        for stream in self._streams:
            stream.close()
        await self._stop_listening()

    async def _ensure_listening(self) -> None:
        if self._conninfo is None:
            return
        if self._listener is None:
            self._is_listening.clear()
            self._listener = asyncio.create_task(self._listen_forever(self._conninfo), name="live-listener")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT_S):
                await self._is_listening.wait()

    async def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener

    async def _listen_forever(self, conninfo: str) -> None:
        """Listen until cancelled; after a lost connection, connect again and say so to every stream."""
        has_lost = False
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self._is_listening.set()
                    if has_lost:
                        self._push_resync()
                    async for notification in connection.notifies():
                        self._take(notification.payload)
            except psycopg.Error as error:
                _log.warning("live.connection_lost", error=str(error))
            has_lost = True
            await asyncio.sleep(RECONNECT_S)

    def _push_resync(self) -> None:
        for stream in self._streams:
            stream.push(LiveEvent("resync"))

    def _take(self, body: str) -> None:
        """Deliver one notification; a body of another shape is logged and left."""
        try:
            event = json.loads(body)
            topic = event["topic"] if isinstance(event, Mapping) else None
        except (ValueError, KeyError):
            topic = None
        if not isinstance(topic, str):
            _log.warning("live.notification_unreadable", body=body[:200])
            return
        self.deliver(topic, event.get("payload"), event.get("project_id"))
