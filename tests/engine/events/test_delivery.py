"""How events reach the clients: in order, without a task each, and whatever a client does."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar, copy_context
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st
from starlette.types import Message

from {{ cookiecutter.__package_name }}.events import delivery as module
from {{ cookiecutter.__package_name }}.events import wire
from {{ cookiecutter.__package_name }}.events.broker import Broker
from {{ cookiecutter.__package_name }}.events.delivery import (
    Delivery,
    ObservedSend,
)
from {{ cookiecutter.__package_name }}.events.stream import EventStreamResponse
from {{ cookiecutter.__package_name }}.events.subscription import Subscription
from {{ cookiecutter.__package_name }}.events.wire import HEARTBEAT, Event
from {{ cookiecutter.__package_name }}.streaming import Streams
from {{ cookiecutter.__package_name }}.streaming import response as response_module

from ..streaming.conftest import Endings
from ..streaming.conftest import endings as endings

pytestmark = pytest.mark.anyio

LIMITS: dict[str, Any] = {
    "send_timeout": 30,
    "max_seconds": 0,
    "max_per_client": 100,
    "grace": 10,
}
HEARTBEAT_SECONDS = 15


async def settle() -> None:
    """Let everything happen that does not wait for a client or for time to pass."""
    for _ in range(30):
        await asyncio.sleep(0)


class Clock:
    """The time of the event loop, which stands still until it is told to go on."""

    def __init__(self, now: float) -> None:
        self.now = now

    async def go_on(self, seconds: float) -> None:
        self.now += seconds
        await settle()


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the event loop, under control."""
    loop = asyncio.get_running_loop()
    clock = Clock(loop.time())
    monkeypatch.setattr(loop, "time", lambda: clock.now)
    return clock


class Client:
    """One stream of events as a server sees it: its client takes them, lets them wait, or leaves.

    With `always_waits` the server is one whose `send` never returns at once, and needs a task.
    """

    def __init__(
        self,
        service: "Service",
        topics: Sequence[str],
        replay: Sequence[Event] = (),
        *,
        always_waits: bool = False,
    ) -> None:
        self.chunks: list[bytes] = []
        """What was taken, but for the start."""
        self.contexts: list[str] = []
        """In whose context sending each of the chunks was begun and done."""
        self.waiting = 0
        """How many sends wait."""
        self.failure: BaseException | None = None
        """What the next send raises."""
        self.on_send: Callable[[], object] = bool
        """Called for each chunk."""
        self.last_chunk_waits = False
        self.fails_at_once = False
        self._always_waits = always_waits
        self._taking = asyncio.Event()
        self._taking.set()
        self._left = asyncio.Event()
        service.replay = replay
        state = SimpleNamespace(streams=service.streams)
        scope = {"method": "GET", "app": SimpleNamespace(state=state), "client": ("192.0.2.1", 1)}
        response = EventStreamResponse(cast(Broker, service), service.delivery, topics, None)
        self.response = asyncio.create_task(response(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    def _send(self, message: Message) -> Coroutine[Any, Any, None]:
        if self.fails_at_once:
            raise RuntimeError("no coroutine")
        if message["type"] == "http.response.body":
            self.contexts.append(who.get())
        return self._sent(message)

    async def _sent(self, message: Message) -> None:
        if self._always_waits:
            async with asyncio.timeout(None):
                await asyncio.sleep(0)
        if self.last_chunk_waits and not message.get("more_body", True):
            self.stall()
        if not self._taking.is_set():
            self.waiting += 1
            try:
                await self._taking.wait()
            finally:
                self.waiting -= 1
        failure, self.failure = self.failure, None
        if failure:
            raise failure
        self.on_send()
        if message["type"] == "http.response.body" and not self._left.is_set():
            self.contexts.append(who.get())
            self.chunks.append(message["body"])
            if not message.get("more_body"):
                self._left.set()

    def stall(self) -> None:
        """Take nothing from now on."""
        self._taking.clear()

    def take(self) -> None:
        """Take what there is again."""
        self._taking.set()

    def leave(self) -> None:
        """Close the connection."""
        self._left.set()

    async def ended(self) -> None:
        """Fail unless the stream has ended; raises what its server would be told."""
        await settle()
        assert self.response.done()
        self.response.result()

    @property
    def numbers(self) -> list[int]:
        """The data of the events that were taken."""
        lines = b"".join(self.chunks).decode().splitlines()
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        return [int(datum.rpartition(":")[2].rstrip("}")) for datum in data[1:]]


class Service:
    """Streams of events, and a broker that does as it is told at once."""

    def __init__(self, *, buffer: int = 1000, **limits: float) -> None:
        self.delivery = Delivery(HEARTBEAT_SECONDS)
        self.streams = Streams(**LIMITS | limits)
        self.replay: Sequence[Event] = ()
        self.subscriptions: list[tuple[Sequence[str], Subscription]] = []
        self._buffer = buffer
        self._clients: list[Client] = []
        self._published = 0

    @asynccontextmanager
    async def subscribe(
        self, topics: Sequence[str], last_event_id: str | None
    ) -> AsyncIterator[Subscription]:
        """Implement `Broker.subscribe`."""
        subscription = Subscription(topics, self._buffer)
        subscription.start(
            list(self.replay), newest="", finished=(), reset=False, position=last_event_id
        )
        self.subscriptions.append((topics, subscription))
        try:
            yield subscription
        finally:
            self.subscriptions.remove((topics, subscription))

    def event(self, number: int, topic: str = "a") -> Event:
        return Event(f"{number:03}", topic, b"%d" % number)

    def publish(self, *numbers: int, topic: str = "a", last: bool = False) -> None:
        for number in numbers:
            for topics, subscription in self.subscriptions:
                if topic in topics:
                    subscription.push(self.event(number, topic), last=last)

    def connect(
        self, *topics: str, replay: Sequence[Event] = (), always_waits: bool = False
    ) -> Client:
        """Open a stream; it is under way after the next `settle`."""
        client = Client(self, topics or ("a",), replay, always_waits=always_waits)
        self._clients.append(client)
        return client

    async def connected(self, *topics: str, always_waits: bool = False) -> Client:
        """Open a stream, and wait until it is under way."""
        client = self.connect(*topics, always_waits=always_waits)
        await settle()
        return client

    async def close(self) -> None:
        """Have all clients leave."""
        for client in self._clients:
            client.take()
            client.leave()
        await settle()
        assert all(client.response.done() for client in self._clients)


@pytest.fixture
async def make_service() -> AsyncIterator[Callable[..., Service]]:
    """A maker of services, whose clients leave at the end of the test."""
    services: list[Service] = []

    def make(**limits: Any) -> Service:
        services.append(Service(**limits))
        return services[-1]

    yield make
    for service in services:
        await service.close()


@pytest.fixture
async def service(make_service: Callable[..., Service]) -> Service:
    """A service that nobody is connected to."""
    return make_service()


who = ContextVar("who", default="nobody")

STEPS = (
    ["turn"] * 3 + ["a", "b"] * 3 + [(act, who) for act in ("stall", "take") for who in range(3)]
)


@given(steps=st.lists(st.sampled_from(STEPS), max_size=60))
@configured(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_event_arrives_once_and_in_order_however_its_client_takes_them(
    monkeypatch: pytest.MonkeyPatch, steps: list[str | tuple[str, int]]
) -> None:
    monkeypatch.setattr(module, "SLICE", 2)
    monkeypatch.setattr(wire, "LARGEST_CHUNK", 60)
    service = Service()
    followed = ["a", "ab", "a", "b"]
    clients = [service.connect(*topics) for topics in followed]
    await settle()
    published: dict[str, list[int]] = {"a": [], "b": []}

    for number, step in enumerate(steps):
        match step:
            case "a" | "b":
                service.publish(number, topic=step)
                published[step].append(number)
            case ("stall", int(index)):
                clients[index].stall()
            case ("take", int(index)):
                clients[index].take()
            case _:
                await asyncio.sleep(0)
    for client in clients:
        client.take()
    await settle()

    for client, topics in zip(clients, followed, strict=True):
        assert client.numbers == sorted(number for topic in topics for number in published[topic])
    await service.close()


async def test_a_client_that_lags_has_one_send_waiting_and_holds_up_nobody(
    service: Service,
) -> None:
    slow, fast = await service.connected(), await service.connected()
    tasks = len(asyncio.all_tasks())

    slow.stall()
    for number in range(5):
        service.publish(number)
        await settle()
        assert fast.numbers == [*range(number + 1)]

    assert (slow.waiting, slow.numbers) == (1, [])
    assert len(asyncio.all_tasks()) == tasks + 1
    slow.take()
    await settle()
    assert slow.numbers == [*range(5)]
    assert len(slow.chunks) == 3, "what waited did not leave in one piece"
    assert len(asyncio.all_tasks()) == tasks


async def test_events_need_no_task_while_the_client_takes_them(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await service.connected()
    tasks: list[object] = []
    client.on_send = lambda: tasks.append(asyncio.current_task())

    service.publish(1)
    await settle()

    assert (client.numbers, tasks) == ([1], [None])


@pytest.mark.parametrize("always_waits", [False, True], ids=["driven", "plain"])
async def test_what_is_replayed_comes_before_what_happens_meanwhile(
    service: Service, always_waits: bool
) -> None:
    client = service.connect(replay=[service.event(1), service.event(2)], always_waits=always_waits)
    await asyncio.sleep(0)
    assert service.subscriptions

    service.publish(3)
    await settle()

    assert client.numbers == [1, 2, 3]


@pytest.mark.parametrize("always_waits", [False, True], ids=["driven", "plain"])
async def test_a_broker_that_fails_ends_a_stream_that_waits_for_events(
    service: Service, endings: Endings, always_waits: bool
) -> None:
    client = await service.connected(always_waits=always_waits)
    _, subscription = service.subscriptions[0]

    subscription.fail(ConnectionError("the broker is gone"))
    await client.ended()

    assert "reason=error" in endings.only
    assert b"event: stream-error\n" in client.chunks[-1]


async def test_a_client_that_takes_nothing_for_too_long_loses_its_connection(
    service: Service, clock: Clock, endings: Endings, monkeypatch: pytest.MonkeyPatch
) -> None:
    aborted: list[object] = []

    def abort(receive: object) -> bool:
        aborted.append(receive)
        return True

    monkeypatch.setattr(response_module, "abort_connection", abort)
    client, other = await service.connected(), await service.connected()

    client.stall()
    service.publish(1)
    await settle()
    await clock.go_on(LIMITS["send_timeout"] - 1)
    assert not endings.records
    await clock.go_on(1)

    assert "reason=slow-reader" in endings.only
    assert len(aborted) == 1
    client.leave()
    await client.ended()
    service.publish(2)
    await settle()
    assert (client.numbers, other.numbers) == ([], [1, 2])


async def test_a_client_that_lags_too_far_behind_gets_what_waited_and_is_cut_off(
    make_service: Callable[..., Service], endings: Endings
) -> None:
    service = make_service(buffer=3)
    client = await service.connected()

    client.stall()
    for number in range(6):
        service.publish(number)
        await settle()
    assert not endings.records
    client.take()

    with pytest.raises(response_module.StreamAborted):
        await client.ended()
    assert client.numbers == [0, 1, 2, 3]
    assert "reason=slow-reader" in endings.only


async def end_by_leaving(client: Client, service: Service, clock: Clock) -> None:
    client.leave()


async def end_by_shutdown(client: Client, service: Service, clock: Clock) -> None:
    service.streams.drain()


async def end_by_time(client: Client, service: Service, clock: Clock) -> None:
    await clock.go_on(20)


@pytest.mark.parametrize("always_waits", [False, True], ids=["driven", "plain"])
@pytest.mark.parametrize(
    ("end", "reason", "says_goodbye"),
    [
        pytest.param(end_by_leaving, "client-disconnect", False, id="leaving"),
        pytest.param(end_by_shutdown, "shutdown", True, id="shutdown"),
        pytest.param(end_by_time, "timeout", True, id="time"),
    ],
)
async def test_a_stream_that_ends_while_a_send_waits_sends_nothing_more_of_it(
    make_service: Callable[..., Service],
    clock: Clock,
    endings: Endings,
    end: Callable[[Client, Service, Clock], Awaitable[None]],
    reason: str,
    says_goodbye: bool,
    always_waits: bool,
) -> None:
    service = make_service(max_seconds=20)
    tasks = asyncio.all_tasks()
    client = await service.connected(always_waits=always_waits)
    client.stall()
    service.publish(1)
    await settle()
    assert client.waiting == 1

    await end(client, service, clock)
    await settle()

    assert f"reason={reason}" in endings.only
    assert not service.subscriptions
    client.take()
    await client.ended()
    assert asyncio.all_tasks() == tasks
    assert client.numbers == []
    ready, *goodbye = client.chunks
    assert ready.startswith(b"retry: 2000\nevent: ready\n")
    assert [chunk.partition(b" ")[0] for chunk in goodbye] == [b"retry:"] * says_goodbye


async def test_a_send_that_is_cancelled_before_its_task_ran_is_not_sent(service: Service) -> None:
    client = await service.connected()

    client.stall()
    service.publish(1)
    client.leave()
    await client.ended()

    assert client.waiting == 0
    assert not service.subscriptions


async def test_streams_at_the_same_place_share_their_bytes(service: Service) -> None:
    clients = [await service.connected(*topics) for topics in ["a", "a", "a", "ab", "ab"]]
    clients[1].stall()
    clients[2].stall()

    service.publish(1, 2)
    await settle()
    clients[1].take()
    clients[2].take()
    await settle()

    alone, tagged = clients[0].chunks[-1], clients[3].chunks[-1]
    assert all(client.chunks[-1] is alone for client in clients[1:3])
    assert clients[4].chunks[-1] is tagged
    assert tagged != alone


@pytest.mark.parametrize("always_waits", [False, True], ids=["driven", "plain"])
async def test_no_bytes_are_kept_once_they_are_sent(service: Service, always_waits: bool) -> None:
    clients = [await service.connected(always_waits=always_waits) for _ in range(2)]

    service.publish(1)
    await settle()

    assert clients[0].chunks[-1] is clients[1].chunks[-1]
    assert not service.delivery._joined


async def test_streams_that_lost_different_events_in_between_are_not_taken_for_the_same(
    service: Service,
) -> None:
    topics = ("a", "b")
    whole = [service.event(number, topic) for number, topic in enumerate("abbb")]

    chunks = [service.delivery.chunks(topics, events) for events in (whole, [whole[0], whole[3]])]

    assert [chunk.items for (chunk,) in chunks] == [4, 2]


async def test_everything_else_has_a_turn_between_two_slices_of_streams(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE", 2)
    clients = [await service.connected() for _ in range(5)]
    happened: list[int | str] = []
    for index, client in enumerate(clients):
        client.on_send = lambda index=index: happened.append(index)  # type: ignore[misc]

    def publish_the_other() -> None:
        happened.append("turn")
        service.publish(2)

    service.publish(1)
    asyncio.get_running_loop().call_soon(publish_the_other)
    await settle()

    assert happened == [0, 1, "turn", 2, 3, 4, 0, 1]
    assert all(client.numbers == [1, 2] for client in clients)


@pytest.mark.parametrize("always_waits", [False, True], ids=["driven", "plain"])
async def test_a_stream_is_never_silent_for_longer_than_the_heartbeat(
    service: Service, clock: Clock, always_waits: bool
) -> None:
    client = service.connect(always_waits=always_waits)
    start = clock.now
    sent_at: list[float] = []
    client.on_send = lambda: sent_at.append(clock.now - start)
    await settle()

    for second in range(100):
        if 40 <= second <= 70 and second % 7 == 0:
            service.publish(second)
            await settle()
        await clock.go_on(0.5)
        await clock.go_on(0.5)

    assert all(later - earlier <= HEARTBEAT_SECONDS for earlier, later in pairwise(sent_at))
    assert 100 - sent_at[-1] <= HEARTBEAT_SECONDS
    assert client.numbers == [42, 49, 56, 63, 70]
    kinds = "".join("h" if chunk == HEARTBEAT else "e" for chunk in client.chunks)
    assert "eeeee" in kinds, "there was a heartbeat while events flowed"
    assert 2 <= kinds.index("eeeee", 1) - 1 <= 5
    assert 1 <= len(kinds) - len(kinds.rstrip("h")) <= 4


async def test_no_timer_is_left_when_the_last_stream_ended(
    service: Service, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[float] = []
    monkeypatch.setattr(service.delivery, "_beat", lambda: beats.append(clock.now))
    first, last = await service.connected(), await service.connected()

    first.leave()
    await first.ended()
    last.leave()
    await last.ended()
    await clock.go_on(10 * HEARTBEAT_SECONDS)
    assert not beats
    await service.connected()
    await clock.go_on(HEARTBEAT_SECONDS)

    assert len(beats) == 1


@pytest.mark.parametrize("waits", [False, True], ids=["at-once", "after-waiting"])
@pytest.mark.parametrize("failure", [OSError("broken"), RuntimeError("broken")], ids=repr)
async def test_a_send_that_fails_ends_its_stream_only(
    service: Service, endings: Endings, failure: Exception, waits: bool
) -> None:
    broken, other = await service.connected(), await service.connected()

    if waits:
        broken.stall()
    broken.failure = failure
    service.publish(1)
    await settle()
    broken.take()
    await broken.ended()
    service.publish(2)
    await settle()

    assert "reason=error" in endings.only
    assert [record.exc_info and record.exc_info[1] for record in endings.records] == [failure]
    assert endings.records[0].levelno == logging.ERROR
    assert b"event: stream-error\n" in broken.chunks[-1]
    assert len(broken.chunks) == 2
    assert other.numbers == [1, 2]


@pytest.mark.parametrize("waits", [False, True], ids=["at-once", "after-waiting"])
async def test_a_send_that_is_cancelled_from_elsewhere_ends_its_stream_only(
    service: Service, endings: Endings, waits: bool
) -> None:
    cancelled, other = await service.connected(), await service.connected()

    if waits:
        cancelled.stall()
    cancelled.failure = asyncio.CancelledError()
    service.publish(1)
    await settle()
    cancelled.take()
    await cancelled.ended()
    service.publish(2)
    await settle()

    assert "reason=error" in endings.only
    assert b"event: stream-error\n" in cancelled.chunks[-1]
    assert other.numbers == [1, 2]


async def test_a_send_that_fails_before_it_can_be_awaited_ends_its_stream_only(
    service: Service, endings: Endings
) -> None:
    broken, other = await service.connected(), await service.connected()

    broken.fails_at_once = True
    service.publish(1)
    await settle()

    with pytest.raises(RuntimeError, match="no coroutine"):
        await broken.ended()
    assert "reason=error" in endings.only
    assert other.numbers == [1]


@pytest.mark.parametrize("waits", ["never", "before the last event", "after the last event"])
async def test_the_last_event_completes_the_stream(
    service: Service, endings: Endings, waits: str
) -> None:
    client = await service.connected()

    service.publish(1)
    await settle()
    if waits == "before the last event":
        client.stall()
    client.last_chunk_waits = waits == "after the last event"
    service.publish(2, last=True)
    await settle()
    assert client.waiting == (waits != "never")
    client.last_chunk_waits = False
    client.take()
    await client.ended()

    assert client.numbers == [1, 2]
    assert client.chunks[-1] == b""
    size = sum(map(len, client.chunks))
    assert endings.only == f"stream ended route=- events=2 bytes={size} reason=complete"


async def test_a_send_runs_in_the_context_of_its_stream(service: Service) -> None:
    contexts = [copy_context() for _ in range(2)]
    for context, name in zip(contexts, ("first", "second"), strict=True):
        context.run(who.set, name)
    first, second = (context.run(service.connect) for context in contexts)
    await settle()
    second.stall()

    publisher = copy_context()
    publisher.run(who.set, "publisher")
    publisher.run(service.publish, 1)
    await settle()
    second.take()
    await settle()

    assert first.numbers == second.numbers == [1]
    assert first.contexts == ["first"] * 4
    assert second.contexts == ["second"] * 4


async def test_a_send_that_only_returns_an_awaitable_is_awaited() -> None:
    sent: list[Message] = []

    def send(message: Message) -> asyncio.Future[None]:
        sent.append(message)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(done.set_result, None)
        return done

    observed = ObservedSend(send)
    await observed({"type": "test"})

    assert sent == [{"type": "test"}]
    assert observed.waited


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_a_send_is_known_to_wait_or_not(turns: int) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        sent.append(message)

    observed = ObservedSend(send)
    await observed({"type": "test"})

    assert sent == [{"type": "test"}]
    assert observed.waited is bool(turns)


async def test_a_send_may_handle_what_it_waited_for_failing() -> None:
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        try:
            await gone
        except ConnectionError:
            sent.append(message)

    asyncio.get_running_loop().call_soon(gone.set_exception, ConnectionError())
    await ObservedSend(send)({"type": "test"})

    assert sent == [{"type": "test"}]
