"""Event streams: publishing, receiving, resuming, and their ends."""

#{% if cookiecutter.__uses.redis %}
import asyncio
#{% endif %}
import json
from collections.abc import Callable
from itertools import islice

import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request
from fastapi.testclient import TestClient
from httpx2 import ServerSentEvent

from {{ cookiecutter.__package_name }} import events
#{% if cookiecutter.__uses.redis %}
from {{ cookiecutter.__package_name }}.settings import load_settings
from {{ cookiecutter.__package_name }}.streaming import BrokerDep, open_broker
#{% else %}
from {{ cookiecutter.__package_name }}.streaming import BrokerDep
#{% endif %}

PROBLEM = "application/problem+json"


@pytest.fixture
def finish(app: FastAPI, client: TestClient) -> Callable[[str], None]:
    """A function that publishes the last event of a topic, as a run does."""

    def finish(topic: str) -> None:
        assert client.portal
        client.portal.call(app.state.broker.finish, topic, {"done": True})

    return finish


def publish(client: TestClient, topic: str, data: object, event: str | None = None) -> str:
    """Publish an event; return its id."""
    response = client.post(f"/events/{topic}", json={"data": data, "event": event})
    assert response.status_code == 201
    id: str = response.json()["id"]
    return id


def read(client: TestClient, path: str, last_event_id: str = "") -> list[ServerSentEvent]:
    """Return all events of a stream that ends, after `ready`."""
    with client.sse(path, headers={"Last-Event-ID": last_event_id}) as source:
        ready, *received = source
    assert ready.event == "ready"
    return received


def test_stream_starts_with_retry_and_ready(client: TestClient) -> None:
    with client.stream("GET", "/events/news") as response:
        lines = list(islice(response.iter_lines(), 3))

    assert lines == ["retry: 2000", "event: ready", 'data: {"topics":["news"]}']


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_stream_is_neither_cached_nor_buffered(client: TestClient, method: str) -> None:
    with client.stream(method, "/events/news") as response:
        headers = response.headers

    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["incremental"] == "?1"


def test_published_event_is_received(client: TestClient) -> None:
    with client.sse("/events/news") as source:
        stream = iter(source)
        next(stream)
        id = publish(client, "news", {"n": 1}, "tick")

        assert next(stream) == ServerSentEvent("tick", '{"n":1}', id)


def test_event_without_name_is_a_message(client: TestClient, finish: Callable[[str], None]) -> None:
    id = publish(client, "news", "ä\n")
    finish("news")

    message, _ = read(client, "/events/news")

    assert message == ServerSentEvent("message", '"ä\\n"', id)


def test_routes_and_tasks_publish(app: FastAPI, client: TestClient) -> None:
    @app.post("/orders/1")
    async def place(broker: BrokerDep) -> str:
        return await broker.publish("orders", {"order": 1}, "placed")

    @app.post("/orders/2")
    def place_in_thread(broker: BrokerDep) -> str:
        return broker.publish_from_thread("orders", {"order": 2}, "placed")

    @app.post("/orders/3")
    async def place_later(broker: BrokerDep, tasks: BackgroundTasks) -> None:
        tasks.add_task(broker.publish, "orders", {"order": 3}, "placed")

    @app.post("/orders/4")
    def place_in_thread_later(broker: BrokerDep, tasks: BackgroundTasks) -> None:
        tasks.add_task(broker.publish_from_thread, "orders", {"order": 4}, "placed")

    with client.sse("/events/orders") as source:
        stream = iter(source)
        next(stream)
        for number in range(1, 5):
            client.post(f"/orders/{number}").raise_for_status()

            event = next(stream)
            assert (event.event, event.json()) == ("placed", {"order": number})


def test_lines_are_published_together(client: TestClient, finish: Callable[[str], None]) -> None:
    body = '{"data": 1}\n{"data": 2, "event": "tick"}\n'

    response = client.post(
        "/events/news", content=body, headers={"Content-Type": "application/x-ndjson"}
    )

    assert response.status_code == 201
    ids = [json.loads(line)["id"] for line in response.text.splitlines()]
    finish("news")
    *received, _ = read(client, "/events/news")
    assert received == [
        ServerSentEvent("message", "1", ids[0]),
        ServerSentEvent("tick", "2", ids[1]),
    ]


def test_invalid_line_is_named(client: TestClient) -> None:
    response = client.post(
        "/events/news",
        content='{"data": 1}\n{"n": 2}\n',
        headers={"Content-Type": "application/x-ndjson"},
    )

    assert response.status_code == 422
    assert response.headers["content-type"] == PROBLEM
    assert "line 2" in response.json()["detail"]


@pytest.mark.parametrize("settings", [{"heartbeat_seconds": 0.01}], indirect=True)
def test_idle_stream_sends_heartbeats(client: TestClient) -> None:
    with client.stream("GET", "/events/news") as response:
        assert ": heartbeat" in response.iter_lines()


@pytest.mark.parametrize("settings", [{"max_stream_seconds": 1}], indirect=True)
def test_stream_at_time_limit_ends_with_retry(client: TestClient) -> None:
    with client.stream("GET", "/events/news") as response:
        *_, retry, _ = response.iter_lines()

    assert retry.startswith("retry: ")


def test_stream_resumes_after_last_event_id_header(
    client: TestClient, finish: Callable[[str], None]
) -> None:
    first, second, _ = [publish(client, "news", n) for n in range(3)]
    finish("news")

    # A browser reconnects to the same URL: its header takes precedence.
    received = read(client, f"/events/news?last_event_id={first}", last_event_id=second)

    assert [event.json() for event in received] == [2, {"done": True}]


def test_stream_resumes_after_last_event_id_parameter(
    client: TestClient, finish: Callable[[str], None]
) -> None:
    first = publish(client, "news", 1)
    publish(client, "news", 2)
    finish("news")

    received = read(client, f"/events/news?last_event_id={first}")

    assert [event.json() for event in received] == [2, {"done": True}]


def test_stream_from_earliest_replays_history(client: TestClient) -> None:
    publish(client, "news", 1)
    publish(client, "news", 2)

    with client.sse("/events/news?last_event_id=earliest") as source:
        _, first, second = islice(source, 3)

    assert (first.json(), second.json()) == (1, 2)


def test_stream_without_id_starts_now(client: TestClient) -> None:
    publish(client, "news", "before")

    with client.sse("/events/news") as source:
        stream = iter(source)
        next(stream)
        publish(client, "news", "after")

        assert next(stream).json() == "after"


def test_stream_after_lost_events_sends_reset(client: TestClient) -> None:
    with client.sse("/events/news", headers={"Last-Event-ID": "lost"}) as source:
        _, reset = islice(source, 2)

    assert reset.event == "reset"


def test_stream_of_several_topics_names_them(
    client: TestClient, finish: Callable[[str], None]
) -> None:
    publish(client, "news", 1)
    id = publish(client, "weather", 2)
    publish(client, "news", 3)
    finish("news")
    finish("weather")

    received = read(client, "/events/news?topic=weather", last_event_id=id)

    assert [event.json() for event in received] == [
        {"topic": "news", "data": 3},
        {"topic": "news", "data": {"done": True}},
        {"topic": "weather", "data": {"done": True}},
    ]


def test_finished_topic_ends_stream_with_done(
    client: TestClient, finish: Callable[[str], None]
) -> None:
    finish("news")

    (done,) = read(client, "/events/news")
    again = client.get("/events/news", headers={"Last-Event-ID": done.id})

    assert done.event == "done"
    assert again.status_code == 204


def test_publish_to_finished_topic_returns_409(
    client: TestClient, finish: Callable[[str], None]
) -> None:
    finish("news")

    one = client.post("/events/news", json={"data": 1})
    lines = {"Content-Type": "application/x-ndjson"}
    several = client.post("/events/news", content='{"data": 1}\n', headers=lines)

    assert (one.status_code, several.status_code) == (409, 409)
    assert one.headers["content-type"] == PROBLEM


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/events/no%20spaces", {"data": 1}),
        ("/events/news", {}),
        ("/events/news", {"data": 1, "event": "done"}),
        ("/events/news", {"data": 1, "event": "two\nlines"}),
        ("/events/news", {"data": 1, "name": "tick"}),
    ],
)
def test_publish_invalid_event_returns_422(
    idle_client: TestClient, path: str, body: object
) -> None:
    response = idle_client.post(path, json=body)

    assert response.status_code == 422
    assert response.headers["content-type"] == PROBLEM


@pytest.mark.parametrize("settings", [{"max_event_bytes": 100}], indirect=True)
def test_publish_large_event_returns_413(idle_client: TestClient) -> None:
    response = idle_client.post("/events/news", json={"data": "x" * 100})

    assert response.status_code == 413
    assert response.headers["content-type"] == PROBLEM


@pytest.mark.parametrize("settings", [{"max_topics_per_stream": 1}], indirect=True)
@pytest.mark.parametrize("path", ["/events/no%20spaces", "/events/news?topic=weather"])
def test_stream_of_invalid_topics_returns_422(idle_client: TestClient, path: str) -> None:
    response = idle_client.get(path)

    assert response.status_code == 422
    assert response.headers["content-type"] == PROBLEM


@pytest.mark.parametrize("settings", [{"max_streams_per_client": 1}], indirect=True)
def test_too_many_streams_return_429(client: TestClient) -> None:
    with client.stream("GET", "/events/news"):
        response = client.get("/events/news")

    assert response.status_code == 429
    assert response.headers["content-type"] == PROBLEM
    assert response.headers["retry-after"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_topic_rule_applies_to_every_method(
    idle_client: TestClient, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def check_topic(topic: str, request: Request) -> None:
        raise HTTPException(403, f"{topic} is private.")

    monkeypatch.setattr(events, "check_topic", check_topic)

    response = idle_client.request(method, "/events/news", json={"data": 1})

    assert response.status_code == 403
    assert response.json()["detail"] == "news is private."
#{% if cookiecutter.__uses.redis %}


def test_script_publishes(client: TestClient) -> None:
    async def script() -> str:
        async with open_broker(load_settings()) as broker:
            return await broker.publish("news", {"n": 1})

    with client.sse("/events/news") as source:
        stream = iter(source)
        next(stream)
        id = asyncio.run(script())

        assert next(stream) == ServerSentEvent("message", '{"n":1}', id)


@pytest.mark.parametrize("settings", [{"redis_url": "redis://127.0.0.1:1"}], indirect=True)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/events/news"), ("POST", "/events/news"), ("GET", "/health")]
)
def test_unavailable_redis_returns_503(client: TestClient, method: str, path: str) -> None:
    response = client.request(method, path, json={"data": 1})

    assert response.status_code == 503
    assert response.headers["content-type"] == PROBLEM
#{% endif %}
