"""Every response has one request id, and so has what is logged on the way."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncClient
from starlette.types import Receive, Scope, Send

from {{ cookiecutter.__package_name }}.middleware import RequestIdMiddleware
from {{ cookiecutter.__package_name }}.middleware.request_id import request_id
from {{ cookiecutter.__package_name }}.streaming import Chunk, StreamResponse

HYPHENS = "6f1c2b1e-98b5-4f0c-9d43-0b7a4f5a1c11"


class IdResponse(StreamResponse):
    """Streams the request id, as its iterator sees it."""

    media_type = "text/plain"


async def seen_ids() -> AsyncGenerator[Chunk, None]:
    yield Chunk(request_id.get().encode(), 1)


@pytest.fixture
def client(app: FastAPI, idle_client: TestClient) -> TestClient:
    """A client of an application with a stream, and with a route that fails."""

    @app.get("/id")
    async def stream() -> IdResponse:
        return IdResponse(seen_ids())

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    return idle_client


@pytest.mark.parametrize("path", ["/", "/id", "/nowhere", "/broken"])
def test_every_response_has_a_new_id(client: TestClient, path: str) -> None:
    first, second = (client.get(path).headers["x-request-id"] for _ in range(2))

    assert UUID(first).version == 4
    assert first != second


@pytest.mark.parametrize("given", [HYPHENS, HYPHENS.upper(), HYPHENS.replace("-", "")])
def test_a_uuid_of_the_client_is_kept(client: TestClient, given: str) -> None:
    response = client.get("/id", headers={"X-Request-Id": given})

    assert response.headers["x-request-id"] == response.text == given


@pytest.mark.parametrize(
    "given",
    [
        "",
        "42",
        "request-1",
        HYPHENS + "0",
        HYPHENS.replace("-", "", 1),
        HYPHENS.replace("6", "g"),
        "{" + HYPHENS + "}",
        f"urn:uuid:{HYPHENS}",
        f"{HYPHENS}\treason=complete",
        "<script>alert(1)</script>",
    ],
)
def test_anything_else_is_replaced(client: TestClient, given: str) -> None:
    response = client.get("/id", headers={"X-Request-Id": given})

    assert response.headers["x-request-id"] == response.text != given
    assert UUID(response.text).version == 4


def test_a_line_break_in_an_id_reaches_neither_the_headers_nor_the_log(client: TestClient) -> None:
    response = client.get("/id", headers={"X-Request-Id": f"{HYPHENS}\nX-Injected: 1"})

    assert "x-injected" not in response.headers
    assert "\n" not in response.headers["x-request-id"]


def test_the_id_is_there_before_the_first_chunk(client: TestClient) -> None:
    with client.stream("GET", "/id") as response:
        header = response.headers["x-request-id"]

        assert response.read().decode() == header


def test_the_end_of_a_stream_is_logged_with_its_id(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    given = client.get("/id").headers["x-request-id"]

    assert f"stream ended request_id={given} route=/id " in caplog.text


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_requests_at_the_same_time_have_their_own_ids(anyio_backend: str) -> None:
    everyone_is_here = asyncio.Barrier(10)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await everyone_is_here.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": request_id.get().encode()})

    given = [str(uuid4()) for _ in range(10)]
    transport = ASGITransport(RequestIdMiddleware(app))
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        responses = await asyncio.gather(
            *(client.get("/", headers={"X-Request-Id": each}) for each in given)
        )

    assert [response.text for response in responses] == given
    assert [response.headers["x-request-id"] for response in responses] == given
    assert request_id.get() == "-"
