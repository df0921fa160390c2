"""The responses of the routes that stream and publish."""

import json
from collections.abc import Callable, Iterator
from itertools import islice

import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.testclient import TestClient
from httpx2 import Response, ServerSentEvent

from streaming_api import events as application
from streaming_api.settings import Settings
from streaming_api.streaming.events.broker import EARLIEST
from streaming_api.streaming.events.routes import get_broker
from streaming_api.streaming.events.wire import RESERVED_NAMES
from streaming_api.streaming.openapi import Problem

ANOTHER_START = "1000000000000-000000000001"
"""An id of a server that ended long ago."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Low limits, and one that ends a stream without the expected event."""
    limits = {"max_event_bytes": 100_000, "max_topics_per_stream": 3, "max_stream_seconds": 20}
    return settings.model_copy(update=limits)


@pytest.fixture
def finish(client: TestClient, app: FastAPI) -> Callable[[str], str]:
    """A function that finishes a topic, as a run does, and returns the id of its last event."""

    def finish(topic: str) -> str:
        assert client.portal
        id: str = client.portal.call(app.state.broker.finish, topic, {"done": True})
        return id

    return finish


def publish(client: TestClient, topic: str, data: object, event: str | None = None) -> str:
    response = client.post(f"/events/{topic}", json={"data": data, "event": event})
    assert response.status_code == 201
    id: str = response.json()["id"]
    return id


def post(client: TestClient, path: str, body: str | bytes | Iterator[bytes]) -> Response:
    return client.post(path, content=body, headers={"Content-Type": "application/json"})


def follow(client: TestClient, path: str, last_event_id: str = "") -> list[ServerSentEvent]:
    """Return all events of a stream that ends."""
    with client.sse(path, headers={"Last-Event-ID": last_event_id}) as source:
        return list(source)


def names(events: list[ServerSentEvent]) -> list[str]:
    return [event.event for event in events]


def assert_problem(response: Response, status: int) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert Problem.model_validate_json(response.content, strict=True).status == status


def test_stream_starts_with_retry_and_ready(client: TestClient) -> None:
    with client.stream("GET", "/events/test") as response:
        lines = list(islice(response.iter_lines(), 3))

    assert lines == ["retry: 2000", "event: ready", 'data: {"topics":["test"]}']


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_stream_is_not_cached_buffered_or_compressed(client: TestClient, method: str) -> None:
    headers = {"Accept-Encoding": "*"}

    with client.stream(method, "/events/test", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].split(";")[0] == "text/event-stream"
        assert response.headers["cache-control"] == "no-cache, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["incremental"] == "?1"
        assert "content-encoding" not in response.headers
        assert "content-length" not in response.headers


def test_published_event_is_streamed(client: TestClient) -> None:
    with client.sse("/events/test") as source:
        stream = iter(source)
        ready = next(stream)
        id = publish(client, "test", {"n": 1}, "tick")
        event = next(stream)

    assert ready.event == "ready"
    assert event == ServerSentEvent("tick", '{"n":1}', id)


def test_event_without_name_is_a_message(client: TestClient, finish: Callable[[str], str]) -> None:
    id = publish(client, "test", 1)
    finish("test")

    assert follow(client, "/events/test")[1] == ServerSentEvent("message", "1", id)


@pytest.mark.parametrize(
    "data",
    [None, True, 0, -1.5, 2**70, "", "\u2028\u2029\x85\r\n\0", "🙂 שלום", [], {"": [{}, None]}],
    ids=ascii,
)
def test_any_json_is_streamed_as_published(
    client: TestClient, finish: Callable[[str], str], data: object
) -> None:
    publish(client, "test", data)
    finish("test")

    assert follow(client, "/events/test")[1].json() == data


def test_last_event_id_resumes_after_its_event(
    client: TestClient, finish: Callable[[str], str]
) -> None:
    ids = [publish(client, "test", number) for number in range(3)]
    finish("test")

    by_header = follow(client, "/events/test", ids[1])
    by_query = follow(client, f"/events/test?last_event_id={ids[1]}")

    assert by_header == by_query
    assert [event.data for event in by_header[1:]] == ["2", '{"done":true}']


def test_last_event_id_header_overrides_the_query(
    client: TestClient, finish: Callable[[str], str]
) -> None:
    first = publish(client, "test", 1)
    done = finish("test")

    events = follow(client, f"/events/test?last_event_id={EARLIEST}", first)
    response = client.get("/events/test?last_event_id=nonsense", headers={"Last-Event-ID": done})

    assert names(events) == ["ready", "done"]
    assert response.status_code == 204


def test_query_parameter_of_polyfill_overrides_the_other(
    client: TestClient, finish: Callable[[str], str]
) -> None:
    first = publish(client, "test", 1)
    done = finish("test")

    resumed = follow(client, f"/events/test?last_event_id={EARLIEST}&lastEventId={first}")
    over = client.get(f"/events/test?last_event_id={first}&lastEventId={done}")
    by_header = follow(client, f"/events/test?lastEventId={done}", first)

    assert names(resumed) == names(by_header) == ["ready", "done"]
    assert over.status_code == 204


@pytest.mark.parametrize("blank", [" {}", "{} ", "\t{} \t"])
def test_blanks_around_last_event_id_are_ignored(
    client: TestClient, finish: Callable[[str], str], blank: str
) -> None:
    done = finish("test")

    response = client.get("/events/test", headers={"Last-Event-ID": blank.format(done)})

    assert response.status_code == 204


def test_empty_last_event_id_is_none(client: TestClient, finish: Callable[[str], str]) -> None:
    publish(client, "test", 1)
    finish("test")

    assert names(follow(client, "/events/test?last_event_id=")) == ["ready", "message", "done"]


@pytest.mark.parametrize("last_event_id", ["nonsense", ANOTHER_START, "é"])
def test_unknown_last_event_id_is_a_reset(
    client: TestClient, finish: Callable[[str], str], last_event_id: str
) -> None:
    publish(client, "test", 1)
    finish("test")

    events = follow(client, f"/events/test?last_event_id={last_event_id}")

    assert names(events) == ["ready", "reset", "message", "done"]
    assert events[1].json() == {"topics": ["test"]}


def test_stream_with_reset_has_no_earlier_id(client: TestClient) -> None:
    with client.sse("/events/test", headers={"Last-Event-ID": ANOTHER_START}) as source:
        ready, reset = islice(source, 2)

    assert (ready.event, ready.id) == ("ready", "")
    assert reset.event == "reset"
    assert reset.id > ANOTHER_START


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_finished_topic_after_its_last_event_is_204(
    client: TestClient, finish: Callable[[str], str], method: str
) -> None:
    finish("test")
    *_, done = follow(client, "/events/test")

    response = client.request(method, "/events/test", headers={"Last-Event-ID": done.id})

    assert done.event == "done"
    assert response.status_code == 204
    assert response.content == b""


def test_several_topics_share_stream_and_id(
    client: TestClient, finish: Callable[[str], str]
) -> None:
    first = publish(client, "a", 1, "tick")
    publish(client, "b", {"n": 2})
    for topic in "cba":
        finish(topic)

    ready, *events = follow(client, f"/events/a?topic=b&topic=c&last_event_id={first}")

    assert ready.json() == {"topics": ["a", "b", "c"]}
    assert [event.json() for event in events] == [
        {"topic": "b", "data": {"n": 2}},
        *({"topic": topic, "data": {"done": True}} for topic in "cba"),
    ]
    again = client.get("/events/b?topic=a", headers={"Last-Event-ID": events[-1].id})
    assert again.status_code == 204


def test_duplicate_topic_counts_once(client: TestClient, finish: Callable[[str], str]) -> None:
    finish("a")

    ready, done = follow(client, "/events/a?topic=a")

    assert ready.json() == {"topics": ["a"]}
    assert done.json() == {"done": True}


def test_too_many_topics_are_unprocessable(client: TestClient) -> None:
    accepted = client.head("/events/a?topic=b&topic=c")
    rejected = client.get("/events/a?topic=b&topic=c&topic=d")

    assert accepted.status_code == 200
    assert_problem(rejected, 422)


def test_topic_rules_apply_to_streams_and_publishing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reject_secret(topic: str, _: Request) -> None:
        if topic == "secret":
            raise HTTPException(403, "The topic is secret.")

    monkeypatch.setattr(application, "check_topic", reject_secret)

    assert_problem(client.get("/events/secret"), 403)
    assert_problem(client.get("/events/a?topic=secret"), 403)
    assert_problem(post(client, "/events/secret", '{"data": 1}'), 403)
    assert client.head("/events/a").status_code == 200
    assert post(client, "/events/a", '{"data": 1}').status_code == 201


def test_publish_to_finished_topic_is_a_conflict(
    client: TestClient, finish: Callable[[str], str]
) -> None:
    finish("test")

    assert_problem(post(client, "/events/test", '{"data": 1}'), 409)
    assert names(follow(client, "/events/test")) == ["ready", "done"]


@pytest.mark.parametrize("topic", ["a", "A.b_c-9", "x" * 128, "..."])
def test_topic_of_plain_characters_is_accepted(client: TestClient, topic: str) -> None:
    assert post(client, f"/events/{topic}", '{"data": 1}').status_code == 201


@pytest.mark.parametrize("topic", ["x" * 129, "a b", "a%0A", "%C3%A9", "a:b", "a,b", "%00"])
def test_topic_of_other_characters_is_unprocessable(client: TestClient, topic: str) -> None:
    assert_problem(client.get(f"/events/{topic}"), 422)
    assert_problem(client.get(f"/events/a?topic={topic}"), 422)
    assert_problem(post(client, f"/events/{topic}", '{"data": 1}'), 422)


INVALID_NAMES = [
    *sorted(RESERVED_NAMES),
    *("", "a\nb", "a\rb", "a\0", "a\x1b]0;b\a", "a\u2028b", "a\x85b", "\ud800"),
]
INVALID_EVENTS = [
    *(
        pytest.param(json.dumps({"data": 1, "event": name}), id=f"name-{name[:12]!a}")
        for name in INVALID_NAMES
    ),
    *(
        pytest.param('{"data": ' + data + "}", id=id)
        for id, data in {
            "nan": "NaN",
            "nan-inside": '{"a": [NaN]}',
            "infinity": "-Infinity",
            "overflow": "1e400",
            "surrogate": r'"\ud800"',
            "surrogate-key": r'{"\ud800": 1}',
            "deep": "[" * 500 + "]" * 500,
            "deeper": "[" * 40_000 + "]" * 40_000,
            "deep-objects": '{"a":' * 500 + "1" + "}" * 500,
            "long-integer": "9" * 5000,
            "truncated": "nul",
        }.items()
    ),
    pytest.param("", id="empty"),
    pytest.param("{}", id="no-data"),
    pytest.param("[1]", id="no-object"),
    pytest.param('{"data": 1, "id": "1"}', id="unknown-field"),
    pytest.param('{"data": 1, "event": 1}', id="name-number"),
    pytest.param(b'{"data": "\xff"}', id="no-unicode"),
]


@pytest.mark.parametrize("body", INVALID_EVENTS)
def test_invalid_event_is_rejected_and_not_stored(
    client: TestClient, finish: Callable[[str], str], body: str | bytes
) -> None:
    response = post(client, "/events/test", body)

    assert_problem(response, response.status_code)
    assert response.status_code in (400, 422)
    finish("test")
    assert names(follow(client, "/events/test")) == ["ready", "done"]


@pytest.mark.parametrize("body", [INVALID_EVENTS[0], '{"data": NaN}', r'{"data": "\ud800"}'])
def test_json_that_is_no_event_is_unprocessable(client: TestClient, body: str) -> None:
    assert_problem(post(client, "/events/test", body), 422)


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_too_large_event_is_rejected_and_not_stored(
    client: TestClient, finish: Callable[[str], str], chunked: bool
) -> None:
    start, end = b'{"data": "', b'"}'
    body = start + b"x" * (100_000 - len(start + end)) + end
    too_large = body + b" "

    accepted = post(client, "/events/test", body)
    rejected = post(client, "/events/test", iter([too_large]) if chunked else too_large)

    assert accepted.status_code == 201
    assert_problem(rejected, 413)
    finish("test")
    assert names(follow(client, "/events/test")) == ["ready", "message", "done"]


def test_errors_of_publishing_are_documented(
    client: TestClient, app: FastAPI, finish: Callable[[str], str]
) -> None:
    finish("finished")

    errors = [
        post(client, "/events/test", b'{"data": "\xff"}'),
        post(client, "/events/finished", '{"data": 1}'),
        post(client, "/events/test", b" " * 100_001),
        post(client, "/events/test", "{}"),
    ]

    documented = app.openapi()["paths"]["/events/{topic}"]["post"]["responses"]
    for error, status in zip(errors, (400, 409, 413, 422), strict=True):
        assert_problem(error, status)
        assert error.headers["content-type"] in documented[str(status)]["content"]


class UnavailableBroker:
    """A broker that raises on each subscription."""

    async def is_over(self, *_: object) -> bool:
        return False

    def subscribe(self, *_: object) -> None:
        raise ConnectionError("the broker is unavailable")


def test_stream_without_broker_is_unavailable(client: TestClient, app: FastAPI) -> None:
    app.dependency_overrides[get_broker] = UnavailableBroker

    response = client.get("/events/test")

    assert_problem(response, 503)
    assert "broker" not in response.text
    assert response.headers["retry-after"] == "5"
