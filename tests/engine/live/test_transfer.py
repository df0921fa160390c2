"""Transfers on a real uvicorn: complete or failed, and no reader holds the server."""

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator
from typing import Literal

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.middleware.base import RequestResponseEndpoint

from streaming_api.streaming import Chunk, StreamResponse
from streaming_api.streaming.openapi import StreamingAPI
from streaming_api.streaming.registry import Streams

from .process import TIMEOUT


class FileResponse(StreamResponse):
    """A finite stream: complete, or a failed transfer."""

    media_type = "text/plain"


async def broken_chunks() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"hello\n", 1)
    raise OSError("the database is gone")


async def complete_chunks() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"hello\n", 1)
    yield Chunk(b"world\n", 1)


async def many_chunks() -> AsyncGenerator[Chunk, None]:
    while True:
        yield Chunk(b"x" * 65536, 1)


@pytest.fixture
def app() -> FastAPI:
    """An application of files, with FastAPI's limit on bodies between it and the server."""
    app = StreamingAPI(max_body_size=1000)
    app.state.streams = Streams(send_timeout=0.05, max_seconds=0, max_per_client=20, grace=10)

    @app.get("/broken")
    async def broken() -> FileResponse:
        return FileResponse(broken_chunks())

    @app.get("/complete")
    async def complete() -> FileResponse:
        return FileResponse(complete_chunks())

    @app.get("/large")
    async def large() -> FileResponse:
        return FileResponse(many_chunks())

    return app


def test_failed_stream_is_failed_transfer(server: str) -> None:
    received = b""

    with httpx2.stream("GET", f"{server}/broken") as response:
        assert response.status_code == 200
        with pytest.raises(httpx2.RemoteProtocolError):  # noqa: PT012
            for data in response.iter_bytes():
                received += data

    assert received == b"hello\n"


def test_client_that_leaves_a_pipelined_request_is_disconnected(
    app: FastAPI, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    port = int(server.rpartition(":")[2])
    ended = threading.Event()

    async def slow_chunks() -> AsyncGenerator[Chunk, None]:
        try:
            while True:
                yield Chunk(b"hello\n", 1)
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    @app.get("/slow")
    async def slow() -> FileResponse:
        return FileResponse(slow_chunks())

    with socket.create_connection(("127.0.0.1", port)) as connection:
        request = "GET {} HTTP/1.1\r\nHost: test\r\n\r\n"
        connection.sendall((request.format("/slow") + request.format("/complete")).encode())
        connection.recv(1000)

    assert ended.wait(TIMEOUT)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_connection_is_reused_after_complete_stream(server: str) -> None:
    with httpx2.Client(base_url=server) as client:
        first, second = client.get("/complete"), client.get("/complete")

    assert first.content == second.content == b"hello\nworld\n"
    assert first.headers["transfer-encoding"] == "chunked"
    assert "connection" not in first.headers


def test_stream_is_read_line_by_line(server: str) -> None:
    with httpx2.stream("GET", f"{server}/complete") as response:
        assert list(response.iter_lines()) == ["hello", "world"]


def test_body_that_is_too_large_returns_413(server: str) -> None:
    response = httpx2.request("GET", f"{server}/large", content=b"x" * 1001)

    assert response.status_code == 413


@pytest.mark.parametrize("middleware", [False, True], ids=["plain", "middleware"])
@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_stalled_reader_loses_its_connection(
    app: FastAPI,
    http: Literal["httptools", "h11"],
    loop: Literal["asyncio", "uvloop"],
    middleware: bool,
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    if middleware:

        @app.middleware("http")
        async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
            return await call_next(request)

    config = uvicorn.Config(app, http=http, loop=loop, log_config=None)
    server = uvicorn.Server(config)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        with socket.create_connection(listener.getsockname()) as stalled:
            stalled.sendall(b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n")
            assert stalled.recv(12) == b"HTTP/1.1 200"
            # Without a timeout the server waits until all connections are closed.
            server.should_exit = True
            thread.join(TIMEOUT)
            is_held = thread.is_alive()
            server.force_exit = True
        thread.join()

    assert not is_held
