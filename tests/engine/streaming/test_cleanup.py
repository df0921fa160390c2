"""An iterator is closed where it ran, whatever ends its stream."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field

import pytest
from fastapi import FastAPI

from {{ cookiecutter.__package_name }}.streaming import Chunk

from .conftest import Endings
from .exchange import Exchange, TickerResponse, application, exchange

pytestmark = pytest.mark.anyio

marker: ContextVar[str] = ContextVar("marker")


@dataclass
class Source:
    """Makes chunks, and remembers where it started and where it ended."""

    waits: bool
    """Whether it waits for something after its first chunk, or is always ready."""
    started_in: asyncio.Task[None] | None = None
    ended_in: asyncio.Task[None] | None = None
    marker: str = "-"
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        self.started_in = asyncio.current_task()
        marker.set("mine")
        try:
            for _ in range(10_000):
                yield Chunk(b"one\n", 1)
                if self.waits:
                    await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.001)
            self.ended_in = asyncio.current_task()
            self.marker = marker.get("-")
            self.ended.set()


def client_leaves(_: FastAPI, request: Exchange) -> None:
    request.leave()


def server_stops(app: FastAPI, _: Exchange) -> None:
    app.state.streams.drain()


def server_cancels(_: FastAPI, request: Exchange) -> None:
    request.response.cancel()


def client_stalls(_: FastAPI, request: Exchange) -> None:
    request.stall()


@pytest.mark.parametrize(
    ("waits", "end"),
    [
        (True, client_leaves),
        (True, server_stops),
        (True, server_cancels),
        (False, client_leaves),
        (False, server_stops),
        (False, server_cancels),
        (False, client_stalls),
    ],
)
async def test_an_iterator_is_closed_in_its_own_task_and_context_and_may_wait(
    waits: bool, end: Callable[[FastAPI, Exchange], None]
) -> None:
    source = Source(waits)
    app = application(source.chunks, send_timeout=0.01, grace=0)

    async with exchange(app) as request:
        await request.head()
        await request.chunk()
        end(app, request)
        await asyncio.wait([request.response])

    assert source.ended.is_set()
    assert source.ended_in is source.started_in is request.response
    assert source.marker == "mine"
    assert len(app.state.streams) == 0


async def test_an_iterator_that_cannot_be_closed_is_an_error(endings: Endings) -> None:
    async def chunks() -> AsyncGenerator[Chunk, None]:
        try:
            while True:
                yield Chunk(b"one\n", 1)
        finally:
            raise OSError("already closed")

    async with exchange(application(chunks)) as request:
        await request.head()
        request.leave()

        with pytest.raises(OSError, match="already closed"):
            await request.response
    assert endings.only.endswith("reason=error")


async def test_an_iterator_that_loses_its_cancellation_ends_with_its_next_chunk(
    endings: Endings,
) -> None:
    async def chunks() -> AsyncGenerator[Chunk, None]:
        yield Chunk(b"one\n", 1)
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        yield Chunk(b"two\n", 1)

    app = application(chunks, TickerResponse)

    async with exchange(app) as request:
        await request.head()
        await request.chunk()
        app.state.streams.drain()

        assert await request.body() == b"bye: shutdown"
    assert endings.only == "stream ended route=/stream lines=1 bytes=4 reason=shutdown"


async def test_a_timeout_of_the_iterator_is_its_own_failure(endings: Endings) -> None:
    async def chunks() -> AsyncGenerator[Chunk, None]:
        yield Chunk(b"one\n", 1)
        raise TimeoutError("the query took too long")

    async with exchange(application(chunks)) as request:
        await request.head()

        with pytest.raises(TimeoutError, match="the query took too long"):
            await request.response
    assert endings.only.endswith("reason=error")
