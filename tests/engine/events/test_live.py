"""Event streams of a real server: how they start, stall, fail and end."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from itertools import islice

import pytest
from fastapi import FastAPI, Request, Response
from httpx2 import Client, HTTPTransport, ServerSentEvent, TransportError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streaming_api.settings import Settings
from streaming_api.streaming.events.routes import BrokerDep, get_broker
from streaming_api.streaming.events.subscription import Subscription

from ..variant import REDIS, REQUEST_ID
from .subscriptions import subscribe


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Low limits, and one that ends a stream without the expected event."""
    limits = {"heartbeat_seconds": 0.05, "subscriber_buffer": 8, "max_stream_seconds": 20}
    return settings.model_copy(update=limits)


class WaitingMiddleware:
    """Makes each `send` wait, and need a task."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_later(message: Message) -> None:
            async with asyncio.timeout(30):
                await asyncio.sleep(0)
            await send(message)

        await self.app(scope, receive, send_later)


async def call(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    return await call_next(request)


@pytest.fixture(params=["at-once", "later"])
def app(request: pytest.FixtureRequest, app: FastAPI) -> FastAPI:
    """The application, on a server whose `send` completes in one step or waits."""
    match request.param:
        case "later":
            app.add_middleware(WaitingMiddleware)
        case "http-middleware":
            app.middleware("http")(call)
    return app


@pytest.fixture
def http(server: str) -> Iterator[Client]:
    """A client with a long timeout."""
    with Client(base_url=server, timeout=30) as http:
        yield http


def publish(http: Client, data: object) -> str:
    id: str = http.post("/events/test", json={"data": data}).raise_for_status().json()["id"]
    return id


def test_first_bytes_are_sent_at_once(http: Client) -> None:
    with http.stream("GET", "/events/test") as response:
        lines = list(islice(response.iter_lines(), 3))

    assert lines == ["retry: 2000", "event: ready", 'data: {"topics":["test"]}']


def test_idle_stream_has_heartbeats(http: Client) -> None:
    with http.stream("GET", "/events/test") as response:
        heartbeats = (line for line in response.iter_lines() if line.startswith(":"))

        assert list(islice(heartbeats, 3)) == [": heartbeat"] * 3


def test_published_event_is_sent_at_once(http: Client) -> None:
    with http.sse("/events/test") as source:
        stream = iter(source)
        next(stream)

        for number in range(3):
            id = publish(http, number)
            assert next(stream) == ServerSentEvent("message", str(number), id)


def test_burst_of_a_route_reaches_fast_stream(app: FastAPI, http: Client) -> None:
    async def publish_many(broker: BrokerDep) -> None:
        for number in range(3000):
            await broker.publish("test", number)

    app.add_api_route("/burst", publish_many, methods=["POST"])
    received: list[object] = []

    with http.sse("/events/test") as source:
        stream = iter(source)
        next(stream)
        with ThreadPoolExecutor() as executor:
            burst = executor.submit(http.post, "/burst")
            while len(received) < 3000:
                received.append(next(stream).json())
            assert burst.result().status_code == 200

    assert received == [*range(3000)]


def test_reconnecting_client_loses_no_event(http: Client) -> None:
    seen: list[object] = []
    last_event_id = ""

    for round in range(8):
        if round:
            publish(http, 3 * round)
        with http.sse("/events/test", headers={"Last-Event-ID": last_event_id}) as source:
            stream = iter(source)
            assert next(stream).event == "ready"
            for number in range(3 * round + bool(round), 3 * round + 3):
                publish(http, number)
            for event in islice(stream, 2):
                seen.append(event.json())
                last_event_id = event.id
    with http.sse("/events/test", headers={"Last-Event-ID": last_event_id}) as source:
        seen += [event.json() for event in islice(source, 1, 9)]

    assert seen == [*range(24)]


def test_client_without_event_resumes_by_ready(http: Client) -> None:
    publish(http, "before")
    with http.sse("/events/test") as source:
        ready = next(iter(source))
    publish(http, "between")

    with http.sse("/events/test", headers={"Last-Event-ID": ready.id}) as source:
        events = list(islice(source, 2))

    assert [event.event for event in events] == ["ready", "message"]
    assert events[1].json() == "between"


def test_slow_reader_is_disconnected_and_resumes_without_loss(
    http: Client, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    small_window = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)]
    transport = HTTPTransport(socket_options=small_window)
    seen: list[ServerSentEvent] = []
    with Client(base_url=server, timeout=30, transport=transport) as slow_http, ExitStack() as both:
        slow = iter(both.enter_context(slow_http.sse("/events/test", max_event_size=None)))
        fast = iter(both.enter_context(http.sse("/events/test", max_event_size=None)))
        seen.append(next(slow))
        next(fast)

        for number in range(100):
            publish(http, [number, "x" * 100_000])
            assert next(fast).data.startswith(f"[{number},")
        with pytest.raises(TransportError):
            seen += slow

    assert "reason=slow-reader" in caplog.text
    with http.sse("/events/test", headers={"Last-Event-ID": seen[-1].id}) as source:
        seen += islice(source, 1, 102 - len(seen))
    assert [event.data.partition(",")[0] for event in seen[1:]] == [f"[{n}" for n in range(100)]


class FailingBroker:
    """A broker that fails once a stream has started."""

    async def is_over(self, *_: object) -> bool:
        return False

    @asynccontextmanager
    async def subscribe(self, topics: Sequence[str], _: object) -> AsyncIterator[Subscription]:
        subscription = subscribe(topics)
        subscription.fail(ConnectionError("the broker is gone"))
        yield subscription


def test_failure_of_started_stream_is_an_event(
    app: FastAPI, http: Client, caplog: pytest.LogCaptureFixture
) -> None:
    app.dependency_overrides[get_broker] = FailingBroker

    with http.sse("/events/test") as source:
        ready, error = source

    assert (ready.event, error.event) == ("ready", "stream-error")
    problem = {"title": "The stream failed."}
    if REQUEST_ID:
        problem["request_id"] = source.response.headers["x-request-id"]
        logged = [vars(each)["request_id"] for each in caplog.records if each.exc_info]
        assert problem["request_id"] in logged
    assert error.json() == problem
    assert "ConnectionError: the broker is gone" in caplog.text
    assert "reason=error" in caplog.text


def test_streams_of_one_client_are_limited(http: Client, settings: Settings) -> None:
    with ExitStack() as streams:
        for _ in range(settings.max_streams_per_client):
            stream = streams.enter_context(http.stream("GET", "/events/test"))
            assert stream.status_code == 200
        response = http.get("/events/test")

    assert response.status_code == 429
    assert response.headers["retry-after"] == "5"
    assert response.headers["content-type"] == "application/problem+json"


def test_shutdown_sends_the_reconnection_time(app: FastAPI, http: Client) -> None:
    async def drain() -> None:
        app.state.streams.drain()

    app.add_api_route("/drain", drain, methods=["POST"])

    with http.stream("GET", "/events/test") as response:
        lines = response.iter_lines()
        next(lines)
        http.post("/drain")
        *_, retry, blank = lines

    milliseconds = int(retry.removeprefix("retry: "))
    assert 1000 <= milliseconds < 5000
    assert blank == ""
    rejected = http.get("/events/test")
    assert rejected.status_code == 503
    assert rejected.headers["retry-after"] == "1"


def test_finished_run_is_streamed_once(http: Client) -> None:
    run = http.post("/runs", json={"steps": 2, "interval": 0.01}).json()
    path = f"/events/{run['topic']}?last_event_id=earliest"

    with http.sse(path) as source:
        events = list(source)
    again = http.get(path, headers={"Last-Event-ID": events[-1].id})

    assert [event.event for event in events] == ["ready", "message", "message", "done"]
    assert again.status_code == 204


@pytest.mark.parametrize("app", ["http-middleware"], indirect=True)
def test_run_is_streamed_through_http_middleware(http: Client) -> None:
    headers = {"Accept": "text/event-stream"}

    with http.stream("POST", "/runs", json={"steps": 3, "interval": 0.1}, headers=headers) as run:
        names = [line for line in run.iter_lines() if line.startswith("event:")]
        assert run.status_code == 200

    assert names == ["event: ready", "event: done"]


def test_run_goes_on_when_its_client_leaves(http: Client) -> None:
    headers = {"Accept": "text/event-stream"}
    with http.stream("POST", "/runs", json={"steps": 5, "interval": 0.1}, headers=headers) as run:
        next(line for line in run.iter_lines() if line.startswith("id:"))
        location = run.headers["location"]

    topic = http.get(location).json()["topic"]
    with http.sse(f"/events/{topic}?last_event_id=earliest") as source:
        events = list(source)

    assert [event.event for event in events] == ["ready", *["message"] * 5, "done"]
    assert http.get(location).json()["status"] == "done"


@pytest.mark.skipif(REDIS, reason="its clients reconnect to another process")
@pytest.mark.parametrize(
    ("seconds", "last"), [(0.3, "done"), (3600, "stream-error")], ids=["ends", "is-cut"]
)
def test_shutdown_keeps_followers_until_a_run_ends(
    app: FastAPI, http: Client, seconds: float, last: str
) -> None:
    async def drain() -> None:
        app.state.streams.grace = 1.0
        app.state.streams.drain()

    app.add_api_route("/drain", drain, methods=["POST"])
    run = http.post("/runs", json={"steps": 2, "interval": seconds}).json()

    with http.sse(f"/events/{run['topic']}?last_event_id=earliest") as source:
        events = iter(source)
        assert next(events).event == "ready"
        http.post("/drain")
        *_, end = events

    assert end.event == last
