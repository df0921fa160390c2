"""A transfer is whole or it fails, and no reader holds the server: with a real uvicorn."""

import socket
import threading
from collections.abc import AsyncGenerator
from typing import Literal

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from {{ cookiecutter.__package_name }}.streaming import (
    Chunk,
    StreamResponse,
    Streams,
)

PATIENCE = 10
"""Seconds after which a test fails that waits for what should be there at once."""


class FileResponse(StreamResponse):
    """A stream that is whole, or a failed transfer."""

    media_type = "text/plain"


async def broken_chunks() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"hello\n", 1)
    raise OSError("the database is gone")


async def whole_chunks() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"hello\n", 1)
    yield Chunk(b"world\n", 1)


async def many_chunks() -> AsyncGenerator[Chunk, None]:
    while True:
        yield Chunk(b"x" * 65536, 1)


@pytest.fixture
def app() -> FastAPI:
    """An application of three files, with a limit on bodies between it and the server."""
    app = FastAPI(max_body_size=1000)
    app.state.streams = Streams(send_timeout=0.05, max_seconds=0, max_per_client=20, grace=10)

    @app.get("/broken")
    async def broken() -> FileResponse:
        return FileResponse(broken_chunks())

    @app.get("/whole")
    async def whole() -> FileResponse:
        return FileResponse(whole_chunks())

    @app.get("/large")
    async def large() -> FileResponse:
        return FileResponse(many_chunks())

    return app


def test_a_file_that_breaks_is_a_failed_transfer(server: str) -> None:
    received = b""

    with httpx2.stream("GET", f"{server}/broken") as response:
        assert response.status_code == 200
        with pytest.raises(httpx2.RemoteProtocolError):  # noqa: PT012
            for piece in response.iter_bytes():
                received += piece

    assert received == b"hello\n"


def test_a_connection_is_used_again_after_a_file_that_is_whole(server: str) -> None:
    with httpx2.Client(base_url=server) as client:
        first, second = client.get("/whole"), client.get("/whole")

    assert first.content == second.content == b"hello\nworld\n"
    assert first.headers["transfer-encoding"] == "chunked"
    assert "connection" not in first.headers


def test_a_body_that_is_too_large_is_refused(server: str) -> None:
    response = httpx2.request("GET", f"{server}/large", content=b"x" * 1001)

    assert response.status_code == 413


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_reader_that_stalls_loses_its_connection(
    app: FastAPI, http: Literal["httptools", "h11"], loop: Literal["asyncio", "uvloop"]
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    config = uvicorn.Config(app, http=http, loop=loop, log_config=None)
    server = uvicorn.Server(config)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        with socket.create_connection(listener.getsockname()) as stalled:
            stalled.sendall(b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n")
            assert stalled.recv(12) == b"HTTP/1.1 200"
            # A server without a limit to its patience waits for every connection to close.
            server.should_exit = True
            thread.join(PATIENCE)
            held = thread.is_alive()
            server.force_exit = True
        thread.join()

    assert not held
