"""Publishing several events with a request."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response

from streaming_api.settings import Settings
from streaming_api.streaming.events import routes
from streaming_api.streaming.events.broker import EARLIEST

PROBLEM = "application/problem+json"
NDJSON = {"Content-Type": "application/x-ndjson"}
MAX_EVENT_BYTES = 1000
MAX_LINES = 50


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Low limits."""
    limits = {"max_event_bytes": MAX_EVENT_BYTES, "subscriber_buffer": MAX_LINES}
    return settings.model_copy(update=limits)


@pytest.fixture
def finish(app: FastAPI, client: TestClient) -> Callable[[], None]:
    """A function that publishes the last event of the topic."""

    def finish() -> None:
        assert client.portal
        client.portal.call(app.state.broker.finish, "news", "done")

    return finish


def post(client: TestClient, body: str | bytes, **headers: str) -> Response:
    return client.post("/events/news", content=body, headers=NDJSON | headers)


def lines(*events: object) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


def history(client: TestClient, finish: Callable[[], None]) -> Sequence[Any]:
    """Return all events of the topic but the last, which it publishes."""
    finish()
    with client.sse("/events/news") as source:
        _, *events, _ = source
    return events


def test_each_line_is_an_event(client: TestClient, finish: Callable[[], None]) -> None:
    body = lines({"data": {"n": 1}}, {"data": "ä\u2028", "event": "tick"}, {"data": None})

    response = post(client, body)

    assert response.status_code == 201
    assert response.headers["content-type"] == "application/x-ndjson"
    published = [json.loads(line) for line in response.text.splitlines()]
    events = history(client, finish)
    assert published == [{"id": event.id} for event in events]
    assert [event.json() for event in events] == [{"n": 1}, "ä\u2028", None]
    assert [event.event for event in events] == ["message", "tick", "message"]


@pytest.mark.parametrize(
    "body", ['{"data":1}', '{"data":1}\n', '{"data":1}\r\n', '{"data":1}\n \n\n']
)
def test_blank_end_is_no_event(client: TestClient, body: str) -> None:
    response = post(client, body)

    assert (response.status_code, response.text.count("\n")) == (201, 1)


@pytest.mark.parametrize(
    "media_type", ["application/x-ndjson; charset=utf-8", "Application/X-NDJSON"]
)
def test_media_type_is_compared_without_parameters(client: TestClient, media_type: str) -> None:
    response = post(client, lines({"data": 1}, {"data": 2}), **{"Content-Type": media_type})

    assert response.status_code == 201


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("{} {}", "Extra data"),
        ('{"data":1}{"data":2}', "Extra data"),
        (b'{"data":"\xff"}', "can't decode byte 0xff"),
        ("[" * 900, "Expecting value"),
        ('{"data":' + "[" * 300 + "]" * 300 + "}", "data"),
        ("[]", "Input should be a valid dictionary"),
        ("{}", "data: Field required"),
        ('{"data":1,"name":"x"}', "name: Extra inputs are not permitted"),
        ('{"data":NaN}', "data"),
        (r'{"data":"\ud800"}', "surrogates not allowed"),
        ('{"data":1,"event":"done"}', "Invalid event name 'done': reserved"),
        ('{"data":1,"event":"a\\u001b"}', "expected one line"),
    ],
)
def test_invalid_line_is_named_and_nothing_stored(
    client: TestClient, finish: Callable[[], None], line: str | bytes, message: str
) -> None:
    line = line.encode() if isinstance(line, str) else line

    response = post(client, b'{"data":1}\n' + line + b'\n{"data":3}\n')

    assert response.status_code == 422
    assert response.headers["content-type"] == PROBLEM
    assert response.json()["detail"].startswith("body.line 2")
    assert message in response.json()["detail"]
    assert response.json()["errors"][0]["loc"][:2] == ["body", "line 2"]
    assert not history(client, finish)


@pytest.mark.parametrize("body", ["", "\n", " \r\n"])
def test_empty_body_is_unprocessable(client: TestClient, body: str) -> None:
    response = post(client, body)

    assert response.status_code == 422
    assert response.headers["content-type"] == PROBLEM


def test_topic_that_is_finished_is_a_conflict(
    client: TestClient, finish: Callable[[], None]
) -> None:
    finish()

    response = post(client, lines({"data": 1}, {"data": 2}))

    assert response.status_code == 409
    assert response.json()["detail"] == "The topic news is finished."
    with client.sse("/events/news") as source:
        assert [event.event for event in source] == ["ready", "done"]


def test_invalid_topic_is_unprocessable(client: TestClient) -> None:
    response = client.post("/events/a%20b", content=lines({"data": 1}), headers=NDJSON)

    assert response.status_code == 422


def test_large_line_is_rejected(client: TestClient, finish: Callable[[], None]) -> None:
    largest = '{"data":"' + "x" * (MAX_EVENT_BYTES - 11) + '"}'
    too_large = largest.replace('"}', 'x"}')

    accepted = post(client, f"{largest}\n{largest}\n")
    rejected = post(client, f"{largest}\n{too_large}\n{largest}\n")

    assert accepted.status_code == 201
    assert rejected.status_code == 413
    assert rejected.headers["content-type"] == PROBLEM
    assert rejected.json()["detail"] == "Line 2 is larger than 1000 bytes."
    assert len(history(client, finish)) == 2


def test_too_many_lines_are_rejected(client: TestClient, finish: Callable[[], None]) -> None:
    line = '{"data":1}\n'

    accepted = post(client, line * MAX_LINES)
    rejected = post(client, line * (MAX_LINES + 1))

    assert accepted.status_code == 201
    assert rejected.status_code == 422
    assert rejected.json()["detail"] == "Too many lines: expected up to 50, got 51."
    assert len(history(client, finish)) == MAX_LINES


def test_large_batch_is_rejected(
    client: TestClient, finish: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MAX_BATCH_BYTES", 2000)
    line = '{"data":"' + "x" * 600 + '"}\n'

    too_many_bytes = post(client, " " * 2000 + line)
    too_large_events = post(client, line * 2)
    accepted = post(client, line)

    assert too_many_bytes.status_code == too_large_events.status_code == 413
    assert too_many_bytes.json()["detail"] == "The body is larger than 2000 bytes."
    assert too_large_events.json()["detail"] == "The events are larger than 2000 bytes."
    assert accepted.status_code == 201
    assert len(history(client, finish)) == 1


def test_batch_that_is_one_large_event_is_accepted(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MAX_BATCH_BYTES", 500)

    response = post(client, '{"data":"' + "x" * 900 + '"}\n')

    assert response.status_code == 201


def test_batch_is_larger_than_an_event_may_be(client: TestClient) -> None:
    response = post(client, ('{"data":"' + "x" * 900 + '"}\n') * MAX_LINES)

    assert response.status_code == 201


def test_largest_batches_overflow_no_buffer_of_a_fast_stream(client: TestClient) -> None:
    with client.sse("/events/news") as source:
        stream = iter(source)
        next(stream)
        for start in range(0, 5 * MAX_LINES, MAX_LINES):
            batch = range(start, start + MAX_LINES)
            response = post(client, lines(*({"data": number} for number in batch)))

            assert response.status_code == 201
            assert [next(stream).json() for _ in batch] == [*batch]


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-ndjson-seq"])
def test_other_media_type_is_unprocessable(client: TestClient, media_type: str) -> None:
    response = post(client, lines({"data": 1}), **{"Content-Type": media_type})

    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["body"]


def test_path_allows_the_same_methods(client: TestClient) -> None:
    response = client.delete("/events/news")

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, POST"


def test_both_bodies_are_documented(app: FastAPI) -> None:
    operation = app.openapi()["paths"]["/events/{topic}"]["post"]

    body, response = operation["requestBody"]["content"], operation["responses"]["201"]["content"]
    assert body["application/json"]["schema"] == body["application/x-ndjson"]["itemSchema"]
    assert response["application/json"]["schema"] == response["application/x-ndjson"]["itemSchema"]
    assert set(body) == set(response) == {"application/json", "application/x-ndjson"}


def test_batch_needs_the_rules_of_the_topic(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastapi import HTTPException, Request

    from streaming_api import events

    def check_topic(topic: str, request: Request) -> None:
        raise HTTPException(403, f"{topic} is private.")

    monkeypatch.setattr(events, "check_topic", check_topic)

    assert post(client, lines({"data": 1})).status_code == 403


def test_batch_is_replayed_from_history(client: TestClient) -> None:
    post(client, lines({"data": 1}, {"data": 2}))

    with client.sse(f"/events/news?last_event_id={EARLIEST}") as source:
        stream = iter(source)
        next(stream)

        assert [next(stream).json() for _ in range(2)] == [1, 2]
