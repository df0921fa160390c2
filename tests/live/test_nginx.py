"""The service behind nginx, with the configuration of the project."""

import re
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from httpx_sse import connect_sse

from support.process import listener, logged
from support.project import Project
from support.servers import nginx
from support.service import ROWS, Service
from support.tools import free_port, require, run

PATIENCE = 60
"""Time limit in seconds for what takes a moment."""
HEARTBEATS = 6
"""Number of heartbeats, one a second, that last longer than the read timeout of nginx."""
BROKEN_ROW = ROWS // 2
FAILURE = f"abs(CASE id WHEN {BROKEN_ROW} THEN -9223372036854775807 - 1 ELSE 0 END) = 0"
"""A condition that is true for all rows but one, where it overflows."""


@dataclass(frozen=True)
class Proxied:
    """A service, an nginx in front of it, and their logs."""

    url: str
    service_url: str
    service_log: Path
    access_log: Path


@pytest.fixture(scope="module")
def proxied(
    default_project: Project, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    """A service behind nginx, with an item that cannot be read."""
    folder = tmp_path_factory.mktemp("nginx")
    database = folder / "broken.db"
    service.rows(f"VACUUM INTO '{database}'")
    service_port, port = free_port(), free_port()
    access_log = folder / "access.log"
    replacements = {
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{service_port};",
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "access_log /var/log/nginx/access.log ": f"access_log {access_log} ",
        # Four times HEARTBEAT_SECONDS, as in the file.
        "proxy_read_timeout 60s;": "proxy_read_timeout 4s;",
        "client_header_timeout 10s;": "client_header_timeout 1s;",
        "client_body_timeout 10s;": "client_body_timeout 1s;",
    }
    log = folder / "service.log"
    with (
        listener(
            *(require("uv"), "run", default_project.slug, "serve"),
            port=service_port,
            cwd=default_project.path,
            log=log,
            env={
                "DATABASE_URL": f"sqlite:///{database}",
                "PORT": str(service_port),
                "HEARTBEAT_SECONDS": "1",
            },
        ),
        nginx(default_project.read("deploy/nginx.conf"), replacements, port=port, folder=folder),
    ):
        break_items(database)
        url, service_url = (f"http://127.0.0.1:{number}" for number in (port, service_port))
        yield Proxied(url, service_url, log, access_log)


def break_items(database: Path) -> None:
    """Replace the items by a view that fails at one row."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("ALTER TABLE items RENAME TO items_before")
        connection.execute(
            f"CREATE VIEW items AS SELECT * FROM items_before WHERE {FAILURE}"  # noqa: S608
        )


def test_event_arrives_while_stream_is_open(proxied: Proxied) -> None:
    published, arrived = [], []

    with (
        httpx.Client(base_url=proxied.url, timeout=PATIENCE) as client,
        connect_sse(client, "GET", "/events/through") as source,
    ):
        events = source.iter_sse()
        ready = next(events)
        for number in range(3):
            response = client.post("/events/through", json={"data": number})
            published.append((response.json()["id"], str(number)))
            event = next(events)
            arrived.append((event.id, event.data))

    assert ready.event == "ready"
    assert arrived == published


@pytest.mark.parametrize("path", ["/events/protocol", "/export/users.csv?limit=1", "/health"])
def test_nginx_requests_http_1_1(proxied: Proxied, path: str) -> None:
    with httpx.stream("GET", proxied.url + path) as response:
        next(response.iter_raw())

    assert f'"GET {path} HTTP/1.1" 200' in logged(proxied.service_log, f'"GET {path} ')


def test_heartbeats_keep_idle_stream_open(proxied: Proxied) -> None:
    command = (require("curl"), "--no-buffer", "--silent", "--max-time", str(PATIENCE))

    with subprocess.Popen(
        [*command, f"{proxied.url}/events/idle"], stdout=subprocess.PIPE, encoding="utf-8"
    ) as curl:
        assert curl.stdout is not None
        comments = (line for line in curl.stdout if line.startswith(":"))
        seen = [line for line, _ in zip(comments, range(HEARTBEATS), strict=False)]
        curl.kill()

    assert seen == [": heartbeat\n"] * HEARTBEATS


def test_events_are_not_compressed(proxied: Proxied) -> None:
    headers = {"Accept-Encoding": "gzip"}

    with httpx.stream("GET", f"{proxied.url}/events/plain", headers=headers) as response:
        assert next(response.iter_raw()).startswith(b"retry: ")

    assert "content-encoding" not in response.headers


@pytest.mark.parametrize("path", ["/export/users.csv", "/events/identified"])
@pytest.mark.parametrize("kept", [True, False])
def test_request_id_is_in_response_and_both_logs(proxied: Proxied, path: str, kept: bool) -> None:
    own = str(uuid4()) if kept else f"no-uuid-{uuid4().hex}"

    with httpx.stream("GET", proxied.url + path, headers={"X-Request-Id": own}) as response:
        next(response.iter_raw())
    (identifier,) = response.headers.get_list("x-request-id")

    assert UUID(identifier)
    assert (identifier == own) == kept
    assert "route=" in logged(proxied.service_log, f"request_id={identifier}")
    assert f"GET {path} " in logged(proxied.access_log, identifier)
    assert kept or own not in proxied.service_log.read_text()


@pytest.mark.parametrize("options", [(), ("--compressed",)], ids=["plain", "compressed"])
@pytest.mark.parametrize("proxy", [True, False], ids=["nginx", "direct"])
def test_export_that_fails_is_a_failed_transfer(
    proxied: Proxied, tmp_path: Path, options: tuple[str, ...], proxy: bool
) -> None:
    file = tmp_path / "items.ndjson"
    identifier = str(uuid4())

    done = run(
        *(require("curl"), "--silent", "--fail", "--max-time", str(PATIENCE), *options),
        *("--header", f"X-Request-Id: {identifier}", "--write-out", "%{http_code}"),
        *("--output", str(file)),
        f"{proxied.url if proxy else proxied.service_url}/export/items.ndjson",
    )

    end = logged(proxied.service_log, f"request_id={identifier}")
    rows = re.search(r"rows=(\d+)", end)
    assert done.returncode == 18  # a partial file
    assert done.stdout == "200"
    assert 0 < file.read_bytes().count(b"\n") < BROKEN_ROW
    assert end.endswith("reason=error")
    assert rows is not None
    assert 0 < int(rows[1]) < BROKEN_ROW


def test_http_1_0_client_gets_505(proxied: Proxied) -> None:
    done = run(
        *(require("curl"), "--silent", "--http1.0", "--max-time", str(PATIENCE)),
        *("--output", "/dev/null", "--write-out", "%{http_code}", f"{proxied.url}/export/items"),
    )

    assert done.stdout == "505"


@pytest.mark.parametrize("options", [(), ("--compressed",)], ids=["plain", "compressed"])
def test_export_through_nginx_equals_the_export(
    proxied: Proxied, tmp_path: Path, options: tuple[str, ...]
) -> None:
    file = tmp_path / "users.csv"

    done = run(
        *(require("curl"), "--silent", "--fail", "--max-time", str(PATIENCE), *options),
        *("--output", str(file), f"{proxied.url}/export/users.csv"),
    )

    assert done.returncode == 0
    assert file.read_bytes() == httpx.get(f"{proxied.service_url}/export/users.csv").content


@pytest.mark.parametrize(
    "request_so_far",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        b"POST /events/news HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["header", "body"],
)
def test_nginx_disconnects_clients_with_unfinished_requests(
    proxied: Proxied, request_so_far: bytes
) -> None:
    url = httpx.URL(proxied.url)
    with ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection((url.host, url.port or 0), PATIENCE))
            for _ in range(200)
        ]
        for connection in slow:
            connection.sendall(request_so_far)

        health = httpx.get(f"{proxied.url}/health", timeout=PATIENCE)
        ends = [connection.recv(4096) for connection in slow]

    assert health.status_code == 200
    assert all(not end or end.startswith(b"HTTP/1.1 408 ") for end in ends)
