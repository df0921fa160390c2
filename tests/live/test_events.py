"""The event stream, read by httpx-sse and curl."""

import json
import subprocess
from uuid import UUID, uuid4

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from support.service import Service
from support.tools import require, run


@pytest.fixture
def topic() -> str:
    """A topic that no other test uses."""
    return f"topic-{uuid4().hex}"


def publish(client: httpx.Client, topic: str, *data: object) -> list[str]:
    """Publish events with these data; return their ids."""
    responses = [client.post(f"/events/{topic}", json={"data": datum}) for datum in data]
    assert [response.status_code for response in responses] == [201] * len(data)
    return [response.json()["id"] for response in responses]


def read(client: httpx.Client, url: str, count: int, **headers: str) -> list[ServerSentEvent]:
    """Read a number of events, then disconnect."""
    with connect_sse(client, "GET", url, headers=headers) as source:
        events = source.iter_sse()
        return [next(events) for _ in range(count)]


def test_stream_starts_with_ready(client: httpx.Client, topic: str) -> None:
    (ready,) = read(client, f"/events/{topic}", 1)

    assert ready.event == "ready"
    assert json.loads(ready.data) == {"topics": [topic]}


def test_event_has_published_data_and_id(client: httpx.Client, topic: str) -> None:
    datum = {"text": "é 🎉 \u2028 'quoted'\nline", "n": [1, None, True]}

    with connect_sse(client, "GET", f"/events/{topic}") as source:
        events = source.iter_sse()
        next(events)
        (published,) = publish(client, topic, datum)
        event = next(events)

    assert json.loads(event.data) == datum
    assert event.id == published


def test_last_event_id_resumes_without_loss(client: httpx.Client, topic: str) -> None:
    ids = publish(client, topic, *range(5))

    headers = {"Last-Event-ID": ids[1]}
    by_header = read(client, f"/events/{topic}", 4, **headers)
    by_query = read(client, f"/events/{topic}?last_event_id={ids[1]}", 4)

    for _, *events in (by_header, by_query):
        assert [json.loads(event.data) for event in events] == [2, 3, 4]
        assert [event.id for event in events] == ids[2:]


def test_several_topics_are_multiplexed(client: httpx.Client, topic: str) -> None:
    other = f"{topic}-other"
    publish(client, topic, "a")
    publish(client, other, "b")

    _, *events = read(client, f"/events/{topic}?topic={other}&last_event_id=earliest", 3)

    assert [json.loads(event.data) for event in events] == [
        {"topic": topic, "data": "a"},
        {"topic": other, "data": "b"},
    ]


def test_curl_follows_a_run_to_its_end(service: Service, client: httpx.Client) -> None:
    started = client.post("/runs", json={"steps": 3, "interval": 0.1})
    topic = started.json()["topic"]

    done = run(
        *(require("curl"), "--no-buffer", "--silent", "--fail", "--max-time", "20"),
        f"{service.url}/events/{topic}?last_event_id=earliest",
    )

    data = [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("data:")]
    assert started.status_code == 202
    assert done.returncode == 0
    assert done.stdout.startswith("retry:")
    assert data == [
        {"topics": [topic]},
        *({"topic": topic, "count": count} for count in range(3)),
        {"done": True, "status": "done"},
    ]
    assert "event: done" in done.stdout.splitlines()


def test_reconnect_to_finished_run_returns_204(client: httpx.Client) -> None:
    topic = client.post("/runs", json={"steps": 1, "interval": 0.01}).json()["topic"]
    stream = f"/events/{topic}?last_event_id=earliest"
    with connect_sse(client, "GET", stream) as source:
        *_, last = source.iter_sse()

    again = client.get(stream, headers={"Last-Event-ID": last.id})

    assert last.event == "done"
    assert again.status_code == 204


def test_idle_stream_has_heartbeats(service: Service, topic: str) -> None:
    options = ("--no-buffer", "--silent", "--max-time", "10")
    with subprocess.Popen(
        [require("curl"), *options, f"{service.url}/events/{topic}"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as curl:
        assert curl.stdout is not None
        comments = (line for line in curl.stdout if line.startswith(":"))
        assert [next(comments), next(comments)]
        curl.kill()


@pytest.mark.parametrize("path", ["/events/x", "/export/items", "/export/users.csv", "/nowhere"])
def test_every_response_has_request_id_and_security_headers(
    client: httpx.Client, path: str
) -> None:
    own = str(uuid4())

    with client.stream("GET", path, headers={"X-Request-Id": own}) as kept:
        pass
    with client.stream("GET", path, headers={"X-Request-Id": "no uuid"}) as replaced:
        pass

    assert kept.headers["x-request-id"] == own
    assert UUID(replaced.headers["x-request-id"])
    assert "content-security-policy" in kept.headers
