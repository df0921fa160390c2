"""The broker of several processes and machines: Redis, or Valkey, from version 6.2 on.

Redis should not evict keys (`maxmemory-policy noeviction`): a history with evicted keys cannot be
told from a complete one.
"""

import asyncio
import logging
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from weakref import WeakValueDictionary

from anyio import CancelScope, fail_after
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import TimeoutError as RedisTimeoutError

from .broker import EARLIEST, Broker, TopicFinished
from .subscription import Subscription
from .wire import Event

logger = logging.getLogger(__name__)

PREFIX = "{{ cookiecutter.project_slug }}:events"
"""The prefix of all keys."""
CLOCK = f"{PREFIX}:clock"
"""A hash: the `life` of the data, the `newest` id, and the `floor`, up to which topics are lost."""
TOPICS = f"{PREFIX}:topics"
"""A sorted set, ordered as text: the id of the newest event of each topic."""
RECENT = f"{PREFIX}:recent"
"""A stream of the newest events of all topics, which every process reads."""

MAX_CONNECTIONS = 8
"""Connections of a process, whatever the number of its subscribers."""
TIMEOUT_SECONDS = 5.0
"""Time limit for a response of Redis, and for a free connection of the pool."""
IDLE_SECONDS = 2.0
"""Time to wait for an event before checking whether Redis still has the same data."""
MAX_RETRY_SECONDS = 1.0

ID = re.compile(r"[0-9]{13}-[0-9]{13}-[0-9]{12}")
"""The start of the data's life and the time of the event in milliseconds, and its number.

The time and the number are the event's id in the streams of Redis. Numbers have no gaps, so a
reader notices lost events; they start at twelve digits, so that ids are ordered as text.
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
    events: list[Event]


@dataclass(frozen=True)
class Snapshot:
    """The state of Redis at one time."""

    newest: str
    """The newest id of all topics."""
    is_known: bool
    """Whether the id in question belongs to this life of the data."""
    topics: Mapping[str, TopicState]


def topic_keys(topic: str) -> tuple[str, str]:
    """Return the keys of the topic's history, a stream, and of its state, a hash."""
    return f"{PREFIX}:history:{topic}", f"{PREFIX}:state:{topic}"


def life_of(id: str) -> str:
    """Return the life of the data that `id` belongs to."""
    return id[:13]


def stream_id(id: str) -> str:
    """Return `id` as in the streams of Redis."""
    return id[14:]


def number_of(id: str) -> int:
    """Return the number of the event."""
    return int(id[28:])


@contextmanager
def timeout(seconds: float) -> Iterator[None]:
    """Raise `redis.exceptions.TimeoutError` if a response takes longer."""
    try:
        with fail_after(seconds):
            yield
    except TimeoutError:
        raise RedisTimeoutError(f"Redis did not respond within {seconds} seconds.") from None


class RedisBroker(Broker):
    """Keeps `history` events per topic for `history_seconds`, in Redis.

    A topic expires `history_seconds` after its newest event. Connections are opened on demand and
    belong to the running event loop. Errors are raised as `redis.exceptions.RedisError`; nothing is
    retried, since a request that timed out may have been executed.
    """

    def __init__(self, url: str, *, history: int, history_seconds: float, buffer: int) -> None:
        self._url = url
        self._limits = (history, round(history_seconds * 1000))
        self._buffer = buffer
        self._known = ""
        self._events: WeakValueDictionary[str, Event] = WeakValueDictionary()
        self._connections: Connections | None = None

    async def is_over(self, topics: Sequence[str], last_event_id: str | None) -> bool:
        """Implement `Broker.is_over`."""
        if last_event_id is None:
            return False
        snapshot = await self.look(topics, last_event_id, replay="none")
        return snapshot.is_known and all(
            topic.finished and topic.newest <= last_event_id for topic in snapshot.topics.values()
        )

    @asynccontextmanager
    async def subscribe(
        self, topics: Sequence[str], last_event_id: str | None
    ) -> AsyncIterator[Subscription]:
        subscription = Subscription(topics, self._buffer)
        reader = await self._connect().reading()
        with reader.delivering(topics, subscription):
            await self._start(subscription, topics, last_event_id)
            yield subscription

    async def ping(self) -> None:
        """Raise unless Redis can store an event."""
        with timeout(TIMEOUT_SECONDS):
            await self._connect().redis.set(f"{PREFIX}:ping", b"", ex=60)

    async def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        connections, self._connections = self._connections, None
        if connections:
            await connections.close()

    async def look(
        self,
        topics: Sequence[str],
        last_event_id: str | None,
        *,
        replay: Literal["none", "finished", "all"],
    ) -> Snapshot:
        """Return the state of `topics`, with the events after `last_event_id` of those to replay."""
        after = last_event_id if last_event_id and ID.fullmatch(last_event_id) else ""
        keys = [CLOCK, TOPICS, *(key for topic in topics for key in topic_keys(topic))]
        with timeout(TIMEOUT_SECONDS):
            reply = await self._connect().look(keys, [*self._limits, self._known, after, replay])
        newest = reply[0].decode()
        self._known = max(self._known, newest)
        life = life_of(newest)
        states = {
            topic: TopicState(
                newest=f"{life}-{last.decode()}",
                lost=f"{life}-{lost.decode()}",
                finished=finished == b"1",
                events=[
                    self.event(f"{life}-{id.decode()}", dict(zip(*[iter(fields)] * 2, strict=True)))
                    for id, fields in entries
                ],
            )
            for topic, (last, lost, finished, entries) in zip(topics, reply[2], strict=True)
        }
        return Snapshot(newest, bool(reply[1]), states)

    def event(self, id: str, fields: Mapping[bytes, bytes]) -> Event:
        """Return the event of an entry of a stream: the same object for the same id."""
        event = self._events.get(id)
        if event is None:
            name = fields[b"name"].decode() if b"name" in fields else None
            event = Event(id, fields[b"topic"].decode(), fields[b"data"], name)
            self._events[id] = event
        return event

    def end_life(self, id: str) -> None:
        """End the life of the data that `id` belongs to, at the next request."""
        self._known = f"{life_of(id)}-{'9' * 13}-{'9' * 12}"

    async def _start(
        self, subscription: Subscription, topics: Sequence[str], last_event_id: str | None
    ) -> None:
        """Start `subscription`, which then has the only reference to its replay."""
        replay: Literal["finished", "all"] = "finished" if last_event_id is None else "all"
        snapshot = await self.look(topics, last_event_id, replay=replay)
        events = [event for topic in snapshot.topics.values() for event in topic.events]
        start = last_event_id if last_event_id is not None and snapshot.is_known else ""
        subscription.start(
            sorted(events, key=lambda event: event.id),
            after=None if last_event_id in (None, EARLIEST) else start,
            newest=snapshot.newest,
            lost=[topic.lost for topic in snapshot.topics.values()],
            finished=[name for name, topic in snapshot.topics.items() if topic.finished],
        )

    async def _store(self, topic: str, data: bytes, name: str | None, *, last: bool) -> str:
        fields: list[str | bytes] = ["topic", topic, "data", data]
        if name is not None:
            fields += ["name", name]
        if last:
            fields += ["last", "1"]
        with timeout(TIMEOUT_SECONDS):
            id: bytes | None = await self._connect().publish(
                [CLOCK, TOPICS, *topic_keys(topic), RECENT],
                [*self._limits, self._known, self._buffer, int(last), *fields],
            )
        if id is None:
            raise TopicFinished(topic)
        self._known = max(self._known, id.decode())
        return id.decode()

    def _connect(self) -> "Connections":
        """Return the connections of the running event loop."""
        loop = asyncio.get_running_loop()
        if self._connections is None or self._connections.loop is not loop:
            self._connections = Connections(self, self._url)
        return self._connections


class Connections:
    """The connections of an event loop."""

    def __init__(self, broker: RedisBroker, url: str) -> None:
        self.loop = asyncio.get_running_loop()
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=TIMEOUT_SECONDS,
            # redis-py would use `asyncio.wait_for`, which can lose a cancellation (Python 3.11).
            socket_timeout=None,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            # Over RESP3 redis-py reuses a connection that the server has closed.
            protocol=2,
            legacy_responses=False,
        )
        self.redis = Redis.from_pool(pool)
        self.publish = self.redis.register_script(read_script("publish"))
        self.look = self.redis.register_script(read_script("look"))
        self._reader = Reader(broker, self.redis)
        self._starting = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None

    async def reading(self) -> "Reader":
        """Return the reader, which delivers from now on at the latest."""
        async with self._starting:
            if self._reading is None:
                await self._reader.start()
                self._reading = self.loop.create_task(self._reader.run())
            return self._reader

    async def close(self) -> None:
        """Stop the reader and close the connections."""
        if self._reading:
            self._reader.stop()
            await self._reading
        await self.redis.aclose()


class Reader:
    """Reads published events, once for all subscribers of the process, and delivers them."""

    def __init__(self, broker: RedisBroker, redis: "Redis") -> None:
        self._broker = broker
        self._redis = redis
        self._position = ""
        self._scope = CancelScope()
        self._subscriptions: defaultdict[str, set[Subscription]] = defaultdict(set)

    @contextmanager
    def delivering(self, topics: Sequence[str], subscription: Subscription) -> Iterator[None]:
        """Deliver the events of `topics` to `subscription`."""
        for topic in topics:
            self._subscriptions[topic].add(subscription)
        try:
            yield
        finally:
            for topic in topics:
                self._subscriptions[topic].discard(subscription)
                if not self._subscriptions[topic]:
                    del self._subscriptions[topic]

    async def start(self) -> None:
        """Start after the newest event."""
        self._position = (await self._broker.look((), None, replay="none")).newest

    async def run(self) -> None:
        """Deliver until `stop`. While Redis is unavailable streams wait, and resume afterwards."""
        failures = 0
        with self._scope:
            while True:
                try:
                    await self._deliver()
                    failures = 0
                except Exception as error:
                    failures += 1
                    level = logging.WARNING if failures == 1 else logging.DEBUG
                    logger.log(level, "Redis is unavailable, event streams wait: %r", error)
                    await asyncio.sleep(min(MAX_RETRY_SECONDS, 0.05 * 2 ** min(failures, 10)))

    def stop(self) -> None:
        """Let `run` return."""
        self._scope.cancel()

    async def _deliver(self) -> None:
        """Wait for events and deliver them; detect lost ones."""
        newest = (await self._broker.look((), None, replay="none")).newest
        if life_of(newest) != life_of(self._position):
            self._skip_to(newest)
        entries = await self._read()
        for id, fields in entries:
            self._deliver_entry(f"{fields[b'life'].decode()}-{id.decode()}", fields)
        if not entries and number_of(self._position) < number_of(newest):
            self._skip_to(newest)

    async def _read(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        after = stream_id(self._position)
        block = round(IDLE_SECONDS * 1000)
        with timeout(IDLE_SECONDS + TIMEOUT_SECONDS):
            reply: Any = await self._redis.xread({RECENT: after}, block=block)
        entries: list[tuple[bytes, dict[bytes, bytes]]] = reply.get(RECENT.encode(), [])
        return entries

    def _deliver_entry(self, id: str, fields: Mapping[bytes, bytes]) -> None:
        same_life = life_of(id) == life_of(self._position)
        if same_life and number_of(id) <= number_of(self._position):
            # Redis was restored to an earlier state and has published since.
            self._broker.end_life(id)
        if not same_life or number_of(id) != number_of(self._position) + 1:
            self._skip_to(id)
        self._position = id
        subscriptions = self._subscriptions.get(fields[b"topic"].decode())
        if subscriptions:
            event = self._broker.event(id, fields)
            for subscription in subscriptions:
                subscription.push(event, last=b"last" in fields)

    def _skip_to(self, position: str) -> None:
        """Continue at `position`; streams fail, and their clients resume from history."""
        self._position = position
        for subscription in {each for some in self._subscriptions.values() for each in some}:
            subscription.fail(EventsLost("Redis lost events; reconnect to resume."))
