"""`StreamRoute`: requests that are rejected before a path operation runs, and its description."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.testclient import TestClient
from starlette.authentication import AuthCredentials
from starlette.types import Message, Scope

from streaming_api import streaming
from streaming_api.streaming import StreamRoute
from streaming_api.streaming import routes as module
from streaming_api.streaming.problems import problem_handlers
from streaming_api.streaming.registry import Streams

from .variant import CSV, EXPORTS, SSE, TOKENS

MAX_BYTES = 100
POST_BODY: Scope = {
    "type": "http",
    "method": "POST",
    "path": "/body",
    "query_string": b"",
    "headers": [],
}


async def page(limit: int = 10, size: Annotated[int, Query(alias="pageSize")] = 10) -> None:
    """Read parameters as a dependency does."""


async def nested(_: Annotated[None, Depends(page)], after: str = "") -> None:
    """Depend on another dependency."""


@pytest.fixture
def client() -> TestClient:
    """A client of an application with two routes of the class."""
    router = APIRouter(route_class=StreamRoute, dependencies=[Depends(nested)])

    @router.get("/parameters")
    async def parameters(
        one: int | None = None,
        items: Annotated[list[str], Query()] = [],  # noqa: B006
        optional: Annotated[list[str] | None, Query()] = None,
        pair: Annotated[tuple[Annotated[str, "text"], ...], Query()] = (),
        unique: Annotated[frozenset[str] | set[str], Query()] = frozenset(),
    ) -> None: ...

    @router.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    app = FastAPI(exception_handlers=problem_handlers)
    app.state.settings = SimpleNamespace(max_event_bytes=MAX_BYTES)
    app.state.streams = Streams(send_timeout=0.2, max_seconds=0, max_per_client=1, grace=0)
    app.include_router(router)
    outer = APIRouter(dependencies=[Depends(inherited)])
    outer.include_router(router, prefix="/inner")
    app.include_router(outer, prefix="/outer", dependencies=[Depends(included)])
    return TestClient(app)


async def inherited(inner: str = "") -> None:
    """Read a parameter for all routes of a router that includes another."""


async def included(outer: str = "") -> None:
    """Read a parameter for all routes of an included router."""


@pytest.mark.parametrize("name", ["one", "limit", "pageSize", "after"])
def test_single_valued_parameter_sent_twice_returns_422(client: TestClient, name: str) -> None:
    response = client.get("/parameters", params={name: ["1", "1"]})

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == f"query.{name}: expected one value, got 2."


@pytest.mark.parametrize("name", ["one", "limit", "inner", "outer"])
def test_duplicate_parameter_of_including_router_returns_422(client: TestClient, name: str) -> None:
    once = client.get("/outer/inner/parameters", params={name: "1"})
    twice = client.get("/outer/inner/parameters", params={name: ["1", "1"]})

    assert once.status_code == 200
    assert twice.status_code == 422
    assert twice.json()["detail"] == f"query.{name}: expected one value, got 2."


def test_parameter_of_including_router_is_unknown_elsewhere(client: TestClient) -> None:
    assert client.get("/parameters", params={"outer": ["1", "1"]}).status_code == 200


@pytest.mark.parametrize("name", ["items", "optional", "pair", "unique", "unknown"])
def test_other_parameter_sent_twice_is_accepted(client: TestClient, name: str) -> None:
    response = client.get("/parameters", params={name: ["1", "1"], "limit": "1"})

    assert response.status_code == 200


ROUTES = [
    *(["/events/news?last_event_id={}", "/events/news?lastEventId={}"] if SSE else []),
    *(["/export/items?after={}", "/export/items?limit={}"] if EXPORTS else []),
    *(["/export/users.csv?bom={}", "/export/users?bom={}"] if CSV else []),
]


@pytest.mark.parametrize("path", ROUTES)
def test_routes_of_engine_reject_duplicate_parameters(idle_client: TestClient, path: str) -> None:
    path = path.format(1)
    duplicate = path.partition("?")[2]

    response = idle_client.get(f"{path}&{duplicate}")

    assert response.status_code == 422
    assert response.json()["detail"].endswith(": expected one value, got 2.")


def in_chunks(size: int) -> Iterator[bytes]:
    """Yield a body of that size, whose length is not in a header."""
    for _ in range(size):
        yield b"x"


if SSE:

    @pytest.mark.parametrize("content", [b"x" * MAX_BYTES, in_chunks(MAX_BYTES)])
    def test_body_of_maximum_size_is_accepted(
        client: TestClient, content: bytes | Iterator[bytes]
    ) -> None:
        response = client.post("/body", content=content)

        assert response.json() == MAX_BYTES

    @pytest.mark.parametrize("content", [b"x" * (MAX_BYTES + 1), in_chunks(MAX_BYTES + 1)])
    def test_larger_body_returns_413(client: TestClient, content: bytes | Iterator[bytes]) -> None:
        response = client.post("/body", content=content)

        assert response.status_code == 413
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["detail"] == f"The body is larger than {MAX_BYTES} bytes."

    def test_bodies_of_all_requests_are_limited(
        client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MAX_BODIES_BYTES", 2 * MAX_BYTES)
        streams: Streams = client.app.state.streams  # type: ignore[attr-defined]
        streams.body_bytes = MAX_BYTES + 1

        refused = client.post("/body", content=b"x" * MAX_BYTES)
        streams.body_bytes -= 1
        accepted = client.post("/body", content=b"x" * MAX_BYTES)

        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["detail"] == "Too many request bodies."
        assert accepted.status_code == 200
        assert streams.body_bytes == MAX_BYTES

    def test_body_within_its_own_limit_is_accepted_alone(
        client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MAX_BODIES_BYTES", MAX_BYTES // 2)

        assert client.post("/body", content=b"x" * MAX_BYTES).status_code == 200

    @pytest.mark.anyio
    async def test_silent_body_is_rejected(client: TestClient) -> None:
        sent: list[Message] = []
        parts = [b"x", b"y"]

        async def receive() -> Message:
            if not parts:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": parts.pop(), "more_body": True}

        async def send(message: Message) -> None:
            sent.append(message)

        await client.app(POST_BODY, receive, send)

        assert sent[0]["status"] == 408
        assert (b"connection", b"close") in sent[0]["headers"]


if TOKENS:

    @pytest.mark.anyio
    async def test_scope_of_including_router_is_checked_before_body_is_read() -> None:
        sent: list[Message] = []

        async def receive() -> Message:
            pytest.fail("the body is read")

        async def send(message: Message) -> None:
            sent.append(message)

        router = APIRouter(route_class=StreamRoute)

        @router.post("/body")
        async def body(request: Request) -> int:
            return len(await request.body())

        app = FastAPI(exception_handlers=problem_handlers)
        app.state.settings = SimpleNamespace(max_event_bytes=MAX_BYTES)
        app.state.streams = Streams(send_timeout=30, max_seconds=0, max_per_client=1, grace=0)
        app.include_router(router, dependencies=[streaming.requires(next(iter(streaming.Scope)))])
        unknown = {"auth": AuthCredentials(), "user": streaming.Caller()}
        await app(POST_BODY | unknown, receive, send)

        assert sent[0]["status"] == 401
