"""The broker of any number of processes and machines: Redis, or Valkey, from version 6.2 on.

Redis should not evict keys by itself (`maxmemory-policy noeviction`): a history that it dropped
in silence could not be told from one that is whole.
"""

import asyncio
import logging
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakValueDictionary

from anyio import CancelScope, fail_after
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import TimeoutError as RedisTimeoutError

from .broker import EARLIEST, TopicFinished
from .subscription import Subscription
from .wire import DONE, Event, require_one_line

logger = logging.getLogger(__name__)

PREFIX = "{{ cookiecutter.project_slug }}:events"
"""What the names of all keys in Redis start with."""
CLOCK = f"{PREFIX}:clock"
"""A hash: the `life` of the data, the `newest` id and the `floor`, up to which topics are gone."""
TOPICS = f"{PREFIX}:topics"
"""A sorted set, by text: the id of the newest event of each topic."""
RECENT = f"{PREFIX}:recent"
"""A stream of the newest events of all topics, from which processes deliver."""

MAX_CONNECTIONS = 8
"""How many connections one process opens, whatever the number of its subscribers."""
TIMEOUT_SECONDS = 5.0
"""How long Redis may take to answer, or a connection of this process to become free."""
IDLE_SECONDS = 2.0
"""How long to wait for an event before Redis is asked whether it still holds the same data."""
LONGEST_PAUSE_SECONDS = 1.0

ID = re.compile(r"[0-9]{13}-[0-9]{13}-[0-9]{12}")
"""The start of the data's life and the time of the event in milliseconds, and its number.

The time and the number are the event's id in the streams of Redis. Numbers have no gap, so a hole
is seen by whoever reads; they start with twelve digits, so that ids are ordered as text.
"""

COMMON = """
local clock, topics = KEYS[1], KEYS[2]
local history, history_ms, known = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

local life, newest, floor = unpack(redis.call('HMGET', clock, 'life', 'newest', 'floor'))
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local number = 100000000000
if newest then
    -- The clock of a machine may be set back, the ids must not be.
    now = math.max(now, tonumber(string.sub(newest, 1, 13)))
    number = tonumber(string.sub(newest, 15))
end

-- Without data, or with less than a process has seen of it already, another life begins.
if not life or (string.sub(known, 1, 13) == life and string.sub(known, 15) > newest) then
    life = string.format('%.0f', life and math.max(now, life + 1) or now)
    newest = string.format('%.0f-%.0f', now, number)
    floor = newest
    redis.call('HSET', clock, 'life', life, 'newest', newest, 'floor', floor)
end

-- What topics that are too old have held is lost, and nobody remembers it topic by topic.
local cutoff = string.format('%.0f', now - history_ms)
local idle = redis.call('ZREVRANGEBYLEX', topics, '(' .. cutoff, '-', 'LIMIT', 0, 1)
if redis.call('EXISTS', topics) == 0 then
    floor = newest
elseif idle[1] and idle[1] > floor then
    floor = idle[1]
end

-- Return the id of a topic's newest event, of the newest one that is lost, and if it is finished.
local function look(stream, state)
    local last, lost, finished = unpack(redis.call('HMGET', state, 'newest', 'lost', 'finished'))
    if not last or last < cutoff then
        return floor, floor, '0'
    end
    local old = redis.call('XREVRANGE', stream, '(' .. cutoff .. '-0', '-', 'COUNT', 1)
    if old[1] then
        lost = old[1][1]
    end
    return last, lost, finished
end
"""

PUBLISH = (
    COMMON
    + """
local stream, state, recent = KEYS[3], KEYS[4], KEYS[5]
local buffer, finishes = ARGV[4], ARGV[5]

local last, lost, finished = look(stream, state)
if finished == '1' then
    return false
end
local id = string.format('%.0f-%.0f', now, number + 1)
redis.call('HSET', clock, 'newest', id, 'floor', floor)
redis.call('ZADD', topics, 0, id)
redis.call('ZREM', topics, redis.call('HGET', state, 'newest') or '')
redis.call('ZREMRANGEBYLEX', topics, '-', '(' .. cutoff)
redis.call('XADD', stream, id, unpack(ARGV, 6))
redis.call('XTRIM', stream, 'MINID', '=', cutoff)
local excess = redis.call('XLEN', stream) - history
if excess > 0 then
    local dropped = redis.call('XRANGE', stream, '-', '+', 'COUNT', excess)
    lost = dropped[excess][1]
    redis.call('XTRIM', stream, 'MAXLEN', '=', history)
end
redis.call('HSET', state, 'newest', id, 'lost', lost, 'finished', finishes)
redis.call('XADD', recent, 'MAXLEN', '~', buffer, id, 'life', life, unpack(ARGV, 6))
for _, key in ipairs({topics, stream, state, recent}) do
    redis.call('PEXPIRE', key, string.format('%.0f', history_ms + 1000))
end
return life .. '-' .. id
"""
)
"""Store one event and return its id, or nothing if the topic is finished."""

LOOK = (
    COMMON
    + """
local after, replay = ARGV[4], ARGV[5]

local is_known = string.sub(after, 1, 13) == life and string.sub(after, 15) <= newest
local start = cutoff
if is_known and string.sub(after, 15) > cutoff then
    start = '(' .. string.sub(after, 15)
end
local states = {}
for i = 3, #KEYS, 2 do
    local last, lost, finished = look(KEYS[i], KEYS[i + 1])
    local events = {}
    if replay == 'all' or (replay == 'finished' and finished == '1') then
        events = redis.call('XRANGE', KEYS[i], start, '+')
    end
    table.insert(states, {last, lost, finished, events})
end
return {life .. '-' .. newest, is_known and 1 or 0, states}
"""
)
"""Return the newest id, if the id `after` is one of this life, and the states of topics."""


class EventsLost(Exception):
    """Redis lost events that open streams were waiting for."""


@dataclass(frozen=True)
class State:
    """What Redis knows of a topic, at the time of a `View`."""

    newest: str
    """The id of its newest event, in history or lost."""
    lost: str
    """An id that no event before the history, that is gone now, comes after."""
    finished: bool
    events: list[Event]


@dataclass(frozen=True)
class View:
    """What Redis knows, all at one time."""

    newest: str
    """The newest id of all topics."""
    is_known: bool
    """Whether the id that was asked about is one of this life of the data."""
    states: Mapping[str, State]


def keys_of(topic: str) -> tuple[str, str]:
    """Return the names of the topic's history, a stream, and of its state, a hash."""
    return f"{PREFIX}:history:{topic}", f"{PREFIX}:state:{topic}"


def life_of(id: str) -> str:
    """Return the life of the data that `id` belongs to."""
    return id[:13]


def stream_id_of(id: str) -> str:
    """Return what `id` is in the streams of Redis."""
    return id[14:]


def number_of(id: str) -> int:
    """Return the number of the event."""
    return int(id[28:])


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Raise `redis.exceptions.TimeoutError` when an answer takes longer."""
    try:
        with fail_after(seconds):
            yield
    except TimeoutError:
        raise RedisTimeoutError(f"Redis did not answer within {seconds} seconds.") from None


class RedisBroker:
    """Keeps `history` events of a topic for `history_seconds`, in Redis.

    A topic is forgotten, finished or not, `history_seconds` after its newest event. Connections are
    made when they are needed, and belong to the event loop that is running then. Errors of Redis
    are raised as `redis.exceptions.RedisError`; nothing is tried twice, since what timed out may
    have been stored.
    """

    def __init__(self, url: str, *, history: int, history_seconds: float, buffer: int) -> None:
        self._url = url
        self._limits = (history, round(history_seconds * 1000))
        self._buffer = buffer
        self._known = ""
        self._events: WeakValueDictionary[str, Event] = WeakValueDictionary()
        self._session: Session | None = None

    async def publish(self, topic: str, data: bytes, name: str | None = None) -> str:
        """Implement `Broker.publish`."""
        return await self._store(topic, data, name, last=False)

    async def finish(self, topic: str, data: bytes, name: str = DONE) -> str:
        """Implement `Broker.finish`."""
        return await self._store(topic, data, name, last=True)

    async def is_over(self, topics: Sequence[str], last_event_id: str | None) -> bool:
        """Implement `Broker.is_over`."""
        if last_event_id is None:
            return False
        view = await self.look(topics, last_event_id, replay="none")
        return view.is_known and all(
            state.finished and state.newest <= last_event_id for state in view.states.values()
        )

    @asynccontextmanager
    async def subscribe(
        self, topics: Sequence[str], last_event_id: str | None
    ) -> AsyncIterator[Subscription]:
        """Implement `Broker.subscribe`."""
        subscription = Subscription(topics, self._buffer)
        reader = await self._here().reading()
        with reader.followed(topics, subscription):
            await self._start(subscription, topics, last_event_id)
            yield subscription

    async def ping(self) -> None:
        """Implement `Broker.ping`: raises unless Redis could store an event now."""
        with patience(TIMEOUT_SECONDS):
            await self._here().redis.set(f"{PREFIX}:ping", b"", ex=60)

    async def close(self) -> None:
        """Give the connections back; the broker opens new ones when it is used again."""
        session, self._session = self._session, None
        if session:
            await session.close()

    async def look(
        self,
        topics: Sequence[str],
        last_event_id: str | None,
        *,
        replay: Literal["none", "finished", "all"],
    ) -> View:
        """Return the state of `topics`, with the events after `last_event_id` of those to replay."""
        after = last_event_id if last_event_id and ID.fullmatch(last_event_id) else ""
        keys = [CLOCK, TOPICS, *(key for topic in topics for key in keys_of(topic))]
        with patience(TIMEOUT_SECONDS):
            reply = await self._here().look(keys, [*self._limits, self._known, after, replay])
        newest = reply[0].decode()
        self._known = max(self._known, newest)
        life = life_of(newest)
        states = {
            topic: State(
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
        return View(newest, bool(reply[1]), states)

    def event(self, id: str, fields: Mapping[bytes, bytes]) -> Event:
        """Return the event of an entry of a stream: the same one for the same id."""
        event = self._events.get(id)
        if event is None:
            name = fields[b"name"].decode() if b"name" in fields else None
            event = Event(id, fields[b"topic"].decode(), fields[b"data"], name)
            self._events[id] = event
        return event

    def distrust(self, id: str) -> None:
        """Have the life of the data that `id` belongs to ended, if it is still going on."""
        self._known = f"{life_of(id)}-{'9' * 13}-{'9' * 12}"

    async def _start(
        self, subscription: Subscription, topics: Sequence[str], last_event_id: str | None
    ) -> None:
        """Begin `subscription` after an id, or now; nothing else holds its replay afterwards."""
        replay: Literal["finished", "all"] = "finished" if last_event_id is None else "all"
        view = await self.look(topics, last_event_id, replay=replay)
        after = last_event_id if last_event_id is not None and view.is_known else ""
        events = [event for state in view.states.values() for event in state.events]
        reset = last_event_id not in (None, EARLIEST) and (
            not view.is_known or any(state.lost > after for state in view.states.values())
        )
        subscription.start(
            sorted(events, key=lambda event: event.id),
            newest=view.newest,
            finished=[topic for topic, state in view.states.items() if state.finished],
            reset=reset,
            position=None if events or (view.is_known and not reset) else view.newest,
        )

    async def _store(self, topic: str, data: bytes, name: str | None, *, last: bool) -> str:
        require_one_line(event=name)
        fields: list[str | bytes] = ["topic", topic, "data", data]
        if name is not None:
            fields += ["name", name]
        if last:
            fields += ["last", "1"]
        with patience(TIMEOUT_SECONDS):
            id: bytes | None = await self._here().publish(
                [CLOCK, TOPICS, *keys_of(topic), RECENT],
                [*self._limits, self._known, self._buffer, int(last), *fields],
            )
        if id is None:
            raise TopicFinished(topic)
        self._known = max(self._known, id.decode())
        return id.decode()

    def _here(self) -> "Session":
        """Return what belongs to the running event loop."""
        if self._session is None or self._session.loop is not asyncio.get_running_loop():
            self._session = Session(self, self._url)
        return self._session


class Session:
    """The connections of one event loop."""

    def __init__(self, broker: RedisBroker, url: str) -> None:
        self.loop = asyncio.get_running_loop()
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=TIMEOUT_SECONDS,
            # redis-py would wait by `asyncio.wait_for`, which can lose a cancellation (Python 3.11).
            socket_timeout=None,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            # Over RESP3 redis-py takes a connection that the server closed for a good one.
            protocol=2,
            legacy_responses=False,
        )
        self.redis = Redis.from_pool(pool)
        self.publish = self.redis.register_script(PUBLISH)
        self.look = self.redis.register_script(LOOK)
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
    """Reads what is published, once for all subscribers of this process, and hands it out."""

    def __init__(self, broker: RedisBroker, redis: "Redis") -> None:
        self._broker = broker
        self._redis = redis
        self._position = ""
        self._scope = CancelScope()
        self._followers: defaultdict[str, set[Subscription]] = defaultdict(set)

    @contextmanager
    def followed(self, topics: Sequence[str], subscription: Subscription) -> Iterator[None]:
        """Hand the events of `topics` to `subscription`."""
        for topic in topics:
            self._followers[topic].add(subscription)
        try:
            yield
        finally:
            for topic in topics:
                self._followers[topic].discard(subscription)
                if not self._followers[topic]:
                    del self._followers[topic]

    async def start(self) -> None:
        """Set out after the newest event that there is."""
        self._position = (await self._broker.look((), None, replay="none")).newest

    async def run(self) -> None:
        """Deliver until `stop`. While Redis is away streams wait, and then go on where they were."""
        failures = 0
        with self._scope:
            while True:
                try:
                    await self._deliver()
                    failures = 0
                except Exception as error:
                    failures += 1
                    level = logging.WARNING if failures == 1 else logging.DEBUG
                    logger.log(level, "Redis does not answer, event streams wait: %r", error)
                    await asyncio.sleep(min(LONGEST_PAUSE_SECONDS, 0.05 * 2 ** min(failures, 10)))

    def stop(self) -> None:
        """Have `run` return."""
        self._scope.cancel()

    async def _deliver(self) -> None:
        """Wait for events and deliver them; see to it that none was missed."""
        newest = (await self._broker.look((), None, replay="none")).newest
        if life_of(newest) != life_of(self._position):
            self._lose(newest)
        entries = await self._read()
        for id, fields in entries:
            self._hand_out(f"{fields[b'life'].decode()}-{id.decode()}", fields)
        if not entries and number_of(self._position) < number_of(newest):
            self._lose(newest)

    async def _read(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        after = stream_id_of(self._position)
        block = round(IDLE_SECONDS * 1000)
        with patience(IDLE_SECONDS + TIMEOUT_SECONDS):
            reply: Any = await self._redis.xread({RECENT: after}, block=block)
        entries: list[tuple[bytes, dict[bytes, bytes]]] = reply.get(RECENT.encode(), [])
        return entries

    def _hand_out(self, id: str, fields: Mapping[bytes, bytes]) -> None:
        same_life = life_of(id) == life_of(self._position)
        if same_life and number_of(id) <= number_of(self._position):
            # Redis went back in time, and went on before any process could tell it.
            self._broker.distrust(id)
        if not same_life or number_of(id) != number_of(self._position) + 1:
            self._lose(id)
        self._position = id
        followers = self._followers.get(fields[b"topic"].decode())
        if followers:
            event = self._broker.event(id, fields)
            for subscription in followers:
                subscription.push(event, last=b"last" in fields)

    def _lose(self, position: str) -> None:
        """Go on from `position`; who waited for what was before has to ask for it again."""
        self._position = position
        for subscription in {each for some in self._followers.values() for each in some}:
            subscription.fail(EventsLost("Redis lost events; reconnect to resume."))
