"""The broker of Redis: shared by processes, restarted, unavailable, and with lost data."""

import asyncio
import re
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from anyio import create_task_group, fail_after, sleep
from anyio.lowlevel import checkpoint
from fastapi import FastAPI
from fastapi.testclient import TestClient
from redis.asyncio import Redis
from redis.exceptions import RedisError

from streaming_api.settings import Settings
from streaming_api.streaming.events import redis as module
from streaming_api.streaming.events.broker import EARLIEST, TopicFinished
from streaming_api.streaming.events.redis import (
    CLOCK,
    HEADS,
    HISTORY,
    ID,
    KEYS,
    MAX_CONNECTIONS,
    PREFIX,
    RECENT,
    REPLAY_CONNECTIONS,
    EventsLost,
    RedisBroker,
    life_of,
    number_of,
    open_broker,
    stream_id,
)
from streaming_api.streaming.events.subscription import Subscription
from streaming_api.streaming.events.wire import Payload
from streaming_api.streaming.problems import Unavailable

from ...redis_server import CLAIM, CLAIM_SECONDS, RedisServer
from .conftest import LIMITS, MakeBroker
from .subscriptions import TIMEOUT, next_events, numbers, publish, take

pytestmark = pytest.mark.anyio

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def start_server() -> Iterator[Callable[..., RedisServer]]:
    """A function that starts a private server with options of `redis-server`."""
    servers: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        server = RedisServer(Path(folder), *options)
        servers.append(server)
        server.start()
        return server

    with tempfile.TemporaryDirectory() as folder:
        yield start
        for server in servers:
            server.stop(signal.SIGKILL)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A connection that does not belong to a broker."""
    async with Redis.from_url(redis_url) as redis:
        yield redis


def time_of(id: str) -> int:
    """Return the time of an event in milliseconds."""
    return int(stream_id(id).partition("-")[0])


def broker_of(server: RedisServer) -> RedisBroker:
    return RedisBroker(server.url, **LIMITS)


async def lose_data(redis: Redis) -> None:
    """Flush the database, but keep the claim of this process: others look for empty databases."""
    claim = await redis.get(CLAIM)
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.flushdb()
        if claim:
            pipeline.set(CLAIM, claim, ex=CLAIM_SECONDS)
        await pipeline.execute()


async def publish_when_possible(broker: RedisBroker, topic: str, number: int) -> str:
    with fail_after(TIMEOUT):
        while True:
            try:
                return await broker.publish(topic, number)
            except RedisError:
                await sleep(0.01)


async def pass_time(redis: Redis, seconds: int) -> None:
    """Advance the clock of the data, and leave that of the machine behind."""
    newest: Any = await redis.hget(CLOCK, "newest")
    milliseconds, number = newest.decode().split("-")
    await redis.hset(CLOCK, "newest", f"{int(milliseconds) + seconds * 1000}-{number}")


async def restore(redis: Redis, kept: str, lost: str) -> None:
    """Restore the data as of the event `kept` of the topic `a`; the only later one was `lost`."""
    for key in (f"{HISTORY}a", RECENT):
        await redis.xdel(key, stream_id(lost))
        await redis.execute_command("XSETID", key, stream_id(kept))
    await redis.hset(CLOCK, "newest", stream_id(kept))


async def expect_loss(subscription: Subscription) -> None:
    with fail_after(TIMEOUT), pytest.raises(EventsLost):
        await next_events(subscription)


async def test_processes_share_topics(make_broker: MakeBroker) -> None:
    one, other = make_broker(), make_broker()

    async with one.subscribe(["a"], None) as here, other.subscribe(["a"], None) as there:
        ids = [*await publish(one, "a", 1), *await publish(other, "a", 2)]
        ids.append(await one.finish("a", 3))

        assert numbers(await take(here, 3)) == numbers(await take(there, 3)) == [1, 2, 3]
    assert ids == sorted(set(ids))
    assert all(ID.fullmatch(id) for id in ids)
    assert await other.is_over(["a"], ids[-1])
    with pytest.raises(TopicFinished):
        await other.publish("a", 4)


async def test_script_publishes_to_the_service(
    start_server: Callable[..., RedisServer], settings: Settings
) -> None:
    server = start_server()
    settings = settings.model_copy(update={"redis_url": server.url})

    async with (
        Redis.from_url(server.url) as redis,
        broker_of(server) as service,
        service.subscribe(["a"], None) as subscription,
    ):
        connections = len(await redis.client_list())
        async with open_broker(settings) as broker:
            id = await broker.publish("a", 1)

        assert [event.id for event in await take(subscription, 1)] == [id]
        assert len(await redis.client_list()) == connections, "the broker was not closed"


async def test_concurrent_processes_agree_on_the_order(make_broker: MakeBroker) -> None:
    one, other = make_broker(), make_broker()

    async with one.subscribe(["a", "b"], None) as here, other.subscribe(["a", "b"], None) as there:
        async with create_task_group() as tasks:
            for broker in (one, other):
                for topic in "ab":
                    tasks.start_soon(publish, broker, topic, *range(25))
        events = await take(here, 100)

        assert events == await take(there, 100)
    assert events == sorted(events, key=lambda event: event.id)


async def test_subscribers_share_connections_and_events(
    start_server: Callable[..., RedisServer],
) -> None:
    server = start_server()
    broker = broker_of(server)

    async with Redis.from_url(server.url) as redis, AsyncExitStack() as stack:
        subscriptions = [
            await stack.enter_async_context(broker.subscribe(["a"], None)) for _ in range(200)
        ]
        async with create_task_group() as tasks:
            for _ in range(200):
                tasks.start_soon(broker.publish, "a", 1)
        connections = len(await redis.client_list()) - 1
        received = [await take(subscription, 200) for subscription in subscriptions]
        replayed = []
        for _ in range(2):
            async with broker.subscribe(["a"], EARLIEST) as subscription:
                replayed.append(await take(subscription, 200))
    await broker.close()

    assert connections <= MAX_CONNECTIONS
    for events in received + replayed:
        assert all(event is first for event, first in zip(events, received[0], strict=True))


async def test_reader_keeps_no_ended_subscriptions(make_broker: MakeBroker) -> None:
    broker = make_broker()
    assert isinstance(broker, RedisBroker)

    async with broker.subscribe(["a", "b"], None), broker.subscribe(["a"], None):
        reader = await broker._connect().reading()
        assert sorted(reader.subscriptions._topics) == ["a", "b"]

    assert not reader.subscriptions._topics


async def test_restart_with_all_data_loses_nothing(
    start_server: Callable[..., RedisServer],
) -> None:
    server = start_server(*DURABLE)
    broker, other = broker_of(server), broker_of(server)

    async with broker.subscribe(["a"], None) as subscription:
        ids = await publish(other, "a", 1)
        server.stop(signal.SIGKILL)
        with pytest.raises(RedisError):
            await other.publish("a", 0)
        server.start()
        ids.append(await publish_when_possible(other, "a", 2))

        assert [event.id for event in await take(subscription, 2)] == ids
    async with broker.subscribe(["a"], ids[0]) as subscription:
        assert numbers(await take(subscription, 1)) == [2]
    assert not subscription.reset
    await broker.close()
    await other.close()


async def test_restart_without_data_fails_subscriptions(
    start_server: Callable[..., RedisServer],
) -> None:
    server = start_server()
    broker = broker_of(server)

    async with broker.subscribe(["a"], None) as subscription:
        before = await broker.publish("a", 1)
        await take(subscription, 1)
        server.stop(signal.SIGKILL)
        server.start()

        await expect_loss(subscription)
    after = await publish_when_possible(broker, "a", 2)
    async with broker.subscribe(["a"], before) as subscription:
        assert numbers(await take(subscription, 1)) == [2]
    await broker.close()

    assert subscription.reset
    assert before < after


async def test_restart_with_old_data_fails_subscriptions(
    start_server: Callable[..., RedisServer],
) -> None:
    server = start_server()
    broker = broker_of(server)

    async with broker.subscribe(["a"], None) as subscription:
        kept, *_ = await publish(broker, "a", 1)
        async with Redis.from_url(server.url) as redis:
            await redis.save()
        await publish(broker, "a", 2)
        await take(subscription, 2)
        server.stop(signal.SIGKILL)
        server.start()

        await expect_loss(subscription)
    async with broker.subscribe(["a"], kept) as subscription:
        assert numbers(await take(subscription, 1)) == [1]
    await broker.close()

    assert subscription.reset


@pytest.mark.parametrize("published_by_itself", [True, False], ids=["published", "only-read"])
async def test_publish_to_older_data_ends_its_life(
    make_broker: MakeBroker, redis: Redis, published_by_itself: bool
) -> None:
    one, other = make_broker(), make_broker()
    kept, lost = await publish(one if published_by_itself else other, "a", 1, 2)
    await one.is_over(["a"], kept)
    await restore(redis, kept, lost)

    later, *_ = await publish(one, "a", 3)

    assert kept < later
    async with other.subscribe(["a"], kept) as subscription:
        assert subscription.reset
    async with other.subscribe(["a"], later) as subscription:
        assert not subscription.reset


async def test_numbers_used_again_fail_subscriptions(
    make_broker: MakeBroker, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 60)
    one, other = make_broker(), make_broker()
    async with one.subscribe(["a"], None) as subscription:
        kept, lost = await publish(one, "a", 1, 2)
        await take(subscription, 2)
        await restore(redis, kept, lost)

        await publish(other, "a", 3)

        await expect_loss(subscription)
    await publish(one, "a", 4)
    async with other.subscribe(["a"], kept) as subscription:
        assert subscription.reset


async def test_flush_fails_subscriptions_without_events(
    make_broker: MakeBroker, redis: Redis
) -> None:
    broker = make_broker()
    async with broker.subscribe(["a"], None) as subscription:
        for key in await redis.keys(f"{PREFIX}*"):
            await redis.delete(key)
        await publish(broker, "a", 1)

        await expect_loss(subscription)


async def test_page_of_a_new_life_does_not_end_it(
    make_broker: MakeBroker, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, other = make_broker(), make_broker()
    run, reads = broker.run, asyncio.Event()

    async def run_later(script: str, *arguments: Any) -> Any:
        if script == "read":
            await reads.wait()
        return await run(script, *arguments)

    async with broker.subscribe(["a"], None) as subscription:
        monkeypatch.setattr(broker, "run", run_later)
        await publish(other, "a", 0)
        await take(subscription, 1)
        await lose_data(redis)
        ids = await publish(other, "a", 1, 2, 3)
        reads.set()
        await expect_loss(subscription)

        later = await broker.publish("a", 4)

    assert len({life_of(id) for id in (*ids, later)}) == 1


@pytest.mark.parametrize("published", [[], [1]])
async def test_gap_in_numbers_fails_subscriptions(
    make_broker: MakeBroker, redis: Redis, monkeypatch: pytest.MonkeyPatch, published: list[int]
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)
    broker = make_broker()
    async with broker.subscribe(["a"], None) as subscription:
        await publish(broker, "a", 0)
        await take(subscription, 1)
        newest: Any = await redis.hget(CLOCK, "newest")
        time, number = newest.decode().split("-")
        await redis.hset(CLOCK, "newest", f"{time}-{int(number) + 5}")
        await publish(broker, "a", *published)

        await expect_loss(subscription)


async def test_unavailable_redis_raises_and_subscriptions_wait(
    start_server: Callable[..., RedisServer],
) -> None:
    server = start_server(*DURABLE)
    broker = broker_of(server)
    async with broker.subscribe(["a"], None) as waiting:
        server.stop()

        with pytest.raises(RedisError):
            await broker.publish("a", 1)
        with pytest.raises(RedisError):
            await broker.finish("a", 1)
        with pytest.raises(RedisError):
            await broker.is_over(["a"], EARLIEST)
        with pytest.raises(RedisError):
            await broker.subscribe(["a"], None).__aenter__()
        with pytest.raises(RedisError):
            await broker.ping()
        server.start()
        await broker.ping()
        await broker.publish("a", 2)

        assert numbers(await take(waiting, 1)) == [2]
    await broker.close()


async def test_restart_between_two_publishes_is_no_error(
    start_server: Callable[..., RedisServer],
) -> None:
    server = start_server(*DURABLE)
    broker = broker_of(server)
    first = await broker.publish("a", 1)
    server.stop()
    server.start()
    await sleep(0.01)

    second = await broker.publish("a", 2)

    assert life_of(first) == life_of(second)
    assert first < second
    await broker.close()


async def test_redis_without_response_raises(
    start_server: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.2)
    server = start_server()
    broker = broker_of(server)
    await broker.ping()
    server.pause()

    with pytest.raises(RedisError):
        await broker.publish("a", 1)
    with pytest.raises(RedisError):
        await broker.ping()
    server.resume()
    await publish_when_possible(broker, "a", 2)
    await broker.close()


class Link:
    """A connection to a server, which takes a `delay` for 64 KiB."""

    def __init__(self, server: RedisServer, delay: float = 0) -> None:
        self.server = server
        """The server of new connections."""
        self._delay = delay

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = int(self.server.url.rpartition(":")[2])
        from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(self._forward(reader, to_server), self._forward(from_server, writer))

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError), closing(writer):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
                await sleep(self._delay)


async def test_slow_link_is_no_silence(
    start_server: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 1.0)
    server = start_server()
    async with Link(server, delay=0.1) as link:
        fast, slow = broker_of(server), RedisBroker(link.url, **LIMITS)
        async with slow.subscribe(["a"], None) as subscription:
            first = await fast.publish("a", "x" * 1_500_000)
            second = await fast.publish("a", 2)

            assert [event.id for event in await take(subscription, 2)] == [first, second]
        async with slow.subscribe(["a"], EARLIEST) as subscription:
            assert [event.id for event in await take(subscription, 2)] == [first, second]
        await slow.close()
        await fast.close()


async def test_data_without_a_read_is_kept_for_the_next(
    start_server: Callable[..., RedisServer],
) -> None:
    broker = broker_of(start_server())
    async with broker.connection() as redis:
        connection: Any = await redis.connection_pool.get_connection()
        connection._reader.feed_data(b"+early\r\n")

        assert await connection.read_response() == b"early"
        await redis.connection_pool.release(connection)
    await broker.close()


async def test_backlog_of_a_reader_is_read_in_pages(
    make_broker: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_BYTES", 10_000)
    publisher, broker = make_broker(), make_broker(buffer=10)
    async with broker.subscribe(["a"], None) as subscription:
        batch = [Payload(b'"%s"' % (b"x" * 4000), None)] * 100
        ids = await publisher.publish_all("a", batch)
        ids += await publisher.publish_all("b", batch)
        ids += await publisher.publish_all("a", batch)

        received = await take(subscription, 200)
    assert [event.id for event in received] == ids[:100] + ids[200:]


async def test_url_that_decodes_responses_is_no_obstacle(redis_url: str) -> None:
    separator = "&" if "?" in redis_url else "?"
    broker = RedisBroker(f"{redis_url}{separator}decode_responses=true", **LIMITS)

    async with broker:
        ids = await publish(broker, "a", 1, 2)
        async with broker.subscribe(["a"], EARLIEST) as subscription:
            received = await take(subscription, 2)

    assert [event.id for event in received] == ids


async def test_slow_replays_delay_no_publishing(
    make_broker: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 1.0)
    broker = make_broker()
    assert isinstance(broker, RedisBroker)
    await publish(broker, "a", 1)
    pool: Any = broker._connect().replays.connection_pool
    occupied = [await pool.get_connection() for _ in range(REPLAY_CONNECTIONS)]

    async def resume() -> list[int]:
        async with broker.subscribe(["a"], EARLIEST) as subscription:
            return numbers(await take(subscription, 1))

    resumed = [asyncio.create_task(resume()) for _ in range(10)]
    await publish(broker, "b", *range(20))
    await broker.ping()
    waiting = [task for task in resumed if not task.done()]
    for connection in occupied:
        await pool.release(connection)

    assert len(waiting) == 10
    assert await asyncio.gather(*resumed) == [[1]] * 10


async def ping_repeatedly(broker: RedisBroker) -> None:
    """Ping until it fails."""
    with fail_after(TIMEOUT):
        while True:
            await broker.ping()
            await sleep(0.01)


async def test_reader_that_does_not_advance_fails_the_health_check(
    make_broker: MakeBroker, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 0.2)
    broker = make_broker()
    await broker.ping()
    async with broker.subscribe(["a"], None):
        await publish(broker, "a", 1)
        await broker.ping()
        await redis.xadd(RECENT, {"unknown": "1"})

        with pytest.raises(Unavailable, match="not delivered"):
            await ping_repeatedly(broker)
        await redis.delete(RECENT)
        with fail_after(TIMEOUT):
            while True:
                with suppress(Unavailable):
                    await broker.ping()
                    break
                await sleep(0.01)


async def test_connections_to_a_replica_are_opened_anew(
    start_server: Callable[..., RedisServer],
) -> None:
    primary = start_server()
    broker = broker_of(primary)
    async with Redis.from_url(primary.url) as redis, broker.subscribe(["a"], None) as subscription:
        await asyncio.gather(*(broker.publish("a", 0) for _ in range(10)))
        async with broker.subscribe(["a"], EARLIEST):
            await take(subscription, 10)
        before = await ids_of_clients(redis)
        await redis.replicaof("127.0.0.1", "1")

        with pytest.raises(RedisError):
            await broker.publish("a", 1)
        await redis.replicaof("NO", "ONE")
        await broker.ping()
        with fail_after(TIMEOUT):
            while len(before & await ids_of_clients(redis)) > 1:
                await sleep(0.01)
        await broker.publish("a", 2)

        assert numbers(await take(subscription, 1)) == [2]
    await broker.close()


async def test_reader_leaves_a_replica_without_its_primary(
    start_server: Callable[..., RedisServer],
) -> None:
    old, new = start_server(), start_server()
    async with (
        Redis.from_url(old.url) as redis,
        Redis.from_url(new.url) as new_redis,
        Link(old) as link,
    ):
        broker, other = RedisBroker(link.url, **LIMITS), broker_of(new)
        async with broker.subscribe(["a"], None) as subscription:
            await publish(broker, "a", 1)
            await take(subscription, 1)
            await new_redis.replicaof("127.0.0.1", old.url.rpartition(":")[2])
            with fail_after(TIMEOUT):
                while not await new_redis.exists(f"{HISTORY}a"):
                    await sleep(0.01)
            await new_redis.replicaof("NO", "ONE")
            await redis.replicaof("127.0.0.1", "1")
            link.server = new
            clients: Any = await redis.client_list()
            for client in clients:
                if client["cmd"] not in ("xread", "client|list"):
                    await redis.client_kill_filter(_id=client["id"])

            await publish(other, "a", 2)
            with fail_after(TIMEOUT), suppress(RedisError):
                await broker.ping()
            await broker.ping()

            assert numbers(await take(subscription, 1)) == [2]
        await broker.close()
        await other.close()


async def ids_of_clients(redis: Redis) -> set[str]:
    clients: Any = await redis.client_list()
    return {client["id"] for client in clients}


async def test_publish_without_response_is_not_repeated() -> None:
    published = 0

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal published
        while data := await reader.read(65536):
            if b"EVALSHA" in data:
                published += 1
                break
            writer.write(b"+OK\r\n" * len(re.findall(rb"\*\d+\r\n", data)))
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        broker = RedisBroker(f"redis://127.0.0.1:{port}", **LIMITS)

        with pytest.raises(RedisError):
            await broker.publish("a", 1)
        await broker.close()

    assert published == 1


async def test_full_redis_raises_and_subscriptions_wait(
    start_server: Callable[..., RedisServer],
) -> None:
    server = start_server()
    broker = broker_of(server)
    async with (
        Redis.from_url(server.url) as redis,
        broker.subscribe(["a"], None) as subscription,
    ):
        await publish(broker, "a", 1)
        await redis.config_set("maxmemory", 1)

        with pytest.raises(RedisError):
            await broker.publish("a", 0)
        with pytest.raises(RedisError):
            await broker.ping()
        await redis.config_set("maxmemory", 0)
        await publish(broker, "a", 2)

        assert numbers(await take(subscription, 2)) == [1, 2]
    await broker.close()


async def test_wrong_password_raises(start_server: Callable[..., RedisServer]) -> None:
    server = start_server()
    async with Redis.from_url(server.url) as redis:
        await redis.config_set("requirepass", "right")
    url = server.url.replace("redis://", "redis://:wrong@")
    broker = RedisBroker(url, **LIMITS)

    with pytest.raises(RedisError):
        await broker.ping()
    with pytest.raises(RedisError):
        await broker.publish("a", 1)
    await broker.close()


async def test_publish_can_be_cancelled_at_any_step(make_broker: MakeBroker) -> None:
    broker = make_broker()
    await broker.ping()

    async def publish_for_ever() -> None:
        while True:
            await broker.publish("a", 1)

    for steps in range(50):
        task = asyncio.create_task(publish_for_ever())
        for _ in range(steps):
            await checkpoint()
        task.cancel()
        await asyncio.wait([task], timeout=TIMEOUT)

        assert task.cancelled()


async def test_history_has_exact_length(make_broker: MakeBroker, redis: Redis) -> None:
    broker = make_broker(history=3)

    await publish(broker, "a", *range(200))

    assert await redis.xlen(f"{HISTORY}a") == 3
    assert await redis.zcard(HEADS) == 1


async def test_old_events_expire(make_broker: MakeBroker, redis: Redis) -> None:
    broker = make_broker(history_seconds=60)
    first, second = await publish(broker, "a", 1, 2)
    await pass_time(redis, 40)
    third, *_ = await publish(broker, "a", 3)
    await pass_time(redis, 40)

    for last_event_id, reset in ((EARLIEST, False), (first, True), (second, False)):
        async with broker.subscribe(["a"], last_event_id) as subscription:
            assert numbers(await take(subscription, 1)) == [3]
        assert subscription.reset is reset
    fourth, *_ = await publish(broker, "a", 4)
    entries: Any = await redis.xrange(f"{HISTORY}a")
    assert [id.decode() for id, _ in entries] == [stream_id(third), stream_id(fourth)]


async def test_expired_topic_is_reset(make_broker: MakeBroker, redis: Redis) -> None:
    broker = make_broker(history_seconds=60)
    first, second = await publish(broker, "a", 1, 2)
    done = await broker.finish("b", 3)
    await pass_time(redis, 61)
    other, *_ = await publish(broker, "b", 4)

    assert await redis.zcard(HEADS) == 1
    for last_event_id, reset in ((first, True), (second, False), (done, False), (other, False)):
        async with broker.subscribe(["a"], last_event_id) as subscription:
            assert subscription.reset is reset


async def test_deleted_topics_are_reset(make_broker: MakeBroker, redis: Redis) -> None:
    broker = make_broker()
    first, second = await publish(broker, "a", 1, 2)
    await redis.delete(*set(KEYS) - {CLOCK}, f"{HISTORY}a")

    for last_event_id, reset in ((first, True), (second, False)):
        async with broker.subscribe(["a"], last_event_id) as subscription:
            assert subscription.reset is reset


async def test_bytes_of_history_limit_memory(start_server: Callable[..., RedisServer]) -> None:
    server = start_server()
    broker = RedisBroker(server.url, **LIMITS | {"history_bytes": 4_000_000})

    async with broker, Redis.from_url(server.url) as redis:
        # The scripts take memory, too.
        await broker.publish("news", 0)
        before = await used_memory(redis)
        for number in range(3000):
            await broker.publish(f"user-{number}", "x" * 2000)
        for number in range(3000):
            await broker.publish("news", number)

        assert 2_000_000 < await used_memory(redis) - before < 7_000_000


async def used_memory(redis: Redis) -> int:
    info: Any = await redis.info("memory")
    return int(info["used_memory"])


async def test_event_makes_room_for_itself(make_broker: MakeBroker, redis: Redis) -> None:
    await lose_data(redis)
    broker = make_broker(history=10_000, history_bytes=2_000_000)
    await broker.publish_all("small", [Payload(b"1", None)] * 5000)

    await broker.publish("large", "x" * 1_500_000)

    total: Any = await redis.hget(CLOCK, "total")
    assert float(total) <= 2_000_000
    assert await redis.xlen(f"{HISTORY}large") == 1


async def test_longer_time_of_history_after_restart_is_reset(
    make_broker: MakeBroker, redis: Redis
) -> None:
    short, long = make_broker(history_seconds=0.1), make_broker(history_seconds=3600)
    first, second = await publish(short, "a", 1, 2)
    await publish(long, "b", 3)
    with fail_after(TIMEOUT):
        while await redis.exists(f"{HISTORY}a"):
            await sleep(0.01)

    for last_event_id, reset in ((first, True), (second, False)):
        async with long.subscribe(["a"], last_event_id) as subscription:
            assert subscription.reset is reset
    third, *_ = await publish(long, "a", 3)
    async with long.subscribe(["a"], first) as subscription:
        assert [event.id for event in await take(subscription, 1)] == [third]
        assert subscription.reset


async def test_older_data_is_noticed_after_a_start_with_an_earlier_clock(
    make_broker: MakeBroker, redis: Redis
) -> None:
    broker = make_broker()
    await publish(broker, "a", 0)
    await redis.hset(CLOCK, "life", "9" * 13 + "0" * 8)
    await publish(broker, "a", 0)
    await lose_data(redis)
    kept, lost = await publish(broker, "a", 1, 2)
    await restore(redis, kept, lost)

    later, *_ = await publish(broker, "a", 3)

    assert life_of(later) != life_of(kept)
    async with broker.subscribe(["a"], kept) as subscription:
        assert subscription.reset


async def test_data_of_an_earlier_version_starts_again(
    make_broker: MakeBroker, redis: Redis
) -> None:
    broker = make_broker()
    old, *_ = await publish(broker, "a", 1)
    await redis.hset(CLOCK, "life", life_of(old)[:13])

    id = await make_broker().publish("a", 2)

    assert ID.fullmatch(id)
    assert life_of(id) != life_of(old)


async def test_data_lost_during_a_replay_fails_it(make_broker: MakeBroker, redis: Redis) -> None:
    broker = make_broker()
    for _ in range(30):
        await broker.publish("a", "x" * 50_000)

    async with broker.subscribe(["a"], EARLIEST) as subscription:
        await lose_data(redis)
        with pytest.raises(EventsLost):
            await take(subscription, 31)


async def test_all_keys_but_the_clock_expire(make_broker: MakeBroker, redis: Redis) -> None:
    broker = make_broker(history_seconds=100)
    await publish(broker, "a", 1)
    await broker.finish("b", 2)
    await broker.ping()

    keys = {key.decode() async for key in redis.scan_iter(f"{PREFIX}*")}

    assert CLOCK in keys
    for key in keys - {CLOCK}:
        assert 0 < await redis.ttl(key) <= 101


async def test_ids_increase_when_the_clock_goes_back(make_broker: MakeBroker, redis: Redis) -> None:
    broker = make_broker()
    first, *_ = await publish(broker, "a", 1)
    await pass_time(redis, 1000)

    second, third = await publish(broker, "a", 2, 3)

    assert time_of(first) + 1_000_000 == time_of(second) == time_of(third)
    async with broker.subscribe(["a"], second) as subscription:
        assert not subscription.reset


async def test_ids_of_other_lives_are_unknown(make_broker: MakeBroker) -> None:
    broker = make_broker()
    id = await broker.finish("a", 1)
    start, random, number = int(id[:13]), life_of(id)[13:], number_of(id)
    rest = id.removeprefix(life_of(id))

    for unknown in (
        f"{start - 1}{random}{rest}",
        f"{start + 1}{random}{rest}",
        f"{start}{int(random, 16) ^ 1:08x}{rest}",
        f"{id.removesuffix(str(number))}{number + 1}",
    ):
        assert not await broker.is_over(["a"], unknown)
        async with broker.subscribe(["a"], unknown) as subscription:
            assert numbers(await take(subscription, 1)) == [1]
        assert subscription.reset


async def test_invalid_event_name_is_not_stored(make_broker: MakeBroker, redis: Redis) -> None:
    broker = make_broker()

    with pytest.raises(ValueError, match="expected one line"):
        await broker.publish("a", 1, "two\nlines")

    assert not await redis.exists(f"{HISTORY}a")


def test_broker_works_in_consecutive_event_loops(redis_url: str) -> None:
    broker = RedisBroker(redis_url, **LIMITS)

    async def use(number: int) -> list[int]:
        connections = broker._connect()
        async with broker.subscribe(["a"], None) as subscription:
            await broker.publish("a", number)
            events = await take(subscription, 1)
        await connections.close()
        return numbers(events)

    assert asyncio.run(use(1)) == [1]
    assert asyncio.run(use(2)) == [2]
    asyncio.run(broker.close())


async def test_closed_broker_can_be_used_again(make_broker: MakeBroker) -> None:
    broker = make_broker()

    for number in (1, 2):
        async with broker.subscribe(["a"], None) as subscription:
            await publish(broker, "a", number)
            assert numbers(await take(subscription, 1)) == [number]
        await broker.close()


def test_routes_without_redis_are_unavailable(
    start_server: Callable[..., RedisServer], create_app: Callable[[Settings], FastAPI]
) -> None:
    server = start_server()
    server.stop()
    client = TestClient(create_app(Settings(redis_url=server.url)))

    with client:
        responses = [client.post("/events/a", json={"data": 1}), client.get("/events/a")]

    assert [response.status_code for response in responses] == [503, 503]
    assert responses[0].json()["detail"] == "The event broker is unavailable."


async def test_lost_data_is_not_the_claim_of_a_database(redis: Redis) -> None:
    await redis.set(CLAIM, "1")
    await redis.set("other", "1")

    await lose_data(redis)

    assert await redis.keys() == [CLAIM.encode()]
