"""`CrossOriginMiddleware`: requests that a browser sends for pages of other origins."""

import logging
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from streaming_api.streaming.origins import CrossOriginMiddleware

from .variant import TOKENS

SAFE_METHODS = ["GET", "HEAD", "OPTIONS"]
UNSAFE_METHODS = ["DELETE", "PATCH", "POST", "PUT"]
CROSS_ORIGIN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    *(
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": each}
        for each in ("document", "embed", "frame", "iframe", "object")
    ),
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "document"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1234"},
    {"Origin": "http://["},
    {"Origin": "http://localhost:8000.evil.example"},
    {"Origin": "https://app.example.com.evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://app.example.com", "Sec-Fetch-Site": "cross-site"},
]
SAME_ORIGIN = [
    {},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8000"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://localhost:8000"},
    {"Origin": "https://localhost:8000"},
    {"Origin": "https://app.example.com"},
    {"Origin": "https://app.example.com", "Sec-Fetch-Site": "cross-site"},
]


async def accept(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept every request that passes the middleware."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await PlainTextResponse("accepted")(scope, receive, send)


def make_client(*, protect_reads: bool = False, **options: Any) -> TestClient:
    """Return a client of the middleware, which allows one other origin."""
    middleware = CrossOriginMiddleware(
        accept, origins=("https://app.example.com",), protect_reads=protect_reads
    )
    return TestClient(middleware, base_url="http://localhost:8000", **options)


def statuses(protect_reads: bool, headers: dict[str, str], methods: list[str]) -> set[int]:
    """Return the statuses of requests with these methods."""
    client = make_client(protect_reads=protect_reads)
    return {client.request(method, "/", headers=headers).status_code for method in methods}


@pytest.mark.parametrize("headers", CROSS_ORIGIN)
@pytest.mark.parametrize("protect_reads", [True, False])
def test_unsafe_request_of_other_origin_is_rejected(
    headers: dict[str, str], protect_reads: bool
) -> None:
    assert statuses(protect_reads, headers, UNSAFE_METHODS) == {403}


@pytest.mark.parametrize("headers", SAME_ORIGIN)
@pytest.mark.parametrize("protect_reads", [True, False])
def test_request_of_same_or_allowed_origin_is_accepted(
    headers: dict[str, str], protect_reads: bool
) -> None:
    assert statuses(protect_reads, headers, UNSAFE_METHODS + SAFE_METHODS) == {200}


@pytest.mark.parametrize("headers", CROSS_ORIGIN)
def test_safe_request_of_other_origin_is_accepted(headers: dict[str, str]) -> None:
    assert statuses(False, headers, SAFE_METHODS) == {200}


@pytest.mark.parametrize("headers", CROSS_ORIGIN)
def test_safe_request_of_other_origin_is_rejected_with_protected_reads(
    headers: dict[str, str],
) -> None:
    fetch = headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest")
    expected = 200 if fetch == ("navigate", "document") else 403

    assert statuses(True, headers, SAFE_METHODS) == {expected}


def test_rejection_is_problem_document() -> None:
    response = make_client().post("/", headers={"Origin": "null"})

    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("root_path", ["", "/api"])
def test_health_is_open_to_every_origin(root_path: str) -> None:
    client = make_client(protect_reads=True, root_path=root_path)
    headers = {"Sec-Fetch-Site": "cross-site"}

    for path in ("health", "live", "ready"):
        assert client.get(f"{root_path}/{path}", headers=headers).status_code == 200
    assert client.get(f"{root_path}/healthy", headers=headers).status_code == 403


def test_websocket_of_other_origin_is_rejected() -> None:
    with make_client().websocket_connect("/", headers={"Origin": "http://testserver"}):
        pass

    with (
        pytest.raises(WebSocketDisconnect) as closed,
        make_client().websocket_connect("/", headers={"Origin": "https://evil.example"}),
    ):
        pass
    assert closed.value.code == 1008


@pytest.mark.parametrize("path", ["/events/news", "/nowhere", "/static/docs/docs.js"])
@pytest.mark.parametrize("origin", ["", "Origin: https://evil.example\r\n"])
def test_rejected_websocket_is_no_error_of_the_server(
    server: str, caplog: pytest.LogCaptureFixture, path: str, origin: str
) -> None:
    caplog.set_level(logging.INFO)
    address = urlsplit(server)
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\n{origin}"
        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )

    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(request.encode())
        response = b"".join(iter(lambda: connection.recv(4096), b""))

    assert response.startswith(b"HTTP/1.1 403 ")
    assert not [each for each in caplog.records if each.levelno > logging.INFO]


def test_lifespan_passes() -> None:
    events = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        events.append(scope["type"])
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    with TestClient(CrossOriginMiddleware(app, origins=(), protect_reads=True)):
        pass

    assert events == ["lifespan"]


@pytest.mark.parametrize(
    "settings",
    [{"cors_origins": "https://app.example.com, https://two.example.com"}],
    indirect=True,
)
@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://app.example.com", True),
        ("https://two.example.com", True),
        ("http://app.example.com", False),
        ("https://app.example.com:8443", False),
        ("https://app.example.com.evil.example", False),
        ("null", False),
    ],
)
def test_listed_origins_can_read_without_cookies(
    idle_client: TestClient, origin: str, expected: bool
) -> None:
    preflight = {
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization, traceparent, x-stainless-lang",
    }

    response = idle_client.get("/openapi.json", headers={"Origin": origin})
    allowed = idle_client.options("/openapi.json", headers=preflight)

    assert (response.headers.get("access-control-allow-origin") == origin) is expected
    assert "access-control-allow-credentials" not in response.headers
    assert (allowed.status_code == 200) is expected


def test_without_listed_origins_none_can_read(idle_client: TestClient) -> None:
    response = idle_client.get("/openapi.json", headers={"Origin": "https://app.example.com"})

    assert "access-control-allow-origin" not in response.headers


if TOKENS:
    READS: list[tuple[dict[str, Any], int]] = [
        ({}, 403),
        ({"allow_anonymous": True}, 200),
        ({"api_tokens": '{"secret": []}'}, 200),
    ]
else:
    READS = [({}, 200)]


@pytest.mark.parametrize(("settings", "status"), READS, indirect=["settings"])
def test_reads_are_protected_without_authentication(idle_client: TestClient, status: int) -> None:
    response = idle_client.get("/openapi.json", headers={"Sec-Fetch-Site": "cross-site"})

    assert response.status_code == status
