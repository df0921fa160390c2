"""What is turned away before any route is looked for."""

from typing import Any

import pytest
from fastapi import WebSocket
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from {{ cookiecutter.__package_name }}.access.hosts import host_name
from {{ cookiecutter.__package_name }}.main import create_app
from {{ cookiecutter.__package_name }}.settings import Settings

LOCAL = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
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
REMOTE = ["192.0.2.1", "10.0.0.1", "::ffff:192.0.2.1", "2001:db8::1", "0.0.0.0"]  # noqa: S104
TOKENS = {"api_tokens": '{"secret": ["events"]}'}


def client_at(address: str, **settings: Any) -> TestClient:
    """Return a client at that address of an application with those settings."""
    return TestClient(create_app(Settings(**settings)), client=(address, 50000))


@pytest.mark.parametrize("address", LOCAL)
def test_without_tokens_this_machine_comes_in(address: str) -> None:
    assert client_at(address).get("/").status_code == 200


@pytest.mark.parametrize("address", REMOTE)
@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/session", "/static/icon.svg"])
def test_without_tokens_no_other_machine_comes_in(address: str, path: str) -> None:
    response = client_at(address).get(path)

    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    assert "API_TOKENS" in response.json()["detail"]


@pytest.mark.parametrize("address", ["127.0.0.1", "unknown", "testclient"])
@pytest.mark.parametrize("forwarded", FORWARDED)
def test_who_came_through_a_proxy_is_where_the_proxy_says(address: str, forwarded: str) -> None:
    response = client_at(address).get("/", headers={"X-Forwarded-For": forwarded})

    assert response.status_code == 403


@pytest.mark.parametrize("forwarded", ["127.0.0.1", "::1, 127.0.0.1"])
def test_a_proxy_on_this_machine_brings_who_is_on_it_in(forwarded: str) -> None:
    client = client_at("127.0.0.1")

    assert client.get("/", headers={"X-Forwarded-For": forwarded}).status_code == 200


def test_who_comes_through_a_socket_file_is_not_known_to_be_here() -> None:
    app = create_app()

    async def without_address(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "client": None}, receive, send)

    assert TestClient(without_address).get("/").status_code == 403


@pytest.mark.parametrize("settings", [{"allow_anonymous": True}, TOKENS])
def test_others_come_in_where_someone_guards_the_door(settings: dict[str, Any]) -> None:
    assert client_at("192.0.2.1", **settings).get("/").status_code == 200


@pytest.mark.parametrize("root_path", ["", "/api"])
def test_health_is_always_open(root_path: str) -> None:
    app = create_app(Settings(allowed_hosts="app.example.com"))  # type: ignore[arg-type]

    with TestClient(app, client=("192.0.2.1", 50000), root_path=root_path) as client:
        assert client.get(f"{root_path}/health").status_code == 200


def test_a_host_that_is_none_is_a_bad_request() -> None:
    assert client_at("127.0.0.1").get("/", headers={"Host": "["}).status_code == 400


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "app.localhost", ""])
def test_without_tokens_this_machine_is_asked_by_its_own_names(host: str) -> None:
    assert client_at("127.0.0.1").get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example:8000", "evil.example.", "127.0.0.1.evil.example"])
def test_a_name_that_was_pointed_at_this_machine_is_refused(host: str) -> None:
    response = client_at("127.0.0.1").get("/", headers={"Host": host})

    assert response.status_code == 403
    assert "ALLOWED_HOSTS" in response.json()["detail"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("app.example.com", 200),
        ("APP.example.com:8443", 200),
        ("localhost", 400),
        ("evil.example", 400),
        ("[", 400),
        ("", 400),
    ],
)
@pytest.mark.parametrize("settings", [{}, TOKENS])
def test_only_named_hosts_are_served(host: str, status: int, settings: dict[str, Any]) -> None:
    client = client_at("127.0.0.1", allowed_hosts="app.example.com, ::1", **settings)

    assert client.get("/", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1234", "Host": "localhost:8000"},
        {"Origin": "http://["},
    ],
)
def test_a_page_of_another_origin_changes_nothing(headers: dict[str, str]) -> None:
    client = client_at("127.0.0.1", **TOKENS)

    assert client.delete("/session", headers=headers).status_code == 403
    assert client.get("/session", headers=headers).status_code == 200


def test_without_tokens_a_page_of_another_site_asks_for_nothing_and_links_here() -> None:
    client = client_at("127.0.0.1")

    asked = client.get("/session", headers={"Sec-Fetch-Site": "cross-site"})
    linked = client.get(
        "/docs", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    )

    assert (asked.status_code, linked.status_code) == (403, 200)


def test_a_websocket_is_met_at_the_door_too() -> None:
    app = create_app()

    @app.websocket("/ws")
    async def accept(websocket: WebSocket) -> None:
        await websocket.accept()

    with (
        pytest.raises(WebSocketDenialResponse),
        TestClient(app, client=("192.0.2.1", 50000)).websocket_connect("/ws"),
    ):
        pass
    with TestClient(app).websocket_connect("/ws"):
        pass


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8000"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost:8000", "Host": "localhost:8000"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example.com"},
    ],
)
def test_its_own_pages_and_the_named_ones_may(headers: dict[str, str]) -> None:
    client = client_at("127.0.0.1", cors_origins="https://app.example.com")

    assert client.delete("/session", headers=headers).status_code == 204


def test_no_origin_is_let_read_unless_it_is_named() -> None:
    origin = {"Origin": "https://app.example.com"}

    response = client_at("127.0.0.1").get("/", headers=origin)

    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.example.com", True),
        ("https://two.example.com", True),
        ("http://app.example.com", False),
        ("https://app.example.com:8443", False),
        ("https://app.example.com.evil.example", False),
        ("null", False),
    ],
)
def test_exactly_the_named_origins_may_read(origin: str, allowed: bool) -> None:
    client = client_at(
        "127.0.0.1", cors_origins='["https://app.example.com", "https://two.example.com"]'
    )

    answer = client.get("/", headers={"Origin": origin}).headers
    preflight = client.options(
        "/session",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        },
    )

    assert (answer.get("access-control-allow-origin") == origin) is allowed
    assert "access-control-allow-credentials" not in answer
    assert (preflight.status_code == 200) is allowed


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
def test_a_host_is_a_name_without_its_port(host: str, name: str) -> None:
    assert host_name(host) == name
