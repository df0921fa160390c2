"""Cleanup: a generator is closed in the task that ran it, however its stream ends."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field

import pytest
from fastapi import FastAPI

from streaming_api.streaming import Chunk

from .conftest import EndLog
from .exchange import Exchange, TickerResponse, application, exchange

pytestmark = pytest.mark.anyio

marker: ContextVar[str] = ContextVar("marker")


@dataclass
class Source:
    """A generator that records the tasks in which it started and ended.

    With `waits` it waits after its first chunk; otherwise it always has one.
    """

    waits: bool
    started_in: asyncio.Task[None] | None = None
    ended_in: asyncio.Task[None] | None = None
    marker: str = "-"

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """Yield chunks; the cleanup waits, too."""
        self.started_in = asyncio.current_task()
        marker.set("of the generator")
        try:
            for _ in range(10_000):
                yield Chunk(b"one\n", 1)
                if self.waits:
                    await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.001)
            self.marker = marker.get("-")
            self.ended_in = asyncio.current_task()


@dataclass
class Cleanup:
    """A generator whose cleanup fails."""

    cleaned: asyncio.Event = field(default_factory=asyncio.Event)

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """Yield a chunk and wait."""
        try:
            yield Chunk(b"one\n", 1)
            await asyncio.Event().wait()
        finally:
            self.cleaned.set()
            raise OSError("already closed")


def disconnect(_: FastAPI, request: Exchange) -> None:
    request.disconnect()


def drain(app: FastAPI, _: Exchange) -> None:
    app.state.streams.drain()


def cancel(_: FastAPI, request: Exchange) -> None:
    request.response.cancel()


def stall(_: FastAPI, request: Exchange) -> None:
    request.stall()


@pytest.mark.parametrize(
    ("waits", "end"),
    [
        (True, disconnect),
        (True, drain),
        (True, cancel),
        (False, disconnect),
        (False, drain),
        (False, cancel),
        (False, stall),
    ],
)
async def test_generator_is_closed_in_its_own_task_and_context(
    waits: bool, end: Callable[[FastAPI, Exchange], None]
) -> None:
    source = Source(waits)
    app = application(source.chunks, send_timeout=0.01, grace=0)

    async with exchange(app) as request:
        await request.start()
        await request.chunk()
        end(app, request)
        await asyncio.wait([request.response])

    assert source.ended_in is source.started_in is request.response
    assert source.marker == "of the generator"


async def test_cleanup_failure_after_disconnect_is_logged(end_log: EndLog) -> None:
    cleanup = Cleanup()

    async with exchange(application(cleanup.chunks)) as request:
        await request.start()
        await request.chunk()
        request.disconnect()
        await request.response

    assert cleanup.cleaned.is_set()
    assert end_log.line == "stream ended route=/stream lines=1 bytes=4 reason=client-disconnect"
    assert isinstance(end_log.failure, OSError)


async def test_cleanup_failure_on_shutdown_closes_in_order(end_log: EndLog) -> None:
    app = application(Cleanup().chunks, TickerResponse)

    async with exchange(app) as request:
        await request.start()
        await request.chunk()
        app.state.streams.drain()

        assert await request.body() == b"closing: shutdown"
    assert end_log.line.endswith("reason=shutdown")
    assert isinstance(end_log.failure, OSError)


async def test_cleanup_failure_of_finite_stream_fails_transfer(end_log: EndLog) -> None:
    app = application(Cleanup().chunks, grace=0)

    async with exchange(app) as request:
        await request.start()
        await request.chunk()
        app.state.streams.drain()

        with pytest.raises(OSError, match="already closed"):
            await request.response
    assert end_log.line.endswith("reason=shutdown")


async def test_generator_that_suppresses_cancellation_ends_at_next_chunk(end_log: EndLog) -> None:
    async def chunks() -> AsyncGenerator[Chunk, None]:
        yield Chunk(b"one\n", 1)
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        yield Chunk(b"two\n", 1)

    app = application(chunks, TickerResponse)

    async with exchange(app) as request:
        await request.start()
        await request.chunk()
        app.state.streams.drain()

        assert await request.body() == b"closing: shutdown"
    assert end_log.line == "stream ended route=/stream lines=1 bytes=4 reason=shutdown"


async def test_timeout_of_generator_is_an_error(end_log: EndLog) -> None:
    async def chunks() -> AsyncGenerator[Chunk, None]:
        yield Chunk(b"one\n", 1)
        raise TimeoutError("the query took too long")

    async with exchange(application(chunks)) as request:
        await request.start()

        with pytest.raises(TimeoutError, match="the query took too long"):
            await request.response
    assert end_log.line.endswith("reason=error")
