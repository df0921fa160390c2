"""The broker of several processes and machines: Redis, or Valkey, from version 6.2 on.

Redis should not evict keys (`maxmemory-policy noeviction`): a history with evicted keys cannot be
told from a complete one.
"""

import asyncio
import logging
import math
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from time import monotonic
from typing import Any
from weakref import WeakValueDictionary

from anyio import CancelScope, fail_after
from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..problems import Unavailable
from ..registry import SlowReader
from .broker import EARLIEST, Broker, TopicFinished
from .subscription import Subscription, Subscriptions
from .wire import Event, Payload

logger = logging.getLogger(__name__)

PREFIX = "{{ cookiecutter.project_slug }}:events"
"""The prefix of all keys."""
CLOCK = f"{PREFIX}:clock"
"""A hash: the `life` of the data, the `newest` id, the `floor`, up to which topics without a state
are lost, and the sizes of all histories (`total`) and of the recent events (`recent_total`)."""
HEADS = f"{PREFIX}:heads"
"""A sorted set: the number of the oldest event in the history of each topic."""
STATES = f"{PREFIX}:states"
"""A hash: of each topic the newest id, the id up to which events are lost, whether it is finished,
and the size of its history."""
HISTORY = f"{PREFIX}:history:"
"""The prefix of the histories, a stream for each topic."""
RECENT = f"{PREFIX}:recent"
"""A stream of the newest events of all topics, which every process reads."""
KEYS = (CLOCK, HEADS, STATES, RECENT)

MAX_CONNECTIONS = 8
"""Connections of a process, whatever the number of its subscribers."""
REPLAY_CONNECTIONS = 2
"""Those of them that read replays, so that nothing else waits for a replay."""
TIMEOUT_SECONDS = 5.0
"""Time that Redis may be silent, and time limit for a free connection of the pool."""
IDLE_SECONDS = 2.0
"""Time to wait for an event before checking whether Redis still has the same data."""
STALL_SECONDS = 20.0
"""Time without a successful reading after which the health check fails."""
MAX_RETRY_SECONDS = 1.0
PAGE_BYTES = 256 * 1024
"""Size of the events that are read at once, unless it is a single event."""

ID = re.compile(r"[0-9]{13}[0-9a-f]{8}-[0-9]{13}-[0-9]{12}")
"""The start of the data's life, the time of the event in milliseconds, and its number.

A life starts with a time in milliseconds and is random otherwise. The time and the number are the
event's id in the streams of Redis. Numbers have no gaps, so a reader notices lost events; they
start at twelve digits, so that ids are ordered as text.
"""


def read_script(name: str) -> str:
    """Return a Lua script, after the part that all scripts share."""
    folder = Path(__file__).parent / "lua"
    return "\n".join((folder / f"{each}.lua").read_text() for each in ("common", name))


class EventsLost(Exception):
    """Redis lost events that open streams were waiting for."""


@dataclass(frozen=True)
class TopicState:
    """The state of a topic in a `Snapshot`."""

    newest: str
    """The id of its newest event, in history or lost."""
    lost: str
    """An id up to which events are lost."""
    finished: bool


@dataclass(frozen=True)
class Snapshot:
    """The state of Redis at one time."""

    newest: str
    """The newest id of all topics."""
    is_known: bool
    """Whether the id in question belongs to this life of the data."""
    topics: Mapping[str, TopicState]


def to_milliseconds(seconds: float) -> int:
    """Return a time to keep data in milliseconds, up to 30 years: Redis rejects larger ones."""
    return round(min(seconds * 1000, 10**12))


def life_of(id: str) -> str:
    """Return the life of the data that `id` belongs to."""
    return id[:21]


def stream_id(id: str) -> str:
    """Return `id` as in the streams of Redis."""
    return id[22:]


def number_of(id: str) -> int:
    """Return the number of the event."""
    return int(id[36:])


def fields_of(fields: Sequence[bytes]) -> Mapping[bytes, bytes]:
    """Return the names and values of an entry in the reply of a script."""
    return dict(zip(*[iter(fields)] * 2, strict=True))


@contextmanager
def timeout(seconds: float) -> Iterator[CancelScope]:
    """Raise `redis.exceptions.TimeoutError` after `seconds`."""
    try:
        with fail_after(seconds) as scope:
            yield scope
    except TimeoutError:
        raise RedisTimeoutError(f"Redis did not respond within {seconds} seconds.") from None


def open_broker(settings: Any) -> "RedisBroker":
    """Return the broker of the service, for the service or in a script.

    ```python
    async with open_broker(load_settings()) as broker:
        await broker.publish("news", {"title": "…"})
    ```
    """
    return RedisBroker(
        settings.redis_url,
        history=settings.event_history,
        history_seconds=settings.event_history_seconds,
        history_bytes=settings.event_history_bytes,
        buffer=settings.subscriber_buffer,
    )


class RedisBroker(Broker):
    """Keeps `history` events per topic for `history_seconds`, in Redis.

    All histories together take about `history_bytes`. A topic expires `history_seconds` after its
    newest event. Connections are opened on demand and belong to the running event loop. Errors are
    raised as `redis.exceptions.RedisError`; nothing is retried, since a request that timed out may
    have been executed.
    """

    def __init__(
        self,
        url: str,
        *,
        history: int,
        history_seconds: float,
        history_bytes: int,
        buffer: int,
    ) -> None:
        self.buffer = buffer
        self._url = url
        self._history = history
        self._history_seconds = history_seconds
        self._history_bytes = history_bytes
        self._known = ""
        self._events: WeakValueDictionary[str, Event] = WeakValueDictionary()
        self._connections: Connections | None = None

    async def is_over(self, topics: Sequence[str], last_event_id: str | None) -> bool:
        """Implement `Broker.is_over`."""
        if last_event_id is None:
            return False
        snapshot = await self.look(topics, last_event_id)
        return snapshot.is_known and all(
            topic.finished and topic.newest <= last_event_id for topic in snapshot.topics.values()
        )

    @asynccontextmanager
    async def subscribe(
        self, topics: Sequence[str], last_event_id: str | None
    ) -> AsyncIterator[Subscription]:
        connections = self._connect()
        reader = await connections.reading()
        subscription = Subscription(topics, reader.subscriptions)
        with reader.subscriptions.delivering(topics, subscription):
            replay = await self._start(subscription, topics, last_event_id)
            try:
                yield subscription
            finally:
                replay.stop()

    async def ping(self) -> None:
        """Raise unless Redis can store an event and the events of other processes are read."""
        async with self.connection() as redis:
            await redis.set(f"{PREFIX}:ping", b"", ex=60)
        # A reader whose server has less than that notices it: a replica without its primary.
        await self.look((), None)
        self._connect().reader.check()

    async def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        await super().close()
        connections, self._connections = self._connections, None
        if connections:
            await connections.close()

    async def look(self, topics: Sequence[str], last_event_id: str | None) -> Snapshot:
        """Return the state of `topics`, and whether `last_event_id` is known."""
        after = last_event_id if last_event_id and ID.fullmatch(last_event_id) else ""
        connections = self._connect()
        newest, is_known, states = await self.run("look", connections.redis, after, *topics)
        life = life_of(newest.decode())
        self.learn(newest.decode())
        return Snapshot(
            newest.decode(),
            bool(is_known),
            {
                topic: TopicState(
                    newest=f"{life}-{last.decode()}",
                    lost=f"{life}-{lost.decode()}",
                    finished=finished == b"1",
                )
                for topic, (last, lost, finished) in zip(topics, states, strict=True)
            },
        )

    async def run(self, script: str, redis: Redis, *arguments: str | bytes | int) -> Any:
        """Run a script on a connection of `redis`; return its reply."""
        milliseconds = to_milliseconds(self._history_seconds)
        shared = (HISTORY, milliseconds, self._known, token_hex(4))
        connections = self._connect()
        async with connections.leaving_replica():
            run = connections.scripts[script]
            reply: Any = await run(KEYS, [*shared, *arguments], client=redis)
        return reply

    def learn(self, id: str) -> None:
        """Note an id of Redis: with less data than that, a new life begins."""
        if id > self._known or life_of(id) != life_of(self._known):
            self._known = id

    def end_life(self, id: str) -> None:
        """End the life of the data that `id` belongs to, at the next request."""
        self._known = f"{life_of(id)}-{'9' * 13}-{'9' * 12}"

    def event(self, id: str, fields: Mapping[bytes, bytes]) -> Event:
        """Return the event of an entry of a stream: the same object for the same id."""
        event = self._events.get(id)
        if event is None:
            name = fields[b"name"].decode() or None
            event = Event(id, fields[b"topic"].decode(), fields[b"data"], name)
            self._events[id] = event
        return event

    async def _start(
        self, subscription: Subscription, topics: Sequence[str], last_event_id: str | None
    ) -> "Replay":
        """Start `subscription`; return its replay, which runs until it is stopped."""
        snapshot = await self.look(topics, last_event_id)
        start = last_event_id if last_event_id is not None and snapshot.is_known else ""
        finished = [name for name, topic in snapshot.topics.items() if topic.finished]
        replayed = finished if last_event_id is None else topics
        states = {name: snapshot.topics[name] for name in replayed}
        replay = Replay(self, self._connect().replays, states, snapshot.newest, start)
        subscription.read_page = lambda: replay.read_page(subscription)
        subscription.start(
            await replay.next_page(),
            after=None if last_event_id in (None, EARLIEST) else start,
            newest=snapshot.newest,
            lost=[topic.lost for topic in snapshot.topics.values()],
            finished=finished,
        )
        return replay

    async def _store(self, topic: str, payloads: Sequence[Payload], *, last: bool) -> list[str]:
        limits = (self._history, self._history_bytes)
        parts = [part for data, name in payloads for part in (data, name or "")]
        redis = self._connect().redis
        with timeout(TIMEOUT_SECONDS):
            ids = await self.run("publish", redis, topic, int(last), *limits, *parts)
        if ids is None:
            raise TopicFinished(topic)
        self.learn(ids[-1].decode())
        return [id.decode() for id in ids]

    def _connect(self) -> "Connections":
        """Return the connections of the running event loop."""
        loop = asyncio.get_running_loop()
        if self._connections is None or self._connections.loop is not loop:
            self._connections = Connections(self, self._url)
        return self._connections

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Redis]:
        """Yield the client of the running event loop. Raises `RedisError` after a timeout."""
        connections = self._connect()
        with timeout(TIMEOUT_SECONDS):
            async with connections.leaving_replica():
                yield connections.redis


class Replay:
    """Reads the history of topics up to an id for a subscription, page by page."""

    def __init__(
        self,
        broker: RedisBroker,
        redis: Redis,
        topics: Mapping[str, TopicState],
        newest: str,
        position: str,
    ) -> None:
        self._broker = broker
        self._redis = redis
        self._topics = topics
        self._newest = newest
        self._position = position
        self._reading: asyncio.Task[None] | None = None

    async def next_page(self) -> list[Event]:
        """Return the next page, an empty one at the end.

        Raises `SlowReader` if an event was evicted before its page.
        """
        if not self._topics:
            return []
        starts = [max(self._position, topic.lost) for topic in self._topics.values()]
        pairs = zip(self._topics, map(stream_id, starts), strict=True)
        life, lost, entries = await self._broker.run(
            "page",
            self._redis,
            PAGE_BYTES,
            stream_id(self._newest),
            *(part for pair in pairs for part in pair),
        )
        if life.decode() != life_of(self._newest):
            raise EventsLost("Redis lost its data; reconnect to resume.")
        for topic, start, id in zip(self._topics.values(), starts, lost, strict=True):
            if min(id.decode(), stream_id(topic.newest)) > stream_id(start):
                raise SlowReader
        page = [
            self._broker.event(f"{life.decode()}-{id.decode()}", fields_of(fields))
            for id, fields in entries
        ]
        if page:
            self._position = page[-1].id
        return page

    def read_page(self, subscription: Subscription) -> None:
        """Read the next page of `subscription` in the background."""
        self._reading = asyncio.create_task(self._add_page(subscription))

    def stop(self) -> None:
        """Cancel the reading."""
        if self._reading:
            self._reading.cancel()

    async def _add_page(self, subscription: Subscription) -> None:
        try:
            subscription.add_page(await self.next_page())
        except Exception as failure:
            subscription.fail(failure)


class PatientConnection(AbstractConnection):
    """Limits the time in which Redis is silent, whatever the size of its response."""

    _reading: CancelScope

    async def _connect(self) -> None:
        await super()._connect()  # type: ignore[no-untyped-call, safe-super]
        self._reading = CancelScope()
        reader: Any = self._reader
        feed_data = reader.feed_data

        def observe(data: bytes) -> None:
            self._reading.deadline = asyncio.get_running_loop().time() + TIMEOUT_SECONDS
            feed_data(data)

        reader.feed_data = observe

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read a response. Raises `redis.exceptions.TimeoutError`."""
        with timeout(TIMEOUT_SECONDS) as self._reading:
            return await super().read_response(*arguments, **options)


def connect(url: str, connections: int, *, patience: float | None = TIMEOUT_SECONDS) -> Redis:
    """Return a client whose requests wait up to `patience` for one of its connections."""
    options: dict[str, Any] = {
        "max_connections": connections,
        "timeout": patience,
        # redis-py would use `asyncio.wait_for`, which can lose a cancellation (Python 3.11).
        "socket_timeout": None,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        # Over RESP3 redis-py reuses a connection that the server has closed.
        "protocol": 2,
        "legacy_responses": False,
        **parse_url(url),
        "decode_responses": False,
    }
    kind = options.pop("connection_class", Connection)
    options["connection_class"] = type("PatientConnection", (PatientConnection, kind), {})
    return Redis.from_pool(BlockingConnectionPool(**options))


class Connections:
    """The connections of an event loop."""

    def __init__(self, broker: RedisBroker, url: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.redis = connect(url, MAX_CONNECTIONS - REPLAY_CONNECTIONS - 1)
        self.replays = connect(url, REPLAY_CONNECTIONS, patience=None)
        self.scripts = {
            name: self.redis.register_script(read_script(name))
            for name in ("look", "page", "publish", "read")
        }
        self.reader = Reader(broker, connect(url, 1))
        self._clients = (self.redis, self.replays, self.reader.redis)
        self._starting = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None

    async def reading(self) -> "Reader":
        """Return the reader, which delivers from now on at the latest."""
        async with self._starting:
            if self._reading is None:
                await self.reader.start()
                self._reading = self.loop.create_task(self.reader.run())
            return self.reader

    async def close(self) -> None:
        """Stop the reader and close the connections."""
        if self._reading:
            self.reader.stop()
            await self._reading
        for redis in self._clients:
            await redis.aclose()

    @asynccontextmanager
    async def leaving_replica(self) -> AsyncIterator[None]:
        """Open new connections once the server is a replica, whose primary is another server."""
        try:
            yield
        except RedisError as error:
            if "read only replica" in str(error):
                for redis in self._clients:
                    pool: Any = redis.connection_pool
                    await pool.update_active_connections_for_reconnect()
                    await pool.disconnect(inuse_connections=False)
            raise


class Reader:
    """Reads published events, once for all subscribers of the process, and delivers them."""

    def __init__(self, broker: RedisBroker, redis: Redis) -> None:
        self.redis = redis
        self.subscriptions = Subscriptions(broker.buffer)
        self._broker = broker
        self._scope = CancelScope()
        self._advanced_at = math.inf

    def check(self) -> None:
        """Raise `Unavailable` if a started reader could not read for `STALL_SECONDS`."""
        if monotonic() - self._advanced_at > STALL_SECONDS:
            raise Unavailable("Published events are not delivered.")

    async def start(self) -> None:
        """Start after the newest event."""
        self.subscriptions.newest = (await self._broker.look((), None)).newest
        self._advanced_at = monotonic()

    async def run(self) -> None:
        """Deliver until `stop`. While Redis is unavailable streams wait, and resume afterwards."""
        failures = 0
        with self._scope:
            while True:
                try:
                    await self._deliver()
                    self._advanced_at = monotonic()
                    failures = 0
                except Exception as error:
                    failures += 1
                    level = logging.WARNING if failures == 1 else logging.DEBUG
                    logger.log(level, "Redis is unavailable, event streams wait: %r", error)
                    with suppress(Exception):
                        await self.redis.connection_pool.disconnect()
                    await asyncio.sleep(min(MAX_RETRY_SECONDS, 0.05 * 2 ** min(failures, 10)))

    def stop(self) -> None:
        """Let `run` return."""
        self._scope.cancel()

    async def _deliver(self) -> None:
        """Wait for events and deliver them; detect lost ones."""
        position = self.subscriptions.newest
        reply = await self._broker.run("read", self.redis, PAGE_BYTES, stream_id(position))
        newest, lost = (id.decode() for id in reply[:2])
        page = [(id, fields_of(fields)) for id, fields in reply[2]]
        self._broker.learn(newest)
        self.subscriptions.lost = lost
        is_other_life = life_of(newest) != life_of(position)
        if is_other_life or (not page and newest > position):
            self._skip_to(newest)
        if is_other_life:
            return
        for id, fields in page or await self._wait():
            await self._deliver_entry(f"{fields[b'life'].decode()}-{id.decode()}", fields)

    async def _wait(self) -> Sequence[tuple[bytes, Mapping[bytes, bytes]]]:
        """Return the next event, as soon as it is published; none after `IDLE_SECONDS`."""
        position: dict[Any, Any] = {RECENT: stream_id(self.subscriptions.newest)}
        block = round(IDLE_SECONDS * 1000)
        reply: Any = await self.redis.xread(position, count=1, block=block)
        entries: list[tuple[bytes, dict[bytes, bytes]]] = reply.get(RECENT.encode(), [])
        return entries

    async def _deliver_entry(self, id: str, fields: Mapping[bytes, bytes]) -> None:
        position = self.subscriptions.newest
        same_life = life_of(id) == life_of(position)
        if same_life and number_of(id) <= number_of(position):
            # Redis was restored to an earlier state and has published since.
            self._broker.end_life(id)
        if not same_life or number_of(id) != number_of(position) + 1:
            self._skip_to(id)
        topic = fields[b"topic"].decode()
        if topic in self.subscriptions:
            event = self._broker.event(id, fields)
            await self.subscriptions.make_room(1, event.size)
            self.subscriptions.push(event, last=fields[b"last"] == b"1")
        self.subscriptions.newest = id

    def _skip_to(self, position: str) -> None:
        """Continue at `position`; streams fail, and their clients resume from history."""
        self.subscriptions.newest = position
        for subscription in self.subscriptions:
            subscription.fail(EventsLost("Redis lost events; reconnect to resume."))
