"""The request id: on every response, and in every log record."""

import logging
from collections.abc import AsyncGenerator, Callable
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from {{ cookiecutter.__package_name }}.settings import Settings
from {{ cookiecutter.__package_name }}.streaming import Chunk, StreamResponse

ID = "6f1c2b1e-98b5-4f0c-9d43-0b7a4f5a1c11"


@pytest.fixture(scope="module")
def app(create_app: Callable[[Settings], FastAPI]) -> FastAPI:
    """An application with a stream, and a route that fails."""
    app = create_app(Settings())

    async def chunks() -> AsyncGenerator[Chunk, None]:
        yield Chunk(b"one\n", 1)

    @app.get("/stream")
    async def stream() -> StreamResponse:
        return StreamResponse(chunks())

    @app.get("/broken")
    async def fail() -> None:
        raise RuntimeError

    @app.get("/logged")
    def log() -> None:
        logging.getLogger("another").warning("logged")

    return app


def test_every_response_has_new_id(idle_client: TestClient) -> None:
    paths = ["/docs", "/openapi.json", "/stream", "/nowhere", "/broken"]

    ids = [UUID(idle_client.get(path).headers["x-request-id"]) for path in paths]

    assert len(set(ids)) == len(paths)


@pytest.mark.parametrize("id", [ID, ID.upper(), ID.replace("-", "")])
def test_uuid_of_request_is_kept(idle_client: TestClient, id: str) -> None:
    response = idle_client.get("/stream", headers={"X-Request-Id": id})

    assert response.headers["x-request-id"] == id


@pytest.mark.parametrize("id", ["", "42", f"{ID}\nX-Injected: 1"])
def test_other_id_of_request_is_replaced(idle_client: TestClient, id: str) -> None:
    response = idle_client.get("/stream", headers={"X-Request-Id": id})

    assert UUID(response.headers["x-request-id"]).version == 4
    assert "x-injected" not in response.headers


@pytest.mark.parametrize(
    ("path", "message"),
    [("/logged", "logged"), ("/stream", "stream ended "), ("/broken", "request failed ")],
)
def test_log_record_of_request_has_its_id(
    idle_client: TestClient, caplog: pytest.LogCaptureFixture, path: str, message: str
) -> None:
    caplog.set_level("INFO")

    with idle_client:
        idle_client.get(path, headers={"X-Request-Id": ID})

    (record,) = [each for each in caplog.records if each.getMessage().startswith(message)]
    assert vars(record)["request_id"] == ID
    assert ID not in record.getMessage()
