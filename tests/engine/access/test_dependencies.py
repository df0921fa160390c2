"""Authorization of routes: `requires`, `PUBLIC` and `require_token`."""

import logging
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.testclient import TestClient
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.types import Message

from streaming_api.streaming import PUBLIC, Caller, Scope, StreamRoute, requires
from streaming_api.streaming.access.authentication import Sessions, TokenBackend
from streaming_api.streaming.access.dependencies import COOKIE, require_token
from streaming_api.streaming.access.tokens import hash_token
from streaming_api.streaming.problems import problem_handlers
from streaming_api.streaming.registry import Streams

READ = next(iter(Scope))
ALL = hash_token("all")
TOKENS = {ALL: frozenset(Scope), hash_token("none"): frozenset[Scope]()}
SESSIONS = Sessions("key", 60)
MAX_BYTES = 10


class Limits:
    """The settings that routes use."""

    max_event_bytes = MAX_BYTES


async def first() -> str:
    return "ok"


async def read_body(request: Request, parameter: str = "") -> int:
    return len(await request.body())


async def get_caller(caller: Annotated[Caller, Depends(require_token)]) -> str:
    return caller.id


@pytest.fixture
def app() -> FastAPI:
    """An application with a route for each rule."""
    app = FastAPI(exception_handlers=problem_handlers)
    app.state.settings = Limits()
    app.state.streams = Streams(send_timeout=30, max_seconds=0, max_per_client=1, grace=0)
    router = APIRouter(route_class=StreamRoute)
    router.add_api_route("/public", first, dependencies=[PUBLIC])
    router.add_api_route("/token", get_caller)
    router.add_api_route("/body", read_body, methods=["POST"], dependencies=[requires(READ)])
    for scope in Scope:
        router.add_api_route(f"/{scope}", first, dependencies=[requires(scope)])
    app.include_router(router)
    app.include_router(router, prefix="/included", dependencies=[requires(READ)])
    app.add_middleware(AuthenticationMiddleware, backend=TokenBackend(TOKENS, SESSIONS))
    return app


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), bearer("none"), bearer("all")])
def test_public_route_is_open_to_every_caller(
    idle_client: TestClient, headers: dict[str, str]
) -> None:
    assert idle_client.get("/public", headers=headers).status_code == 200


@pytest.mark.parametrize("scope", Scope)
def test_route_that_requires_scope_accepts_token_with_it(
    idle_client: TestClient, scope: Scope
) -> None:
    assert idle_client.get(f"/{scope}", headers=bearer("all")).status_code == 200


@pytest.mark.parametrize("scope", Scope)
def test_session_is_accepted_except_for_publishing(idle_client: TestClient, scope: Scope) -> None:
    idle_client.cookies.set(COOKIE, SESSIONS.sign(ALL))

    response = idle_client.get(f"/{scope}")

    assert response.status_code == (403 if scope == "publish" else 200)


@pytest.mark.parametrize("path", [f"/{READ}", "/body", "/included/public"])
@pytest.mark.parametrize(
    ("headers", "status", "challenge"),
    [
        ({}, 401, 'Bearer realm="streaming_api"'),
        (bearer("wrong"), 401, 'Bearer error="invalid_token"'),
        (bearer("none"), 403, f'Bearer error="insufficient_scope", scope="{READ}"'),
    ],
)
def test_rejected_caller_gets_challenge(
    idle_client: TestClient, path: str, headers: dict[str, str], status: int, challenge: str
) -> None:
    method = "POST" if path == "/body" else "GET"

    response = idle_client.request(method, path, headers=headers)

    assert response.status_code == response.json()["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"] == challenge


@pytest.mark.anyio
async def test_scope_is_checked_before_body_is_read(app: FastAPI) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        pytest.fail("the body is read")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/body",
        "query_string": b"",
        "headers": [],
    }
    await app(scope, receive, send)

    assert sent[0]["status"] == 401


def test_scope_is_checked_before_parameters(idle_client: TestClient) -> None:
    response = idle_client.post("/body?parameter=1&parameter=2")

    assert response.status_code == 401


@pytest.mark.parametrize(("by_session", "status"), [(False, 200), (True, 401)])
def test_required_token_is_no_session(
    idle_client: TestClient, by_session: bool, status: int
) -> None:
    if by_session:
        idle_client.cookies.set(COOKIE, SESSIONS.sign(ALL))

    response = idle_client.get("/token", headers={} if by_session else bearer("all"))

    assert response.status_code == status
    assert (response.json() == ALL) is not by_session


@pytest.mark.parametrize("token", ["secret", "wrong"])
def test_token_is_neither_logged_nor_returned(
    caplog: pytest.LogCaptureFixture, idle_client: TestClient, token: str
) -> None:
    caplog.set_level(logging.DEBUG)

    responses = [
        idle_client.get(path, headers=bearer(token)) for path in ("/token", f"/{READ}", "/nowhere")
    ]

    assert caplog.records
    assert token not in caplog.text
    for response in responses:
        assert token not in response.text + str(response.headers)
