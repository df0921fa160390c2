"""The security headers: on every response."""

from collections.abc import AsyncGenerator, Callable

import pytest
from fastapi import FastAPI, Response
from fastapi.testclient import TestClient

from {{ cookiecutter.__package_name }}.headers import SECURITY_HEADERS
from {{ cookiecutter.__package_name }}.settings import Settings
from {{ cookiecutter.__package_name }}.streaming import Chunk, StreamResponse


@pytest.fixture(scope="module")
def app(create_app: Callable[[Settings], FastAPI]) -> FastAPI:
    """An application with a stream, a route that fails, and one with a header of its own."""
    app = create_app(Settings())

    async def chunks() -> AsyncGenerator[Chunk, None]:
        yield Chunk(b"one\n", 1)

    @app.get("/stream")
    async def stream() -> StreamResponse:
        return StreamResponse(chunks())

    @app.get("/broken")
    async def fail() -> None:
        raise RuntimeError

    @app.get("/framed")
    async def framed() -> Response:
        return Response(headers={"X-Frame-Options": "SAMEORIGIN"})

    return app


def test_every_response_has_security_headers(app: FastAPI) -> None:
    client = TestClient(app, "https://testserver", raise_server_exceptions=False)

    for path in ["/docs", "/openapi.json", "/stream", "/nowhere", "/broken"]:
        headers = client.get(path).headers

        assert {name: headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS, path


def test_policy_allows_scripts_of_this_service_only(idle_client: TestClient) -> None:
    policy = idle_client.get("/docs").headers["content-security-policy"]

    assert "default-src 'none';" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(("scheme", "sent"), [("http", False), ("https", True)])
def test_hsts_is_sent_over_https_only(app: FastAPI, scheme: str, sent: bool) -> None:
    response = TestClient(app, base_url=f"{scheme}://testserver").get("/docs")

    assert ("strict-transport-security" in response.headers) is sent


def test_header_of_route_takes_precedence(idle_client: TestClient) -> None:
    response = idle_client.get("/framed")

    assert response.headers["x-frame-options"] == "SAMEORIGIN"
