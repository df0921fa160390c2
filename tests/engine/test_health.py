"""The health of the service."""

import asyncio
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient


#{% if cookiecutter.ndjson or cookiecutter.csv %}
def answer() -> None:
    """Stand in for a database that answers."""


def fail() -> None:
    """Stand in for a database that does not answer."""
    raise ConnectionRefusedError("10.0.0.1")


#{% endif %}
#{% if cookiecutter.sse %}
async def answer_later() -> None:
    """Stand in for a broker that answers."""


async def fail_later() -> None:
    """Stand in for a broker that does not answer."""
    raise ConnectionRefusedError("10.0.0.1")


#{% endif %}
@pytest.fixture(autouse=True)
def parts_answer(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every part of the service answer."""
#{% if cookiecutter.ndjson or cookiecutter.csv %}
    monkeypatch.setattr(app.state.database, "ping", answer)
#{% endif %}
#{% if cookiecutter.sse %}
    monkeypatch.setattr(app.state.broker, "ping", answer_later)
#{% endif %}


def test_a_service_whose_parts_answer_is_well(idle_client: TestClient) -> None:
    response = idle_client.get("/health")

    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("part", "ping"),
    [
#{% if cookiecutter.ndjson or cookiecutter.csv %}
        ("database", fail),
#{% endif %}
#{% if cookiecutter.sse %}
        ("broker", fail_later),
#{% endif %}
    ],
)
def test_a_part_that_does_not_answer_is_a_problem(
    app: FastAPI,
    idle_client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    ping: Callable[[], object],
) -> None:
    monkeypatch.setattr(getattr(app.state, part), "ping", ping)

    response = idle_client.get("/health")

    assert response.status_code == 503
    assert response.json()["detail"] == "A part of the service does not answer."
    assert "10.0.0.1" not in response.text


@pytest.mark.anyio
async def test_however_many_ask_the_parts_are_asked_once(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[None] = []

#{% if cookiecutter.sse %}
    async def count() -> None:
        asked.append(None)

    monkeypatch.setattr(app.state.broker, "ping", count)
#{% else %}
    monkeypatch.setattr(app.state.database, "ping", lambda: asked.append(None))
#{% endif %}
    for _ in range(2):
        await asyncio.gather(*(app.state.checkup.run() for _ in range(100)))

    assert len(asked) == 2
#{% if cookiecutter.ndjson or cookiecutter.csv %}


def test_a_service_starts_without_its_database(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app.state.database, "prepare", fail)

    with TestClient(app) as client:
        assert client.get("/").status_code == 200
    assert "The database does not answer" in caplog.text
#{% endif %}
