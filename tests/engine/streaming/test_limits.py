"""How many streams there may be."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest
from fastapi import FastAPI

from {{ cookiecutter.__package_name }}.streaming import Chunk

from .exchange import Exchange, application, exchange

pytestmark = pytest.mark.anyio


async def chunk_then_nothing() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one\n", 1)
    await asyncio.Event().wait()


async def many_chunks() -> AsyncGenerator[Chunk, None]:
    for _ in range(10_000):
        yield Chunk(b"one\n", 1)


async def chunk() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one\n", 1)


async def chunk_then_failure() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one\n", 1)
    raise OSError


async def failure() -> AsyncGenerator[Chunk, None]:
    raise OSError
    yield Chunk(b"", 0)


async def test_a_client_with_too_many_streams_is_told_to_come_back() -> None:
    app = application(chunk_then_nothing, max_per_client=2)

    async with exchange(app) as first, exchange(app) as second, exchange(app) as third:
        assert (await first.head())[0] == 200
        assert (await second.head())[0] == 200
        status, headers = await third.head()

    assert status == 429
    assert headers["content-type"] == "application/problem+json"
    assert headers["retry-after"] == "5"


async def test_the_limit_of_one_client_is_not_that_of_another() -> None:
    app = application(chunk_then_nothing, max_per_client=1)

    async with exchange(app) as first, exchange(app, client="192.0.2.2") as second:
        assert (await first.head())[0] == 200
        assert (await second.head())[0] == 200


@pytest.mark.parametrize(
    ("chunks", "end"),
    [
        pytest.param(chunk, None, id="complete"),
        pytest.param(failure, None, id="refused"),
        pytest.param(chunk_then_failure, None, id="error"),
        pytest.param(chunk_then_nothing, Exchange.leave, id="client-disconnect"),
        pytest.param(many_chunks, Exchange.stall, id="slow-reader"),
    ],
)
async def test_a_stream_that_ended_makes_room_for_another(
    chunks: Callable[[], AsyncGenerator[Chunk, None]], end: Callable[[Exchange], None] | None
) -> None:
    app = application(chunks, max_per_client=1, send_timeout=0.01)
    async with exchange(app) as first:
        await first.head()
        if end:
            end(first)
        await asyncio.wait([first.response])

    async with exchange(app) as second:
        status, _ = await second.head()

    assert status != 429
    assert len(app.state.streams) == 0


async def test_a_server_that_stops_admits_no_stream() -> None:
    app = application(chunk)
    app.state.streams.drain()

    async with exchange(app) as request:
        status, headers = await request.head()

    assert status == 503
    assert headers["retry-after"] == "1"


async def test_streams_are_counted_while_they_are_open() -> None:
    app: FastAPI = application(chunk_then_nothing, max_per_client=2)

    async with exchange(app) as first, exchange(app) as second:
        await first.head()
        await second.head()

        assert len(app.state.streams) == 2
    assert len(app.state.streams) == 0
