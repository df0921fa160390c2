"""How a stream starts: nothing is said before there is something to say."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from fastapi import HTTPException

from {{ cookiecutter.__package_name }}.streaming import Chunk

from .conftest import Endings
from .exchange import application, exchange

pytestmark = pytest.mark.anyio


async def one_chunk() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"a\n", 1)


async def failing() -> AsyncGenerator[Chunk, None]:
    raise OSError("no database")
    yield Chunk(b"", 0)


async def missing() -> AsyncGenerator[Chunk, None]:
    raise HTTPException(404, "No such table.")
    yield Chunk(b"", 0)


async def empty() -> AsyncGenerator[Chunk, None]:
    chunks: list[Chunk] = []
    for chunk in chunks:
        yield chunk


async def waiting() -> AsyncGenerator[Chunk, None]:
    await asyncio.Event().wait()
    yield Chunk(b"", 0)


async def test_a_proxy_is_told_not_to_buffer() -> None:
    async with exchange(application(one_chunk)) as request:
        status, headers = await request.head()

        assert status == 200
        assert headers == {
            "content-type": "text/plain; charset=utf-8",
            "x-accel-buffering": "no",
        }
        assert await request.body() == b"a\n"


async def test_nothing_to_stream_is_an_empty_body() -> None:
    async with exchange(application(empty)) as request:
        status, _ = await request.head()

        assert status == 200
        assert await request.body() == b""


async def test_a_failure_before_the_first_chunk_is_a_status(endings: Endings) -> None:
    async with exchange(application(failing)) as request:
        status, headers = await request.head()
        body = await request.body()

    assert status == 503
    assert headers["content-type"] == "application/problem+json"
    assert headers["retry-after"] == "5"
    assert b"no database" not in body
    assert endings.only == "stream ended route=/stream lines=0 bytes=0 reason=error"
    assert endings.records[0].exc_info is not None


async def test_an_answer_raised_before_the_first_chunk_stays_what_it_is(endings: Endings) -> None:
    async with exchange(application(missing)) as request:
        status, _ = await request.head()

        assert status == 404
        assert b"No such table." in await request.body()
    assert endings.records[0].exc_info is None


async def test_head_touches_no_data(endings: Endings) -> None:
    async with exchange(application(failing), method="HEAD") as request:
        status, headers = await request.head()

        assert status == 200
        assert headers["x-accel-buffering"] == "no"
        assert await request.body() == b""
    assert endings.records == []


async def test_a_client_that_leaves_before_the_first_chunk_is_sent_nothing(
    endings: Endings,
) -> None:
    async with exchange(application(waiting)) as request:
        request.leave()
        await request.response

        assert request.sent.empty()
    assert endings.only == "stream ended route=/stream lines=0 bytes=0 reason=client-disconnect"


async def test_a_stream_that_has_not_started_when_the_server_stops_is_refused() -> None:
    asked = asyncio.Event()

    async def never() -> AsyncGenerator[Chunk, None]:
        asked.set()
        await asyncio.Event().wait()
        yield Chunk(b"", 0)

    app = application(never, grace=0)

    async with exchange(app) as request:
        await asked.wait()
        app.state.streams.drain()
        status, headers = await request.head()

    assert status == 503
    assert "retry-after" in headers


async def test_a_request_that_is_too_large_is_refused(endings: Endings) -> None:
    app = application(waiting)

    async with exchange(app, body=HTTPException(413)) as request:
        status, _ = await request.head()

    assert status == 413
    assert endings.only == "stream ended route=/stream lines=0 bytes=0 reason=error"
