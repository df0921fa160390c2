"""The fan-out: order, back-pressure, heartbeats, and the isolation of failures."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar, copy_context
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, Literal, NoReturn, cast

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st
from starlette.types import Message

from streaming_api.streaming import response as response_module
from streaming_api.streaming.events import fanout as module
from streaming_api.streaming.events import wire
from streaming_api.streaming.events.broker import Broker
from streaming_api.streaming.events.fanout import Fanout, Subscriber
from streaming_api.streaming.events.response import TopicStreamResponse
from streaming_api.streaming.events.subscription import Subscription
from streaming_api.streaming.events.wire import HEARTBEAT, Event
from streaming_api.streaming.registry import Streams

from ..streaming.conftest import EndLog
from ..streaming.conftest import end_log as end_log
from .subscriptions import subscribe

pytestmark = pytest.mark.anyio

LIMITS: dict[str, Any] = {
    "send_timeout": 30,
    "max_seconds": 0,
    "max_per_client": 100,
    "grace": 10,
}
HEARTBEAT_SECONDS = 15

Sends = Literal["at-once", "later", "future"]
"""How the `send` of a server completes: in one step (uvicorn), after waiting, or as a future."""

all_sends = pytest.mark.parametrize("sends", ["at-once", "later", "future"])
stream_name = ContextVar("stream_name", default="none")


async def settle(turns: int = 40) -> None:
    """Run everything that waits neither for a client nor for time to pass."""
    for _ in range(turns):
        await asyncio.sleep(0)


class Clock:
    """The time of the event loop, which tests advance."""

    def __init__(self, now: float) -> None:
        self.now = now

    async def advance(self, seconds: float) -> None:
        self.now += seconds
        await settle()


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the event loop."""
    loop = asyncio.get_running_loop()
    clock = Clock(loop.time())
    monkeypatch.setattr(loop, "time", lambda: clock.now)
    return clock


class Connection:
    """A connection of uvicorn, which is its own transport."""

    def __init__(self) -> None:
        self.transport = self
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def get_extra_info(self, name: str) -> None:
        """Return nothing: there is no socket."""


class Client:
    """A stream with its server and client: the client reads, stalls or disconnects."""

    def __init__(
        self,
        service: "Service",
        topics: Sequence[str],
        replay: Sequence[Event] = (),
        *,
        sends: Sends = "at-once",
    ) -> None:
        self.chunks: list[bytes] = []
        """The body, without the headers."""
        self.contexts: list[str] = []
        """The name of the context at the beginning and the end of each send."""
        self.waiting = 0
        """The number of sends that wait for the client."""
        self.failure: BaseException | None = None
        """The exception of the next send."""
        self.on_send: Callable[[], object] = bool
        """Called for each chunk."""
        self.fails_at_once = False
        """Whether calling `send` raises."""
        self.stalls_at_end = False
        """Whether the last chunk waits."""
        self.reports_end_first = False
        """Whether the server reports the last chunk as a disconnect before it is sent."""
        self.cancels_slowly = False
        """Whether a cancelled send takes some turns of the event loop to end."""
        self._sends = sends
        self._reading = asyncio.Event()
        self._reading.set()
        self._disconnected = asyncio.Event()
        service.replay = replay
        state = SimpleNamespace(streams=service.streams)
        scope = {"method": "GET", "app": SimpleNamespace(state=state), "client": ("192.0.2.1", 1)}
        response = TopicStreamResponse(cast(Broker, service), service.fanout, topics, None)
        self.response = asyncio.create_task(response(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        await self._disconnected.wait()
        return {"type": "http.disconnect"}

    def _send(self, message: Message) -> Awaitable[None]:
        if self.fails_at_once:
            raise RuntimeError("no coroutine")
        if message["type"] == "http.response.body":
            self.contexts.append(stream_name.get())
        sending = self._complete(message)
        return asyncio.ensure_future(sending) if self._sends == "future" else sending

    async def _complete(self, message: Message) -> None:
        is_last = not message.get("more_body", True)
        if self._sends == "later":
            async with asyncio.timeout(None):
                await asyncio.sleep(0)
        if self.stalls_at_end and is_last:
            self.stall()
        if not self._reading.is_set():
            self.waiting += 1
            try:
                await self._reading.wait()
            except asyncio.CancelledError:
                if self.cancels_slowly:
                    await settle(20)
                raise
            finally:
                self.waiting -= 1
        failure, self.failure = self.failure, None
        if failure:
            raise failure
        self.on_send()
        if message["type"] == "http.response.body" and not self._disconnected.is_set():
            self.contexts.append(stream_name.get())
            self.chunks.append(message["body"])
            if not message.get("more_body"):
                self._disconnected.set()
                if self.reports_end_first:
                    await settle(5)

    def stall(self) -> None:
        """Read nothing from now on."""
        self._reading.clear()

    def read(self) -> None:
        """Read again."""
        self._reading.set()

    def disconnect(self) -> None:
        """Close the connection."""
        self._disconnected.set()

    async def ended(self) -> None:
        """Fail unless the stream has ended; raise its exception."""
        await settle()
        assert self.response.done()
        self.response.result()

    @property
    def numbers(self) -> list[int]:
        """The data of all events."""
        lines = b"".join(self.chunks).decode().splitlines()
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        return [int(datum.rpartition(":")[2].rstrip("}")) for datum in data[1:]]


class Service:
    """A fan-out with a broker that delivers at once."""

    def __init__(self, *, buffer: int = 1000, **limits: float) -> None:
        self.fanout = Fanout(HEARTBEAT_SECONDS)
        self.streams = Streams(**LIMITS | limits)
        self.replay: Sequence[Event] = ()
        self.subscriptions: list[tuple[Sequence[str], Subscription]] = []
        self._buffer = buffer
        self._clients: list[Client] = []

    @asynccontextmanager
    async def subscribe(self, topics: Sequence[str], _: str | None) -> AsyncIterator[Subscription]:
        """Implement `Broker.subscribe`."""
        subscription = subscribe(topics, buffer=self._buffer)
        subscription.read_page = lambda: subscription.add_page([])
        subscription.start(list(self.replay), after=None, newest="", lost=(), finished=())
        self.subscriptions.append((topics, subscription))
        try:
            yield subscription
        finally:
            self.subscriptions.remove((topics, subscription))

    def event(self, number: int, topic: str = "a") -> Event:
        return Event(f"{number:03}", topic, b"%d" % number)

    def publish(self, *numbers: int, topic: str = "a", last: bool = False) -> None:
        for number in numbers:
            event = self.event(number, topic)
            for topics, subscription in self.subscriptions:
                if topic in topics:
                    subscription.push(event, last=last)

    def connect(
        self, *topics: str, replay: Sequence[Event] = (), sends: Sends = "at-once"
    ) -> Client:
        """Open a stream; it has started after the next `settle`."""
        client = Client(self, topics or ("a",), replay, sends=sends)
        self._clients.append(client)
        return client

    async def connected(self, *topics: str, sends: Sends = "at-once") -> Client:
        """Open a stream and wait until it has started."""
        client = self.connect(*topics, sends=sends)
        await settle()
        return client

    async def close(self) -> None:
        """Disconnect all clients."""
        for client in self._clients:
            client.read()
            client.disconnect()
        await settle()
        assert all(client.response.done() for client in self._clients)
        assert not self.fanout._subscribers
        assert not self.fanout._timer


@pytest.fixture
async def make_service() -> AsyncIterator[Callable[..., Service]]:
    """A function that returns a new service, whose clients disconnect after the test."""
    services: list[Service] = []

    def make(**limits: Any) -> Service:
        services.append(Service(**limits))
        return services[-1]

    yield make
    for service in services:
        await service.close()


@pytest.fixture
async def service(make_service: Callable[..., Service]) -> Service:
    """A service without clients."""
    return make_service()


FOLLOWED: list[tuple[str, Sends]] = [
    ("a", "at-once"),
    ("ab", "later"),
    ("a", "future"),
    ("b", "at-once"),
]
STEPS = (
    ["turn"] * 3
    + ["a", "b"] * 3
    + [(act, index) for act in ("stall", "read") for index in range(len(FOLLOWED))]
)


@given(steps=st.lists(st.sampled_from(STEPS), max_size=60))
@configured(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_client_has_each_event_once_in_order(
    monkeypatch: pytest.MonkeyPatch, steps: list[str | tuple[str, int]]
) -> None:
    monkeypatch.setattr(module, "SLICE", 2)
    monkeypatch.setattr(wire, "CHUNK_BYTES", 60)
    service = Service()
    clients = [service.connect(*topics, sends=sends) for topics, sends in FOLLOWED]
    await settle()
    published: dict[str, list[int]] = {"a": [], "b": []}

    for number, step in enumerate(steps):
        match step:
            case "a" | "b":
                service.publish(number, topic=step)
                published[step].append(number)
            case ("stall", int(index)):
                clients[index].stall()
            case ("read", int(index)):
                clients[index].read()
            case _:
                await asyncio.sleep(0)
    for client in clients:
        client.read()
    await settle(400)

    for client, (topics, _) in zip(clients, FOLLOWED, strict=True):
        assert client.numbers == sorted(number for topic in topics for number in published[topic])
    await service.close()


@all_sends
async def test_events_published_together_are_sent_together(service: Service, sends: Sends) -> None:
    client = await service.connected(sends=sends)

    service.publish(1, 2, 3)
    assert len(service.fanout._scheduled) == 1
    await settle()

    assert client.numbers == [1, 2, 3]
    assert len(client.chunks) == 2


async def test_slow_client_has_one_send_and_delays_nobody(service: Service) -> None:
    slow, fast = await service.connected(), await service.connected()
    tasks = len(asyncio.all_tasks())

    slow.stall()
    for number in range(5):
        service.publish(number)
        await settle()
        assert fast.numbers == [*range(number + 1)]

    assert (slow.waiting, slow.numbers) == (1, [])
    assert len(asyncio.all_tasks()) == tasks + 1
    slow.read()
    await settle()
    assert slow.numbers == [*range(5)]
    assert len(slow.chunks) == 3, "the backlog was not sent as one chunk"
    assert len(asyncio.all_tasks()) == tasks


async def test_send_at_once_needs_no_task(service: Service) -> None:
    client = await service.connected()
    tasks: list[object] = []
    client.on_send = lambda: tasks.append(asyncio.current_task())

    service.publish(1)
    await settle()

    assert (client.numbers, tasks) == ([1], [None])


@all_sends
async def test_replay_is_sent_before_newer_events(service: Service, sends: Sends) -> None:
    client = service.connect(replay=[service.event(1), service.event(2)], sends=sends)
    await asyncio.sleep(0)
    assert service.subscriptions

    service.publish(3)
    await settle()

    assert client.numbers == [1, 2, 3]


@all_sends
async def test_failed_broker_ends_a_waiting_stream(
    service: Service, end_log: EndLog, sends: Sends
) -> None:
    client = await service.connected(sends=sends)
    _, subscription = service.subscriptions[0]

    subscription.fail(ConnectionError("the broker is gone"))
    await client.ended()

    assert "reason=error" in end_log.line
    assert b"event: stream-error\n" in client.chunks[-1]


@all_sends
async def test_client_that_reads_nothing_is_disconnected(
    service: Service,
    clock: Clock,
    end_log: EndLog,
    monkeypatch: pytest.MonkeyPatch,
    sends: Sends,
) -> None:
    connection = Connection()
    monkeypatch.setattr(response_module, "connection_of", lambda *_: connection)
    client, other = await service.connected(sends=sends), await service.connected()

    client.stall()
    service.publish(1)
    await settle()
    await clock.advance(LIMITS["send_timeout"] - 1)
    assert not end_log.record
    await clock.advance(1)

    assert "reason=slow-reader" in end_log.line
    assert connection.aborted
    client.disconnect()
    await client.ended()
    service.publish(2)
    await settle()
    assert (client.numbers, other.numbers) == ([], [1, 2])


@all_sends
async def test_client_that_lags_too_far_has_its_backlog_first(
    make_service: Callable[..., Service], end_log: EndLog, sends: Sends
) -> None:
    service = make_service(buffer=3)
    client = await service.connected(sends=sends)

    client.stall()
    for number in range(6):
        service.publish(number)
        await settle()
    assert not end_log.record
    client.read()

    with pytest.raises(response_module.StreamAborted):
        await client.ended()
    assert client.numbers == [0, 1, 2, 3]
    assert "reason=slow-reader" in end_log.line


async def end_by_disconnect(client: Client, service: Service, clock: Clock) -> None:
    client.disconnect()


async def end_by_shutdown(client: Client, service: Service, clock: Clock) -> None:
    service.streams.drain()


async def end_by_timeout(client: Client, service: Service, clock: Clock) -> None:
    await clock.advance(20)


@all_sends
@pytest.mark.parametrize(
    ("end", "reason", "has_retry"),
    [
        pytest.param(end_by_disconnect, "client-disconnect", False, id="disconnect"),
        pytest.param(end_by_shutdown, "shutdown", True, id="shutdown"),
        pytest.param(end_by_timeout, "timeout", True, id="timeout"),
    ],
)
async def test_stream_that_ends_cancels_a_waiting_send(
    make_service: Callable[..., Service],
    clock: Clock,
    end_log: EndLog,
    end: Callable[[Client, Service, Clock], Awaitable[None]],
    reason: str,
    has_retry: bool,
    sends: Sends,
) -> None:
    service = make_service(max_seconds=20)
    tasks = asyncio.all_tasks()
    client = await service.connected(sends=sends)
    client.stall()
    service.publish(1)
    await settle()
    assert client.waiting == 1

    await end(client, service, clock)
    await settle()

    assert f"reason={reason}" in end_log.line
    assert not service.subscriptions
    client.read()
    await client.ended()
    assert asyncio.all_tasks() == tasks
    assert client.numbers == []
    ready, *closing = client.chunks
    assert ready.startswith(b"retry: 2000\nevent: ready\n")
    assert [chunk.partition(b" ")[0] for chunk in closing] == [b"retry:"] * has_retry


@all_sends
async def test_shutdown_during_cleanup_does_not_cancel_it(service: Service, sends: Sends) -> None:
    tasks = asyncio.all_tasks()
    client = await service.connected(sends=sends)
    client.cancels_slowly = True
    client.stall()
    service.publish(1)
    await settle()

    client.disconnect()
    await settle(5)
    assert not client.response.done()
    service.streams.drain()
    client.read()
    await asyncio.wait([client.response])

    assert asyncio.all_tasks() == tasks
    assert not service.subscriptions


@all_sends
async def test_disconnect_before_the_task_runs_sends_nothing(
    service: Service, sends: Sends
) -> None:
    client = await service.connected(sends=sends)

    client.stall()
    service.publish(1)
    client.disconnect()
    await client.ended()

    assert client.waiting == 0
    assert client.numbers == []
    assert not service.subscriptions


async def test_streams_at_one_position_share_chunks(service: Service) -> None:
    clients = [await service.connected(*topics) for topics in ["a", "a", "a", "ab", "ab"]]
    clients[1].stall()
    clients[2].stall()

    service.publish(1, 2)
    await settle()
    clients[1].read()
    clients[2].read()
    await settle()

    encoded, multiplexed = clients[0].chunks[-1], clients[3].chunks[-1]
    assert all(client.chunks[-1] is encoded for client in clients[1:3])
    assert clients[4].chunks[-1] is multiplexed
    assert multiplexed != encoded


async def test_event_is_encoded_once_for_all_streams(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for topics, sends in [("a", "at-once"), ("a", "later"), ("ab", "at-once"), ("ac", "future")]:
        await service.connected(*topics, sends=cast(Sends, sends))
    encoded: list[bytes] = []

    def observe(data: bytes, **fields: str | None) -> bytes:
        encoded.append(data)
        return encode_event(data, **fields)

    encode_event = wire.encode_event
    monkeypatch.setattr(wire, "encode_event", observe)
    service.publish(1)
    await settle()

    assert encoded == [b"1", b'{"topic":"a","data":1}']


@all_sends
async def test_sent_chunks_are_not_kept(service: Service, sends: Sends) -> None:
    clients = [await service.connected(sends=sends) for _ in range(2)]

    service.publish(1)
    await settle()

    assert clients[0].chunks[-1] is clients[1].chunks[-1]
    assert not service.fanout._coalesced


async def test_chunks_of_backlogs_with_gaps_differ(service: Service) -> None:
    topics = ("a", "b")
    complete = [service.event(number, topic) for number, topic in enumerate("abbb")]

    chunks = [
        service.fanout.chunks(topics, events) for events in (complete, [complete[0], complete[3]])
    ]

    assert [chunk.items for (chunk,) in chunks] == [4, 2]


async def test_other_callbacks_run_between_slices(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE", 2)
    clients = [await service.connected() for _ in range(5)]
    happened: list[int | str] = []
    for index, client in enumerate(clients):
        client.on_send = lambda index=index: happened.append(index)  # type: ignore[misc]

    def publish_the_other() -> None:
        happened.append("callback")
        service.publish(2)

    service.publish(1)
    asyncio.get_running_loop().call_soon(publish_the_other)
    await settle()

    assert happened == [0, 1, "callback", 2, 3, 4, 0, 1]
    assert all(client.numbers == [1, 2] for client in clients)


@all_sends
async def test_stream_is_never_idle_beyond_the_heartbeat(
    service: Service, clock: Clock, sends: Sends
) -> None:
    client = service.connect(sends=sends)
    start = clock.now
    sent_at: list[float] = []
    client.on_send = lambda: sent_at.append(clock.now - start)
    await settle()

    for second in range(100):
        if 40 <= second <= 70 and second % 7 == 0:
            service.publish(second)
            await settle()
        await clock.advance(0.5)
        await clock.advance(0.5)

    assert all(later - earlier <= HEARTBEAT_SECONDS for earlier, later in pairwise(sent_at))
    assert 100 - sent_at[-1] <= HEARTBEAT_SECONDS
    assert client.numbers == [42, 49, 56, 63, 70]
    kinds = "".join("h" if chunk == HEARTBEAT else "e" for chunk in client.chunks)
    assert "eeeee" in kinds, "a heartbeat between events"
    assert 2 <= kinds.index("eeeee", 1) - 1 <= 5
    assert 1 <= len(kinds) - len(kinds.rstrip("h")) <= 4


async def test_slow_client_has_no_backlog_of_heartbeats(service: Service, clock: Clock) -> None:
    client = await service.connected()

    client.stall()
    for _ in range(6):
        await clock.advance(HEARTBEAT_SECONDS / 2 - 3)
    client.read()
    await settle()

    assert client.chunks[1:].count(HEARTBEAT) <= 2


async def test_heartbeat_timer_stops_with_the_last_stream(
    service: Service, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks: list[float] = []
    tick = service.fanout._tick

    def count_and_tick() -> None:
        ticks.append(clock.now)
        tick()

    monkeypatch.setattr(service.fanout, "_tick", count_and_tick)
    first, last = await service.connected(), await service.connected()

    first.disconnect()
    await first.ended()
    last.disconnect()
    await last.ended()
    ticks.clear()
    await clock.advance(10 * HEARTBEAT_SECONDS)
    assert not ticks
    await service.connected()
    await clock.advance(HEARTBEAT_SECONDS)

    assert len(ticks) >= 2


def fail(*_: object) -> NoReturn:
    raise RuntimeError("broken")


def subscriber_of(service: Service, subscription: Subscription) -> Subscriber:
    """Return the subscriber that sends the events of `subscription`."""
    subscribers = service.fanout._subscribers
    return next(each for each in subscribers if each.subscription is subscription)


def break_take(service: Service, client: Client, subscription: Subscription) -> None:
    subscription.take = fail  # type: ignore[method-assign]


def break_encoding(service: Service, client: Client, subscription: Subscription) -> None:
    subscription.push(Event("000", "a", cast(bytes, "text")), last=False)


def break_context(service: Service, client: Client, subscription: Subscription) -> None:
    subscriber_of(service, subscription).context = cast(Any, SimpleNamespace(run=fail))


def break_send(service: Service, client: Client, subscription: Subscription) -> None:
    client.failure = RuntimeError("broken")


def break_waiting_send(service: Service, client: Client, subscription: Subscription) -> None:
    client.stall()
    client.failure = OSError("broken")


def cancel_send(service: Service, client: Client, subscription: Subscription) -> None:
    client.failure = asyncio.CancelledError()


def cancel_waiting_send(service: Service, client: Client, subscription: Subscription) -> None:
    client.stall()
    client.failure = asyncio.CancelledError()


BREAKS = [
    pytest.param(each, id=each.__name__)
    for each in [
        break_take,
        break_encoding,
        break_send,
        break_waiting_send,
        cancel_send,
        cancel_waiting_send,
    ]
]


async def assert_only_first_stream_fails(
    service: Service,
    clock: Clock,
    end_log: EndLog,
    clients: Sequence[Client],
    break_stream: Callable[[Service, Client, Subscription], None],
) -> None:
    broken, *others = clients
    _, subscription = service.subscriptions[0]

    break_stream(service, broken, subscription)
    service.publish(1)
    await settle()
    broken.read()
    await broken.ended()
    service.publish(2)
    await settle()
    await clock.advance(HEARTBEAT_SECONDS / 2)
    await clock.advance(HEARTBEAT_SECONDS / 2)

    assert "reason=error" in end_log.line
    assert end_log.record
    assert end_log.record.levelno == logging.ERROR
    assert end_log.failure
    assert b"event: stream-error\n" in broken.chunks[-1]
    assert len(broken.chunks) == 2
    for other in others:
        assert other.numbers == [1, 2]
        assert other.chunks[-1] == HEARTBEAT


@all_sends
@pytest.mark.parametrize("break_stream", BREAKS)
async def test_failure_of_one_stream_ends_no_other(
    service: Service,
    clock: Clock,
    end_log: EndLog,
    sends: Sends,
    break_stream: Callable[[Service, Client, Subscription], None],
) -> None:
    clients = [await service.connected(sends=each) for each in (sends, "at-once", "later")]

    await assert_only_first_stream_fails(service, clock, end_log, clients, break_stream)


async def test_context_that_cannot_be_entered_ends_no_other(
    service: Service, clock: Clock, end_log: EndLog
) -> None:
    clients = [await service.connected(sends=each) for each in ("at-once", "at-once", "later")]

    await assert_only_first_stream_fails(service, clock, end_log, clients, break_context)


@all_sends
async def test_send_that_raises_when_called_ends_no_other(
    service: Service, end_log: EndLog, sends: Sends
) -> None:
    broken, other = await service.connected(sends=sends), await service.connected()

    broken.fails_at_once = True
    service.publish(1)
    await settle()

    with pytest.raises(RuntimeError, match="no coroutine"):
        await broken.ended()
    assert "reason=error" in end_log.line
    assert other.numbers == [1]


@all_sends
@pytest.mark.parametrize("stalls", ["never", "before the last event", "after the last event"])
@pytest.mark.parametrize("reports_end_first", [False, True], ids=["", "end-first"])
async def test_last_event_completes_the_stream(
    service: Service, end_log: EndLog, sends: Sends, stalls: str, reports_end_first: bool
) -> None:
    client = await service.connected(sends=sends)
    client.reports_end_first = reports_end_first

    service.publish(1)
    await settle()
    if stalls == "before the last event":
        client.stall()
    client.stalls_at_end = stalls == "after the last event"
    service.publish(2, last=True)
    await settle()
    assert client.waiting == (stalls != "never")
    client.stalls_at_end = False
    client.read()
    await client.ended()

    assert client.numbers == [1, 2]
    assert client.chunks[-1] == b""
    size = sum(map(len, client.chunks))
    assert end_log.line == f"stream ended route=- events=2 bytes={size} reason=complete"


@all_sends
async def test_send_runs_in_the_context_of_its_stream(service: Service, sends: Sends) -> None:
    contexts = [copy_context() for _ in range(2)]
    for context, name in zip(contexts, ("first", "second"), strict=True):
        context.run(stream_name.set, name)
    first, second = (context.run(service.connect, sends=sends) for context in contexts)
    await settle()
    second.stall()

    publisher = copy_context()
    publisher.run(stream_name.set, "publisher")
    publisher.run(service.publish, 1)
    await settle()
    second.read()
    await settle()

    assert first.numbers == second.numbers == [1]
    assert first.contexts == ["first"] * 4
    assert second.contexts == ["second"] * 4


@all_sends
async def test_large_event_has_the_time_limit_for_each_piece(
    service: Service, clock: Clock, end_log: EndLog, sends: Sends
) -> None:
    client = await service.connected(sends=sends)
    (_, subscription), *_ = service.subscriptions
    large = Event("001", "a", b'"%s"' % (b"x" * 300_000))

    client.stall()
    client.on_send = client.stall
    subscription.push(large, last=False)
    await settle()
    while client.waiting:
        await clock.advance(LIMITS["send_timeout"] - 1)
        client.read()
        await settle()

    assert not end_log.record
    assert len(client.chunks) > 4
    received = b"".join(client.chunks[1:]).replace(HEARTBEAT, b"")
    assert received == large.encode(multiplexed=False)


async def test_failed_heartbeat_stops_no_other(
    service: Service, clock: Clock, end_log: EndLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [await service.connected() for _ in range(3)]
    _, subscription = service.subscriptions[1]

    def fail() -> bytes:
        raise ConnectionError

    monkeypatch.setattr(subscription, "heartbeat", fail)
    await clock.advance(HEARTBEAT_SECONDS / 2)
    await clock.advance(HEARTBEAT_SECONDS / 2)

    assert [client.chunks[-1] == HEARTBEAT for client in clients] == [True, False, True]
    await clients[1].ended()
    assert "reason=error" in end_log.line


class Stop(BaseException):
    """An exception that is no `Exception`."""


async def test_exit_of_one_send_stops_no_other(service: Service, end_log: EndLog) -> None:
    exits: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: exits.append(context))
    client, *others = [await service.connected() for _ in range(3)]

    client.failure = Stop()
    service.publish(1)
    await settle()

    assert [other.numbers for other in others] == [[1], [1]]
    assert len(exits) == 1
    await client.ended()
    assert "reason=error" in end_log.line


@all_sends
@pytest.mark.parametrize("pieces", [0, 1, 3])
async def test_piece_of_an_event_is_not_followed_by_an_orderly_end(
    service: Service, sends: Sends, pieces: int
) -> None:
    client = await service.connected(sends=sends)
    (_, subscription), *_ = service.subscriptions
    client.on_send = lambda: len(client.chunks) == pieces and client.stall()
    if not pieces:
        client.stall()

    subscription.push(Event("001", "a", b'"%s"' % (b"x" * 200_000)), last=False)
    await settle()
    service.streams.drain()
    await settle()
    client.read()

    with pytest.raises(response_module.StreamAborted):
        await client.ended()
    assert len(client.chunks) == 1 + pieces


async def test_large_event_is_followed_by_an_orderly_end(service: Service) -> None:
    client = await service.connected()
    (_, subscription), *_ = service.subscriptions

    subscription.push(Event("001", "a", b'"%s"' % (b"x" * 200_000)), last=False)
    await settle()
    service.streams.drain()
    await client.ended()

    assert client.chunks[-1].startswith(b"retry: ")


async def test_long_stream_delays_no_other(service: Service) -> None:
    long, other = await service.connected(), await service.connected()
    (_, subscription), *_ = service.subscriptions
    chunks: list[int] = []
    other.on_send = lambda: chunks.append(len(long.chunks))

    subscription.push(Event("001", "a", b'"%s"' % (b"x" * 10_000_000)), last=False)
    service.publish(2)
    await settle(200)

    assert len(long.chunks) > 150
    assert chunks[0] <= 1 + module.STEPS
