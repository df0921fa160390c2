"""The routes that start, show and stop runs."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, Self
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from pydantic import BaseModel, Field, SecretStr, model_validator
from starlette import types

from streaming_api.settings import Settings
from streaming_api.streaming.events.run_routes import run_routes

from ..variant import TOKENS
from .test_routes import assert_problem, follow, post

STREAM = {"Accept": "text/event-stream"}


class Task(BaseModel):
    """A request with a field that has no default."""

    name: str


class Named(Task):
    """A request that is invalid with its defaults."""

    name: str = ""

    @model_validator(mode="after")
    def require_name(self) -> Self:
        if not self.name:
            raise ValueError("expected a name")
        return self


class Stamped(Task):
    """A request with a generated default, a secret and an excluded field."""

    name: str = Field(default_factory=lambda: str(uuid4()))
    key: SecretStr = SecretStr("")
    data: Annotated[bytes, Field(exclude=True)] = b""


async def echo(request: Task, topic: str) -> AsyncIterator[str]:
    yield request.name


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Low limits."""
    return settings.model_copy(update={"max_runs": 3, "max_runs_per_client": 2})


def events_of(client: TestClient, run: Response) -> list[Any]:
    """Return the names and the data of all events of a run."""
    path = f"/events/{run.json()['topic']}?last_event_id=earliest"
    return [(event.event, event.json()) for event in follow(client, path)][1:]


def test_run_is_accepted_and_followed(client: TestClient) -> None:
    run = client.post("/runs", json={"steps": 2, "interval": 0})
    id, topic = run.json()["id"], run.json()["topic"]

    assert run.status_code == 202
    assert run.json() == {"id": id, "topic": topic, "status": "running"}
    assert run.headers["location"] == f"/runs/{id}"
    assert run.headers["vary"] == "Accept"
    assert events_of(client, run) == [
        ("message", {"topic": topic, "count": 0}),
        ("message", {"topic": topic, "count": 1}),
        ("done", {"done": True, "status": "done"}),
    ]
    assert client.get(f"/runs/{id}").json() == {"id": id, "topic": topic, "status": "done"}


@pytest.mark.parametrize("body", ["", "{}"])
def test_run_without_body_has_defaults(client: TestClient, body: str) -> None:
    assert post(client, "/runs", body).status_code == 202


def test_whole_number_with_a_fraction_of_zero_is_accepted(client: TestClient) -> None:
    assert post(client, "/runs", '{"steps": 2.0, "interval": 0}').status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        '{"steps": 0}',
        '{"steps": 1000001}',
        '{"steps": 1.5}',
        '{"steps": true}',
        '{"steps": "5"}',
        '{"interval": false}',
        '{"steps": 1e400}',
        '{"interval": -1}',
        '{"interval": 3601}',
        '{"interval": NaN}',
        '{"interval": Infinity}',
        '{"step": 1}',
        "[]",
    ],
)
def test_invalid_run_is_unprocessable(client: TestClient, body: str) -> None:
    assert_problem(post(client, "/runs", body), 422)


def test_stream_for_http_1_0_client_starts_no_run(app: FastAPI) -> None:
    async def http_1_0(scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        await app({**scope, "http_version": "1.0"}, receive, send)

    with TestClient(http_1_0) as client:
        refused = [client.post("/runs", headers=STREAM) for _ in range(3)]
        accepted = client.post("/runs")

    assert {response.status_code for response in refused} == {505}
    assert accepted.status_code == 202


def test_request_without_default_is_required(app: FastAPI) -> None:
    app.include_router(run_routes(Task, echo), prefix="/v1")
    with TestClient(app) as client:
        missing = client.post("/v1/runs")
        accepted = client.post("/v1/runs", json={"name": "ada"})

        events = events_of(client, accepted)

    assert_problem(missing, 422)
    assert events[0] == ("message", "ada")


def test_request_that_is_invalid_when_empty_is_required(app: FastAPI) -> None:
    app.include_router(run_routes(Named, echo), prefix="/v1")
    with TestClient(app) as client:
        assert_problem(client.post("/v1/runs"), 422)
        assert client.post("/v1/runs", json={"name": "ada"}).status_code == 202


def test_request_without_body_gets_new_defaults(app: FastAPI) -> None:
    app.include_router(run_routes(Stamped, echo), prefix="/v1")
    with TestClient(app) as client:
        names = [events_of(client, client.post("/v1/runs"))[0] for _ in range(2)]

    assert names[0] != names[1]


def test_run_that_is_no_generator_is_refused() -> None:
    async def forgotten_yield(request: Task, topic: str) -> None: ...

    with pytest.raises(ValueError, match="expected an async generator function"):
        run_routes(Task, forgotten_yield)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "accept",
    [
        "text/event-stream",
        "Text/Event-Stream",
        "text/event-stream, */*",
        "text/event-stream, */*;q=0.1",
        "application/json;q=0.5, text/event-stream",
    ],
)
def test_client_of_event_streams_gets_the_events(client: TestClient, accept: str) -> None:
    headers = {"Accept": accept}
    run = client.post("/runs", json={"steps": 2, "interval": 0}, headers=headers)

    assert run.status_code == 200
    assert run.headers["content-type"].startswith("text/event-stream")
    assert run.headers["vary"] == "Accept"
    names = [line for line in run.text.splitlines() if line.startswith(("event:", "data:"))]
    assert names[0] == "event: ready"
    assert names[-2:] == ["event: done", 'data: {"done":true,"status":"done"}']
    assert len(names) == 6
    assert client.get(run.headers["location"]).json()["status"] == "done"


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "text/html",
        "text/event-stream;q=0",
        "application/json, text/event-stream",
        "application/json, text/event-stream;q=0.9",
    ],
)
def test_client_of_json_gets_the_run(client: TestClient, accept: str) -> None:
    assert client.post("/runs", headers={"Accept": accept}).status_code == 202


@pytest.mark.parametrize("headers", [{}, STREAM])
def test_location_is_inside_the_root_path(app: FastAPI, headers: dict[str, str]) -> None:
    with TestClient(app, root_path="/api") as client:
        run = client.post("/runs", json={"steps": 1}, headers=headers)

    assert run.headers["location"].startswith("/api/runs/")


def test_running_run_is_stopped(client: TestClient) -> None:
    run = client.post("/runs", json={"interval": 3600})
    location = run.headers["location"]

    stopped = client.delete(location)

    assert (stopped.status_code, stopped.content) == (204, b"")
    assert client.get(location).json()["status"] == "stopped"
    assert events_of(client, run)[-1] == ("done", {"done": True, "status": "stopped"})
    assert client.delete(location).status_code == 204


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("id", ["unknown", "0190163d-8694-739b-aea5-966c26f8ad91", "a%3Ab"])
def test_unknown_run_is_not_found(client: TestClient, method: str, id: str) -> None:
    assert_problem(client.request(method, f"/runs/{id}"), 404)


def test_key_starts_one_run(client: TestClient) -> None:
    headers = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
    first = client.post("/runs", json={"steps": 1, "interval": 2}, headers=headers)
    events_of(client, first)

    again = client.post("/runs", json={"interval": 2.0, "steps": 1}, headers=headers)
    streamed = client.post("/runs", json={"steps": 1, "interval": 2}, headers={**headers, **STREAM})
    other = client.post("/runs", json={"steps": 2}, headers=headers)

    assert again.status_code == 202
    assert again.json() == {**first.json(), "status": "done"}
    assert again.headers["location"] == streamed.headers["location"] == first.headers["location"]
    assert streamed.text.count('"count":0}') == 1
    assert_problem(other, 422)


def test_blanks_around_a_key_are_ignored(client: TestClient) -> None:
    runs = [client.post("/runs", headers={"Idempotency-Key": key}) for key in ("k", " k\t")]

    assert runs[0].json()["id"] == runs[1].json()["id"]


def test_key_with_another_json_body_is_unprocessable(app: FastAPI) -> None:
    bodies = ["{}", "{}", '{"key": "a"}', '{"key": "b"}', '{"data": "a"}', '{"data": "b"}']
    app.include_router(run_routes(Stamped, echo), prefix="/v1")
    with TestClient(app) as client:
        json = {"content-type": "application/json"}
        runs = [
            client.post("/v1/runs", content=body, headers={"Idempotency-Key": key, **json})
            for key, body in zip("aabbcc", bodies, strict=True)
        ]

    assert [run.status_code for run in runs] == [202, 202, 202, 422, 202, 422]
    assert runs[0].json()["id"] == runs[1].json()["id"]


def test_key_that_is_too_long_is_unprocessable(client: TestClient) -> None:
    assert_problem(client.post("/runs", headers={"Idempotency-Key": "k" * 256}), 422)


def test_too_many_runs_of_a_client_are_limited(client: TestClient) -> None:
    running = [client.post("/runs", json={"interval": 3600}) for _ in range(2)]

    limited = client.post("/runs")

    assert_problem(limited, 429)
    assert limited.headers["retry-after"] == "5"
    client.delete(running[0].headers["location"])
    events_of(client, running[0])
    assert client.post("/runs").status_code == 202


def test_too_many_runs_of_a_process_are_unavailable(app: FastAPI, client: TestClient) -> None:
    app.state.runs.max_runs = 1
    client.post("/runs", json={"interval": 3600})

    refused = client.post("/runs")

    assert_problem(refused, 503)
    assert refused.headers["retry-after"] == "5"


def test_stream_that_is_not_admitted_starts_no_run(app: FastAPI, client: TestClient) -> None:
    app.state.streams.max_per_client = 0

    limited = client.post("/runs", headers=STREAM)

    assert_problem(limited, 429)
    assert not app.state.runs._tasks


def test_callers_without_address_are_not_limited(
    create_app: Callable[[Settings], FastAPI], settings: Settings
) -> None:
    app = create_app(settings.model_copy(update={"allow_anonymous": True}))
    with TestClient(app, client=None) as client:  # type: ignore[arg-type]
        statuses = [client.post("/runs").status_code for _ in range(3)]

    assert statuses == [202] * 3


Send = Callable[..., Response]


@pytest.fixture
def send(create_app: Callable[[Settings], FastAPI]) -> Iterator[Send]:
    """A function that sends a request with a token, which is named after its scopes."""
    if not TOKENS:
        pytest.skip("needs tokens")
    scopes = {"events": ["events"], "publish": ["publish"], "both": ["events", "publish"]}
    app = create_app(Settings(api_tokens=scopes))  # type: ignore[arg-type]
    with TestClient(app) as client:

        def send(token: str, method: str, path: str, **headers: str) -> Response:
            headers["Authorization"] = f"Bearer {token}"
            return client.request(method, path, headers=headers)

        yield send


def test_starting_and_stopping_require_publish(send: Send) -> None:
    location = send("publish", "POST", "/runs").headers["location"]

    assert_problem(send("events", "POST", "/runs"), 403)
    assert_problem(send("events", "DELETE", location), 403)
    assert send("publish", "DELETE", location).status_code == 204


def test_status_and_events_require_events(send: Send) -> None:
    location = send("publish", "POST", "/runs").headers["location"]

    assert_problem(send("publish", "GET", location), 403)
    assert_problem(send("publish", "POST", "/runs", Accept="text/event-stream"), 403)
    assert send("events", "GET", location).status_code == 200
    send("both", "DELETE", location)


def test_keys_and_limits_belong_to_tokens(send: Send) -> None:
    headers = {"Idempotency-Key": "k"}

    first, second, again = (
        send(token, "POST", "/runs", **headers) for token in ("both", "publish", "both")
    )

    assert first.json()["id"] == again.json()["id"] != second.json()["id"]
