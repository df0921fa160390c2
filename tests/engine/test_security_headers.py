"""Every response has the security headers."""

from collections.abc import AsyncGenerator

import pytest
from fastapi import FastAPI, Response
from fastapi.testclient import TestClient

from {{ cookiecutter.__package_name }}.middleware.security_headers import SECURITY_HEADERS
from {{ cookiecutter.__package_name }}.streaming import Chunk, StreamResponse


async def chunks() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one", 1)


@pytest.fixture
def client(app: FastAPI, idle_client: TestClient) -> TestClient:
    """A client of an application with a stream, and with a route that fails."""

    @app.get("/stream")
    async def stream() -> StreamResponse:
        return StreamResponse(chunks())

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    @app.get("/framed")
    async def framed() -> Response:
        return Response(headers={"X-Frame-Options": "SAMEORIGIN"})

    return idle_client


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/stream", "/nowhere", "/broken"])
def test_every_response_has_the_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers

    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


@pytest.mark.parametrize(("scheme", "sent"), [("http", False), ("https", True)])
def test_https_is_asked_for_over_https_alone(app: FastAPI, scheme: str, sent: bool) -> None:
    headers = TestClient(app, base_url=f"{scheme}://testserver").get("/").headers

    assert ("strict-transport-security" in headers) is sent


def test_a_stream_has_the_headers_before_its_first_chunk(client: TestClient) -> None:
    with client.stream("GET", "/stream") as response:
        assert response.headers["x-content-type-options"] == "nosniff"


def test_nothing_but_this_service_runs_in_its_pages(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


def test_a_response_can_say_something_else(client: TestClient) -> None:
    assert client.get("/framed").headers["x-frame-options"] == "SAMEORIGIN"
