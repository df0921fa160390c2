"""Streams of events from a real server: how they begin, stall, break and end."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from itertools import islice

import pytest
from fastapi import FastAPI, Request, Response
from httpx2 import Client, HTTPTransport, ServerSentEvent, TransportError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from {{ cookiecutter.__package_name }}.events.routes import broker_of
from {{ cookiecutter.__package_name }}.events.subscription import Subscription
from {{ cookiecutter.__package_name }}.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Limits that tests reach, and one that ends a stream which a test would wait for in vain."""
    limits = {"heartbeat_seconds": 0.05, "subscriber_buffer": 8, "max_stream_seconds": 20}
    return settings.model_copy(update=limits)


class WaitingMiddleware:
    """Makes every send wait and need a task, so that streams are served the plain way."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_later(message: Message) -> None:
            async with asyncio.timeout(30):
                await asyncio.sleep(0)
            await send(message)

        await self.app(scope, receive, send_later)


async def pass_on(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    return await call_next(request)


@pytest.fixture(params=["driven", "plain"])
def app(request: pytest.FixtureRequest, app: FastAPI) -> FastAPI:
    """An application whose streams are served in either way."""
    match request.param:
        case "plain":
            app.add_middleware(WaitingMiddleware)
        case "http-middleware":
            app.middleware("http")(pass_on)
    return app


@pytest.fixture
def http(server: str) -> Iterator[Client]:
    """A client that waits for longer than any event takes."""
    with Client(base_url=server, timeout=30) as http:
        yield http


def publish(http: Client, data: object) -> str:
    id: str = http.post("/events/test", json={"data": data}).raise_for_status().json()["id"]
    return id


def test_the_first_bytes_leave_at_once(http: Client) -> None:
    with http.stream("GET", "/events/test") as response:
        lines = list(islice(response.iter_lines(), 3))

    assert lines == ["retry: 2000", "event: ready", 'data: {"topics":["test"]}']


def test_an_idle_stream_has_a_heartbeat(http: Client) -> None:
    with http.stream("GET", "/events/test") as response:
        heartbeats = (line for line in response.iter_lines() if line.startswith(":"))

        assert list(islice(heartbeats, 3)) == [": heartbeat"] * 3


def test_a_published_event_arrives_at_once(http: Client) -> None:
    with http.sse("/events/test") as source:
        stream = iter(source)
        next(stream)

        for number in range(3):
            id = publish(http, number)
            assert next(stream) == ServerSentEvent("message", str(number), id)


def test_reconnecting_with_last_event_id_loses_nothing(http: Client) -> None:
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


def test_a_client_that_is_cut_off_before_its_first_event_resumes_by_ready(http: Client) -> None:
    publish(http, "before")
    with http.sse("/events/test") as source:
        ready = next(iter(source))
    publish(http, "between")

    with http.sse("/events/test", headers={"Last-Event-ID": ready.id}) as source:
        events = list(islice(source, 2))

    assert [event.event for event in events] == ["ready", "message"]
    assert events[1].json() == "between"


def test_a_slow_reader_is_cut_off_and_catches_up_while_others_get_everything(
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


class BrokenBroker:
    """A broker that fails once a stream is under way."""

    async def is_over(self, *_: object) -> bool:
        return False

    @asynccontextmanager
    async def subscribe(self, topics: Sequence[str], _: object) -> AsyncIterator[Subscription]:
        subscription = Subscription(topics, buffer=1)
        subscription.fail(ConnectionError("the broker is gone"))
        yield subscription


def test_a_failure_inside_of_a_stream_is_an_event(
    app: FastAPI, http: Client, caplog: pytest.LogCaptureFixture
) -> None:
    app.dependency_overrides[broker_of] = BrokenBroker

    with http.sse("/events/test") as source:
        ready, error = source

    assert (ready.event, error.event) == ("ready", "stream-error")
#{% if cookiecutter.request_id %}
    request_id = source.response.headers["x-request-id"]
    assert error.json() == {"title": "The stream failed.", "request_id": request_id}
    assert request_id in caplog.text
#{% else %}
    assert error.json() == {"title": "The stream failed."}
#{% endif %}
    assert "ConnectionError: the broker is gone" in caplog.text
    assert "reason=error" in caplog.text


def test_one_client_has_a_limited_number_of_streams(http: Client, settings: Settings) -> None:
    with ExitStack() as streams:
        for _ in range(settings.max_streams_per_client):
            stream = streams.enter_context(http.stream("GET", "/events/test"))
            assert stream.status_code == 200
        response = http.get("/events/test")

    assert response.status_code == 429
    assert response.headers["retry-after"] == "5"
    assert response.headers["content-type"] == "application/problem+json"


def test_a_server_that_stops_says_when_to_come_back(app: FastAPI, http: Client) -> None:
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
    refused = http.get("/events/test")
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"


def test_a_job_is_followed_to_its_end_and_not_again(http: Client) -> None:
    location = http.post("/jobs", json={"steps": 2, "interval": 0.01}).headers["location"]

    with http.sse(location) as source:
        events = list(source)
    again = http.get(location, headers={"Last-Event-ID": events[-1].id})

    assert [event.event for event in events] == ["ready", "message", "message", "done"]
    assert again.status_code == 204


@pytest.mark.parametrize("app", ["http-middleware"], indirect=True)
def test_a_job_is_followed_through_middleware_whose_send_always_waits(http: Client) -> None:
    location = http.post("/jobs", json={"steps": 3, "interval": 0.1}).headers["location"]

    with http.sse(location) as source:
        events = list(source)

    assert [event.event for event in events] == ["ready", *["message"] * 3, "done"]
