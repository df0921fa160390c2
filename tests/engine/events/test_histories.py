"""History is complete or reset, whatever happens to clocks, settings and memory."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st

from streaming_api.streaming.events.broker import Broker
from streaming_api.streaming.events.subscription import Subscription
from streaming_api.streaming.events.wire import Payload
from streaming_api.streaming.registry import SlowReader

from ..variant import REDIS
from .conftest import MakeBroker
from .subscriptions import next_events

failures: tuple[type[Exception], ...] = (SlowReader,)
if REDIS:
    from redis.asyncio import Redis

    from streaming_api.streaming.events.redis import (
        CLOCK,
        HEADS,
        HISTORY,
        PREFIX,
        RECENT,
        STATES,
        EventsLost,
    )

    failures += (EventsLost,)
else:
    from streaming_api.streaming.events.memory import MemoryBroker

pytestmark = pytest.mark.anyio

LIMITS = {"history": 3, "history_seconds": 60, "history_bytes": 10**6, "buffer": 50}


class World:
    """A broker, its clock and what was published."""

    def __init__(self, make_broker: MakeBroker) -> None:
        self.published: list[tuple[str, str]] = []
        """The topics and the ids of all events."""
        self._make_broker = make_broker
        self._limits: dict[str, Any] = dict(LIMITS)
        self.broker: Broker = make_broker(**self._limits)

    def change(self, limits: dict[str, Any]) -> None:
        """Restart with other settings; in memory, whose clients would be lost, change them."""
        self._limits |= limits
        if REDIS:
            self.broker = self._make_broker(**self._limits)
        else:
            vars(self.broker).update(limits)

    async def publish(self, topic: str, size: int = 1, number: int = 1) -> str:
        """Publish a number of events; return the id of the last one."""
        payload = Payload(b'"%s"' % (b"x" * size), None)
        ids = await self.broker.publish_all(topic, [payload] * number)
        self.published += [(topic, id) for id in ids]
        return ids[-1]

    async def pass_time(self, seconds: float, *, of_ids: bool = True, of_keys: bool = True) -> None:
        """Advance the clock; if it belongs to Redis, that of the ids and that of the keys."""
        if isinstance(self.broker, MemoryBroker):
            clock = self.broker.clock
            self.broker.clock = lambda: clock() + seconds

    async def check(self) -> None:
        """Check the sizes and the indexes of the broker."""
        assert isinstance(self.broker, MemoryBroker)
        events = self.broker._events.values()
        histories = [topic.history for topic in self.broker._topics.values()]
        assert self.broker._bytes == sum(event.size for _, event in events)
        assert sorted(self.broker._events) == sorted(event.id for h in histories for event in h)


class RedisWorld(World):
    """A world whose data is in Redis."""

    def __init__(self, make_broker: MakeBroker, redis: "Redis") -> None:
        super().__init__(make_broker)
        self._redis: Any = redis

    async def pass_time(self, seconds: float, *, of_ids: bool = True, of_keys: bool = True) -> None:
        newest = await self._redis.hget(CLOCK, "newest")
        if of_ids and newest:
            time, number = newest.decode().split("-")
            later = f"{int(time) + round(seconds * 1000)}-{number}"
            await self._redis.hset(CLOCK, "newest", later)
        if of_keys:
            for key in [key async for key in self._redis.scan_iter(f"{PREFIX}*")]:
                left = await self._redis.pttl(key) - round(seconds * 1000)
                if await self._redis.pttl(key) > 0:
                    await self._redis.pexpire(key, max(0, left))

    async def check(self) -> None:
        total = 0
        for topic, state in (await self._redis.hgetall(STATES)).items():
            newest, lost, _, counted = state.decode().split()
            total += int(counted)
            entries = await self._redis.xrange(f"{HISTORY}{topic.decode()}")
            if entries:
                assert int(counted) == 1000 + size(entries)
                assert lost < entries[0][0].decode() <= entries[-1][0].decode() == newest
                assert await self._redis.zscore(HEADS, topic) == int(entries[0][0][14:])
        clock = await self._redis.hgetall(CLOCK)
        if await self._redis.exists(STATES):
            assert int(clock[b"total"]) == total
            assert int(clock[b"recent_total"]) == size(await self._redis.xrange(RECENT))


def size(entries: list[tuple[bytes, dict[bytes, bytes]]]) -> int:
    """Return the size of entries of a stream, as the scripts compute it."""
    return sum(100 + sum(len(a) + len(b) for a, b in fields.items()) for _, fields in entries)


class Client:
    """Follows topics as a browser does, and checks each event."""

    def __init__(self, world: World, *topics: str) -> None:
        self._world = world
        self._topics = topics
        self._last_event_id: str | None = None
        self._next_index = 0
        """The index in `published` of the next event."""
        self._lost_index = 0
        """The index in `published` up to which events may be lost, because of a reset."""
        self._context: AbstractAsyncContextManager[Subscription] | None = None

    @property
    def published(self) -> Sequence[str]:
        """The ids of the events of the topics."""
        return [id for topic, id in self._world.published if topic in self._topics]

    async def connect(self) -> None:
        await self.disconnect()
        self._context = self._world.broker.subscribe(self._topics, self._last_event_id)
        self.subscription = await self._context.__aenter__()
        if self._last_event_id is None:
            self._next_index = len(self.published)
        if self.subscription.reset:
            self._lost_index = len(self.published)
        self._last_event_id = self.subscription.position or self._last_event_id

    async def disconnect(self) -> None:
        if self._context:
            await self._context.__aexit__(None, None, None)
            self._context = None

    async def receive_heartbeat(self) -> None:
        if self._context:
            id = self.subscription.heartbeat().strip().decode().partition("\nid: ")[2]
            assert not id or self._last_event_id is None or id >= self._last_event_id
            self._last_event_id = id or self._last_event_id

    async def read(self) -> None:
        """Read up to an event that is published now."""
        if not self._context:
            await self.connect()
        marker = await self._world.publish(self._topics[0])
        while self._last_event_id is None or self._last_event_id < marker:
            try:
                events = await next_events(self.subscription)
            except failures:
                await self.connect()
                events = []
            for event in events:
                index = self.published.index(event.id)
                assert index >= self._next_index, "a duplicate, or out of order"
                assert index <= max(self._next_index, self._lost_index), "an event is lost"
                self._next_index = index + 1
                self._last_event_id = event.id


@pytest.fixture
async def make_world(
    request: pytest.FixtureRequest, make_broker: MakeBroker
) -> AsyncIterator[Callable[[], World]]:
    """A function that returns a world with a new broker."""
    if REDIS:
        async with Redis.from_url(request.getfixturevalue("redis_url")) as redis:
            yield lambda: RedisWorld(make_broker, redis)
    else:
        yield lambda: World(make_broker)


topics = st.sampled_from("abc")
clients = st.integers(0, 1)
seconds = st.sampled_from([0.5, 10, 50, 61, 100, 4000])
limits = st.fixed_dictionaries(
    {},
    optional={
        "history": st.sampled_from([0, 1, 3, 100]),
        "history_seconds": st.sampled_from([5, 60, 3600]),
        "history_bytes": st.sampled_from([0, 3000, 10_000, 10**6]),
    },
)
publishes = st.tuples(st.just("publish"), topics, st.sampled_from([1, 100, 3000]), st.just(1))
steps = st.one_of(
    publishes,
    publishes,
    st.tuples(st.just("publish"), topics, st.just(1), st.integers(2, 6)),
    st.tuples(st.sampled_from(["connect", "disconnect", "read", "receive_heartbeat"]), clients),
    st.tuples(st.just("time"), seconds, st.booleans(), st.booleans()),
    st.tuples(st.just("change"), limits),
)
numbers = count()


@given(steps=st.lists(steps, max_size=60))
@configured(
    deadline=None,
    max_examples=15 if REDIS else 40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_client_without_reset_loses_and_repeats_nothing(
    make_world: Callable[[], World], steps: list[tuple[Any, ...]]
) -> None:
    world = make_world()
    a, b, c = (f"topic-{next(numbers)}-{name}" for name in "abc")
    names = {"a": a, "b": b, "c": c}
    followers = [Client(world, a), Client(world, b, a, c)]

    for step in steps:
        match step:
            case ("publish", topic, length, number):
                await world.publish(names[topic], length, number)
            case ("time", passed, of_ids, of_keys):
                await world.pass_time(passed, of_ids=of_ids, of_keys=of_keys)
            case ("change", changed):
                world.change(changed)
            case (action, index):
                await getattr(followers[index], action)()
        await world.check()
    for client in followers:
        await client.connect()
        await client.read()
        await client.disconnect()
