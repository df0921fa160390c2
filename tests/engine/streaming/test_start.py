"""The start of a stream: the first chunk is generated before the headers are sent."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from fastapi import HTTPException

from streaming_api.streaming import Chunk

from .conftest import EndLog
from .exchange import application, exchange

pytestmark = pytest.mark.anyio


async def one_chunk() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"a\n", 1)


async def no_chunk() -> AsyncGenerator[Chunk, None]:
    chunks: list[Chunk] = []
    for chunk in chunks:
        yield chunk


async def failure() -> AsyncGenerator[Chunk, None]:
    raise OSError("no database")
    yield Chunk(b"", 0)


async def not_found() -> AsyncGenerator[Chunk, None]:
    raise HTTPException(404, "No such table.")
    yield Chunk(b"", 0)


async def wait_forever() -> AsyncGenerator[Chunk, None]:
    await asyncio.Event().wait()
    yield Chunk(b"", 0)


async def test_stream_disables_buffering_of_proxies() -> None:
    async with exchange(application(one_chunk)) as request:
        status, headers = await request.start()

        assert status == 200
        assert headers == {
            "content-type": "text/plain; charset=utf-8",
            "x-accel-buffering": "no",
        }
        assert await request.body() == b"a\n"


async def test_stream_without_chunks_has_empty_body() -> None:
    async with exchange(application(no_chunk)) as request:
        status, _ = await request.start()

        assert status == 200
        assert await request.body() == b""


async def test_http_1_0_client_gets_505() -> None:
    async with exchange(application(one_chunk), version="1.0") as request:
        status, headers = await request.start()

        assert status == 505
        assert headers["content-type"] == "application/problem+json"


async def test_failure_before_first_chunk_returns_503(end_log: EndLog) -> None:
    async with exchange(application(failure)) as request:
        status, headers = await request.start()
        body = await request.body()

    assert status == 503
    assert headers["content-type"] == "application/problem+json"
    assert headers["retry-after"] == "5"
    assert b"no database" not in body
    assert end_log.line == "stream ended route=/stream lines=0 bytes=0 reason=error"
    assert isinstance(end_log.failure, OSError)


async def test_http_exception_before_first_chunk_is_the_response(end_log: EndLog) -> None:
    async with exchange(application(not_found)) as request:
        status, _ = await request.start()

        assert status == 404
        assert b"No such table." in await request.body()
    assert end_log.failure is None


async def test_head_request_generates_no_chunk(end_log: EndLog) -> None:
    async with exchange(application(failure), method="HEAD") as request:
        status, headers = await request.start()

        assert status == 200
        assert headers["x-accel-buffering"] == "no"
        assert await request.body() == b""
    assert end_log.record is None


async def test_disconnect_before_first_chunk_sends_nothing(end_log: EndLog) -> None:
    async with exchange(application(wait_forever)) as request:
        request.disconnect()
        await request.response

        assert request.sent.empty()
    assert end_log.line == "stream ended route=/stream lines=0 bytes=0 reason=client-disconnect"


async def test_shutdown_before_first_chunk_returns_503() -> None:
    generating = asyncio.Event()

    async def chunks() -> AsyncGenerator[Chunk, None]:
        generating.set()
        await asyncio.Event().wait()
        yield Chunk(b"", 0)

    app = application(chunks, grace=0)

    async with exchange(app) as request:
        await generating.wait()
        app.state.streams.drain()
        status, headers = await request.start()

    assert status == 503
    assert "retry-after" in headers


async def test_body_rejected_during_stream_returns_413(end_log: EndLog) -> None:
    app = application(wait_forever)

    async with exchange(app, body=HTTPException(413)) as request:
        status, _ = await request.start()

    assert status == 413
    assert end_log.line == "stream ended route=/stream lines=0 bytes=0 reason=error"
