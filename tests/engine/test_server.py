"""`HTTPProtocol`: limits on the heads of requests and on connections without one."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from streaming_api.streaming import server as server_module
from streaming_api.streaming.server import MAX_HEAD_BYTES, HTTPProtocol

TIMEOUT = 30
GET = b"GET / HTTP/1.1\r\nHost: test\r\n"
POST = b"POST / HTTP/1.1\r\nHost: test\r\n"


async def count_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with the size of the request's body."""
    size = sum([len(part) async for part in Request(scope, receive).stream()])
    await PlainTextResponse(str(size))(scope, receive, send)


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    """The address of a server with this protocol, which keeps connections for a minute."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            count_body,
            http=HTTPProtocol,
            lifespan="off",
            log_config=None,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield listener.getsockname()
        server.should_exit = True
        thread.join()


@pytest.fixture
def connection(address: tuple[str, int]) -> Iterator[socket.socket]:
    """A connection to the server."""
    with socket.create_connection(address, timeout=TIMEOUT) as connection:
        yield connection


def rest(connection: socket.socket) -> bytes:
    """Return what is received until the server closes the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while data := connection.recv(1 << 16):
            received += data
    return received


def respond(connection: socket.socket, request: bytes) -> bytes:
    """Send a request and return the body of the response."""
    connection.sendall(request)
    received = b""
    while not received.partition(b"\r\n\r\n")[2]:
        received += connection.recv(1 << 16)
    return received.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(b"x-header: " + b"x" * 990 + b"\r\n", id="many-headers"),
        pytest.param(b"x" * 1000, id="one-header"),
        pytest.param(b"\r\n" * 500, id="before-a-request"),
    ],
)
def test_endless_head_is_rejected(connection: socket.socket, flood: bytes) -> None:
    sent = 0

    with suppress(ConnectionError):
        connection.sendall(b"" if flood.startswith(b"\r") else GET + b"x: ")
        while sent < 64 * MAX_HEAD_BYTES:
            connection.sendall(flood)
            sent += len(flood)

    assert sent < 64 * MAX_HEAD_BYTES
    assert rest(connection)[:13] in (b"", b"HTTP/1.1 400 ")


def test_endless_trailer_is_rejected(connection: socket.socket) -> None:
    connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nx: ")
    sent = 0

    with suppress(ConnectionError):
        while sent < 64 * MAX_HEAD_BYTES:
            connection.sendall(b"x" * 1000)
            sent += 1000

    assert sent < 64 * MAX_HEAD_BYTES


@pytest.mark.parametrize("repeat", [1, 3])
def test_large_head_and_larger_body_are_accepted(connection: socket.socket, repeat: int) -> None:
    head = POST + b"x: %s\r\n" % (b"x" * MAX_HEAD_BYTES) + b"Content-Length: 3000000\r\n\r\n"

    for _ in range(repeat):
        assert respond(connection, head + b"x" * 3_000_000) == b"3000000"


def test_pipelined_requests_are_accepted(connection: socket.socket) -> None:
    connection.sendall((GET + b"\r\n") * 3)

    received = b""
    while received.count(b"\r\n\r\n0") < 3:
        received += connection.recv(1 << 16)

    assert received.count(b"HTTP/1.1 200 OK") == 3


def test_body_in_many_chunks_is_accepted(connection: socket.socket) -> None:
    chunks = b"1\r\nx\r\n" * 100_000

    body = respond(connection, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")

    assert body == b"100000"


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET / HT", GET])
@pytest.mark.parametrize("is_first", [True, False])
def test_connection_without_complete_head_is_closed(
    monkeypatch: pytest.MonkeyPatch, address: tuple[str, int], sent: bytes, is_first: bool
) -> None:
    monkeypatch.setattr(server_module, "HEAD_SECONDS", 0.2)

    with socket.create_connection(address, timeout=TIMEOUT) as connection:
        if not is_first:
            assert respond(connection, GET + b"\r\n") == b"0"
        connection.sendall(sent)
        if is_first or sent:
            assert rest(connection) == b""
        else:
            # This is left to the server's time limit for idle connections.
            connection.settimeout(0.5)
            with pytest.raises(TimeoutError):
                connection.recv(1)


def test_slow_body_is_received(monkeypatch: pytest.MonkeyPatch, address: tuple[str, int]) -> None:
    monkeypatch.setattr(server_module, "HEAD_SECONDS", 0.1)

    with socket.create_connection(address, timeout=0.3) as connection:
        connection.sendall(POST + b"Content-Length: 2\r\n\r\n1")
        with pytest.raises(TimeoutError):
            connection.recv(1)

        assert respond(connection, b"2") == b"2"
