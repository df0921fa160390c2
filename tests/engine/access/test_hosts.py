"""`HostMiddleware`: host names, and requests from other machines in a service without tokens."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from streaming_api.streaming.access.hosts import HostMiddleware, host_name, is_loopback

LOCAL = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "testclient"]
REMOTE = ["192.0.2.1", "10.0.0.1", "::ffff:192.0.2.1", "2001:db8::1", "0.0.0.0"]  # noqa: S104
FORWARDED = [
    "203.0.113.7",
    "127.0.0.1, 203.0.113.7",
    "203.0.113.7, 127.0.0.1",
    "unknown",
    "unix:",
    "_hidden",
    "[::1",
    "localhost",
]
CLIENT_HEADERS = [
    "CF-Connecting-IP",
    "CF-Connecting-IPv6",
    "CloudFront-Viewer-Address",
    "Fastly-Client-IP",
    "True-Client-IP",
    "X-Azure-ClientIP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Envoy-External-Address",
    "X-Original-Forwarded-For",
    "X-Real-IP",
    "X-Remote-Addr",
]
PROXY_HEADERS = [
    {"CDN-Loop": "cloudflare"},
    {"Forwarded": "for=203.0.113.7"},
    {"Forwarded": "for=127.0.0.1"},
    {"Via": "1.1 proxy"},
    {"X-Forwarded-Host": "app.example.com"},
    {"X-Forwarded-Proto": "https"},
    {"X-Forwarded": "for=203.0.113.7"},
]


async def accept(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept every request that passes the middleware."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await PlainTextResponse("accepted")(scope, receive, send)


def make_client(address: str = "127.0.0.1", **options: Any) -> TestClient:
    """Return a client at `address` of the middleware, by default of a service without tokens."""
    middleware = HostMiddleware(accept, **{"local_only": True, "hosts": (), **options})
    return TestClient(middleware, base_url="http://localhost", client=(address, 50000))


@pytest.mark.parametrize("address", LOCAL)
def test_local_service_accepts_own_machine(address: str) -> None:
    assert make_client(address).get("/").status_code == 200


@pytest.mark.parametrize("address", REMOTE)
def test_local_service_rejects_other_machines(address: str) -> None:
    response = make_client(address).get("/")

    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    assert "API_TOKENS" in response.json()["detail"]


@pytest.mark.parametrize("address", ["127.0.0.1", "unknown", "testclient"])
@pytest.mark.parametrize("forwarded", FORWARDED)
def test_local_service_rejects_forwarded_requests(address: str, forwarded: str) -> None:
    response = make_client(address).get("/", headers={"X-Forwarded-For": forwarded})

    assert response.status_code == 403


@pytest.mark.parametrize("forwarded", ["127.0.0.1", "::1, 127.0.0.1"])
def test_local_service_accepts_requests_of_local_proxy(forwarded: str) -> None:
    response = make_client().get("/", headers={"X-Forwarded-For": forwarded})

    assert response.status_code == 200


@pytest.mark.parametrize("name", CLIENT_HEADERS)
@pytest.mark.parametrize(
    ("value", "status"),
    [("203.0.113.7", 403), ("unknown", 403), ("", 403), ("127.0.0.1", 200), ("::1", 200)],
)
def test_local_service_accepts_proxy_that_names_a_local_client_only(
    name: str, value: str, status: int
) -> None:
    # A proxy may pass on the header in which a client claims to be local.
    for headers in ({name: value}, {name: value, "X-Forwarded-For": "127.0.0.1"}):
        assert make_client().get("/", headers=headers).status_code == status


@pytest.mark.parametrize("headers", PROXY_HEADERS, ids=str)
def test_local_service_rejects_proxy_that_does_not_name_its_client(headers: dict[str, str]) -> None:
    assert make_client().get("/", headers=headers).status_code == 403


@pytest.mark.parametrize("headers", PROXY_HEADERS[:4], ids=str)
def test_claim_of_client_does_not_hide_a_proxy(headers: dict[str, str]) -> None:
    headers = {**headers, "X-Forwarded-For": "127.0.0.1"}

    assert make_client().get("/", headers=headers).status_code == 403


def test_local_proxy_may_name_host_and_scheme_too() -> None:
    headers = {
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Host": "localhost:5173",
        "X-Forwarded-Proto": "http",
    }

    assert make_client().get("/", headers=headers).status_code == 200


@pytest.mark.parametrize("name", ["Content-Description", "X-Zip", "Skip", "User-Agent", "Accept"])
def test_other_headers_are_not_those_of_a_proxy(name: str) -> None:
    assert make_client().get("/", headers={name: "192.0.2.1"}).status_code == 200


def test_local_service_rejects_unknown_client() -> None:
    middleware = HostMiddleware(accept, local_only=True, hosts=())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await middleware({**scope, "client": None}, receive, send)

    assert TestClient(app).get("/").status_code == 403


def test_open_service_accepts_other_machines() -> None:
    assert make_client("192.0.2.1", local_only=False).get("/").status_code == 200


@pytest.mark.parametrize("root_path", ["", "/api"])
def test_health_is_open_to_every_host(root_path: str) -> None:
    middleware = HostMiddleware(accept, local_only=True, hosts=("app.example.com",))
    client = TestClient(middleware, client=("192.0.2.1", 50000), root_path=root_path)

    for path in ("health", "live", "ready"):
        assert client.get(f"{root_path}/{path}").status_code == 200
    assert client.get(f"{root_path}/healthy").status_code == 400


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "app.localhost", ""])
def test_local_service_accepts_its_host_names(host: str) -> None:
    assert make_client().get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example:8000", "evil.example.", "127.0.0.1.evil.example"])
def test_local_service_rejects_rebound_host_name(host: str) -> None:
    response = make_client().get("/", headers={"Host": host})

    assert response.status_code == 403
    assert "ALLOWED_HOSTS" in response.json()["detail"]


@pytest.mark.parametrize("local_only", [True, False])
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("app.example.com", 200),
        ("APP.example.com:8443", 200),
        ("[::1]:8000", 200),
        ("localhost", 400),
        ("evil.example", 400),
        ("[", 400),
        ("", 400),
    ],
)
def test_service_with_allowed_hosts_rejects_others(
    host: str, status: int, local_only: bool
) -> None:
    client = make_client(hosts=("app.example.com", "::1"), local_only=local_only)

    assert client.get("/", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("local_only", [True, False])
@pytest.mark.parametrize("hosts", [["["], ["localhost", "127.0.0.1"]], ids=["malformed", "two"])
def test_invalid_host_is_rejected(hosts: list[str], local_only: bool) -> None:
    headers = [("Host", host) for host in hosts]

    assert make_client(local_only=local_only).get("/", headers=headers).status_code == 400


def test_websocket_of_other_machine_is_rejected() -> None:
    with make_client().websocket_connect("/"):
        pass

    with (
        pytest.raises(WebSocketDisconnect) as closed,
        make_client("192.0.2.1").websocket_connect("/"),
    ):
        pass
    assert closed.value.code == 1008


def test_lifespan_passes() -> None:
    events = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        events.append(scope["type"])
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    with TestClient(HostMiddleware(app, local_only=True, hosts=("app.example.com",))):
        pass

    assert events == ["lifespan"]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("a:80", "a"),
        ("A.b", "a.b"),
        ("[::1]:80", "::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("", ""),
        ("[", ""),
        ("a/b", "a"),
        ("user@a", "a"),
    ],
)
def test_host_name_has_no_port(host: str, name: str) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("app.localhost", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("app.example.com", False),
        ("", False),
    ],
)
def test_loopback_is_known_by_name_and_address(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
