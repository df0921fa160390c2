"""Runs: starting, following and stopping one, and how it ends."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from {{ cookiecutter.__package_name }} import runs
from {{ cookiecutter.__package_name }}.settings import Settings

REQUEST = {"steps": 2, "interval": 0}
"""The body of a run that is soon done."""
INVALID = [[], {"steps": "2"}, {"interval": True}]
"""Bodies that do not start a run."""


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Replace `run` by the generator of `parametrize("work", [...], indirect=True)`."""
    monkeypatch.setattr(runs, "run", request.param)


@pytest.fixture
def client_of_work(
    work: None, create_app: Callable[[Settings], FastAPI], settings: Settings
) -> TestClient:
    """A client of an application with that generator."""
    return TestClient(create_app(settings))


async def wait(*_: object) -> AsyncIterator[str]:
    """Stand in for work that takes long."""
    yield "started"
    await asyncio.Event().wait()


async def fail(*_: object) -> AsyncIterator[str]:
    """Stand in for work that fails."""
    yield "started"
    raise RuntimeError("password=hunter2")


def test_run_is_followed_to_its_end(client: TestClient) -> None:
    run = client.post("/runs", json=REQUEST)
    path = f"/events/{run.json()['topic']}?last_event_id=earliest"
    with client.sse(path) as source:
        ready, *_, done = source

    assert run.status_code == 202
    assert ready.json() == {"topics": [run.json()["topic"]]}
    assert (done.event, done.json()) == ("done", {"done": True, "status": "done"})
    assert client.get(run.headers["location"]).json()["status"] == "done"


def test_client_of_event_streams_gets_the_events(client: TestClient) -> None:
    run = client.post("/runs", json=REQUEST, headers={"Accept": "text/event-stream"})

    assert run.status_code == 200
    assert "event: done" in run.text
    assert client.get(run.headers["location"]).json()["status"] == "done"


def test_same_key_starts_one_run(client: TestClient) -> None:
    headers = {"Idempotency-Key": "0190163d-8694-739b-aea5-966c26f8ad91"}

    first, second = (client.post("/runs", json=REQUEST, headers=headers) for _ in range(2))

    assert first.headers["location"] == second.headers["location"]


def test_invalid_request_returns_422(idle_client: TestClient) -> None:
    for body in INVALID:
        response = idle_client.post("/runs", json=body)

        assert response.status_code == 422, body
        assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("work", [wait], indirect=True)
def test_running_run_is_stopped(client_of_work: TestClient) -> None:
    with client_of_work as client:
        run = client.post("/runs", json=REQUEST)
        stopped = client.delete(run.headers["location"])
        with client.sse(f"/events/{run.json()['topic']}?last_event_id=earliest") as source:
            *_, done = source

    assert stopped.status_code == 204
    assert (done.event, done.json()) == ("done", {"done": True, "status": "stopped"})


@pytest.mark.parametrize("work", [fail], indirect=True)
def test_failed_run_publishes_error_without_details(client_of_work: TestClient) -> None:
    with client_of_work as client:
        run = client.post("/runs", json=REQUEST)
        with client.sse(f"/events/{run.json()['topic']}?last_event_id=earliest") as source:
            _, started, error = source
        status = client.get(run.headers["location"]).json()["status"]

    assert started.json() == "started"
    assert error.event == "stream-error"
    assert '"title":"The run failed."' in error.data
    assert "hunter2" not in error.data
    assert status == "failed"
