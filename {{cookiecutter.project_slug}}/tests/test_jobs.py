"""Jobs: starting one, and following its progress."""

from collections.abc import AsyncIterator
from itertools import islice

import pytest
from fastapi.testclient import TestClient

from {{ cookiecutter.__package_name }} import jobs


def test_job_publishes_progress_and_done(client: TestClient) -> None:
    response = client.post("/jobs", json={"steps": 2, "interval": 0})
    with client.sse(response.headers["location"]) as source:
        _, *counts, done = source

    topic = response.json()["topic"]
    assert response.status_code == 202
    assert [event.json() for event in counts] == [
        {"topic": topic, "count": 0},
        {"topic": topic, "count": 1},
    ]
    assert (done.event, done.json()) == ("done", {"done": True})


def test_running_job_is_followed_from_its_start(client: TestClient) -> None:
    response = client.post("/jobs", json={"interval": 3600})

    with client.sse(response.headers["location"]) as source:
        _, first = islice(source, 2)

    assert first.json() == {"topic": response.json()["topic"], "count": 0}


def test_job_without_body_uses_defaults(client: TestClient) -> None:
    first, second = (client.post("/jobs") for _ in range(2))

    assert first.status_code == second.status_code == 202
    assert first.headers["location"] != second.headers["location"]


@pytest.mark.parametrize("body", [{"steps": 0}, {"steps": "1"}, {"interval": -1}, {"step": 1}])
def test_invalid_job_returns_422(idle_client: TestClient, body: object) -> None:
    response = idle_client.post("/jobs", json=body)

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"


def test_failing_job_publishes_error_without_details(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> AsyncIterator[object]:
        yield "started"
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(jobs, "run_job", fail)

    with client.sse(client.post("/jobs").headers["location"]) as source:
        _, started, error = source

    assert started.json() == "started"
    assert error.event == "stream-error"
    assert '"title":"The job failed."' in error.data
    assert "hunter2" not in error.data
