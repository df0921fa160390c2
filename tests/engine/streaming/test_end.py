"""How a stream ends: one line in the log tells the reason, the client sees whether it was whole."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.background import BackgroundTask
from starlette.types import Receive, Scope, Send

from {{ cookiecutter.__package_name }}.streaming import (
    Chunk,
    Reason,
    SlowReader,
    Streams,
)
from {{ cookiecutter.__package_name }}.streaming.registry import OpenStream
from {{ cookiecutter.__package_name }}.streaming.response import StreamAborted

from .conftest import Endings
from .exchange import Exchange, FileResponse, TickerResponse, application, exchange

pytestmark = pytest.mark.anyio


async def two_chunks() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one\ntwo\n", 2)
    yield Chunk(b"three\n", 1)


async def one_chunk_then_nothing() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one\n", 1)
    await asyncio.Event().wait()


async def one_chunk_then_failure() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one\n", 1)
    raise OSError("the database is gone")


async def one_chunk_then_overflow() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one\n", 1)
    raise SlowReader


async def without_waiting() -> AsyncGenerator[Chunk, None]:
    for _ in range(10_000):
        yield Chunk(b"", 0)


async def first_chunk(request: Exchange) -> None:
    """Wait until the stream is on its way."""
    await request.head()
    assert await request.chunk() == b"one\n"


async def test_complete(endings: Endings) -> None:
    async with exchange(application(two_chunks)) as request:
        await request.head()

        assert await request.body() == b"one\ntwo\nthree\n"
    assert endings.only == "stream ended route=/stream lines=3 bytes=14 reason=complete"


async def test_client_disconnect(endings: Endings) -> None:
    async with exchange(application(one_chunk_then_nothing)) as request:
        await first_chunk(request)
        request.leave()
        await request.response

    assert endings.only == "stream ended route=/stream lines=1 bytes=4 reason=client-disconnect"


async def test_a_client_that_left_ends_a_stream_that_never_waits(endings: Endings) -> None:
    async with exchange(application(without_waiting)) as request:
        await request.head()
        request.leave()
        await request.response

    assert endings.only == "stream ended route=/stream lines=0 bytes=0 reason=client-disconnect"


async def test_an_endless_stream_says_goodbye_when_the_server_stops(endings: Endings) -> None:
    app = application(one_chunk_then_nothing, TickerResponse)

    async with exchange(app) as request:
        await first_chunk(request)
        app.state.streams.drain()

        assert await request.body() == b"bye: shutdown"
    assert endings.only == "stream ended route=/stream lines=1 bytes=4 reason=shutdown"


async def test_a_file_is_finished_while_the_server_stops(endings: Endings) -> None:
    app = application(two_chunks)

    async with exchange(app) as request:
        await request.head()
        app.state.streams.drain()

        assert await request.body() == b"one\ntwo\nthree\n"
    assert endings.only == "stream ended route=/stream lines=3 bytes=14 reason=complete"


async def test_a_file_that_takes_too_long_to_finish_fails(endings: Endings) -> None:
    app = application(one_chunk_then_nothing, grace=0)

    async with exchange(app) as request:
        await first_chunk(request)
        app.state.streams.drain()

        with pytest.raises(StreamAborted):
            await request.response
    assert endings.only == "stream ended route=/stream lines=1 bytes=4 reason=shutdown"


async def test_a_reader_that_stalls_is_cut(endings: Endings) -> None:
    async with exchange(application(without_waiting, send_timeout=0.01)) as request:
        await request.head()
        request.stall()

        with pytest.raises(StreamAborted):
            await request.response
    assert endings.only == "stream ended route=/stream lines=0 bytes=0 reason=slow-reader"


async def test_a_reader_that_lags_too_far_behind_is_told(endings: Endings) -> None:
    async with exchange(application(one_chunk_then_overflow, TickerResponse)) as request:
        await first_chunk(request)

        assert await request.body() == b"bye: slow-reader"
    assert endings.only == "stream ended route=/stream lines=1 bytes=4 reason=slow-reader"


async def test_a_reader_that_does_not_take_the_goodbye_is_cut(
    endings: Endings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{FileResponse.__base__.__module__}.FAREWELL_SECONDS", 0.01)
    app = application(one_chunk_then_nothing, TickerResponse)

    async with exchange(app) as request:
        await first_chunk(request)
        request.stall()
        app.state.streams.drain()

        with pytest.raises(StreamAborted):
            await request.response
    assert endings.only == "stream ended route=/stream lines=1 bytes=4 reason=shutdown"


async def test_a_stream_has_its_time(endings: Endings) -> None:
    app = application(one_chunk_then_nothing, TickerResponse, max_seconds=0.01)

    async with exchange(app) as request:
        await first_chunk(request)

        assert await request.body() == b"bye: timeout"
    assert endings.only == "stream ended route=/stream lines=1 bytes=4 reason=timeout"


async def test_a_file_that_breaks_is_a_failed_transfer(endings: Endings) -> None:
    async with exchange(application(one_chunk_then_failure)) as request:
        await first_chunk(request)

        with pytest.raises(OSError, match="the database is gone"):
            await request.response
    assert endings.only == "stream ended route=/stream lines=1 bytes=4 reason=error"
    assert endings.records[0].exc_info is not None


async def test_an_endless_stream_that_breaks_says_so(endings: Endings) -> None:
    async with exchange(application(one_chunk_then_failure, TickerResponse)) as request:
        await first_chunk(request)

        assert await request.body() == b"bye: error"
    assert endings.only == "stream ended route=/stream lines=1 bytes=4 reason=error"


@pytest.mark.parametrize(("stops", "reason"), [(True, "shutdown"), (False, "client-disconnect")])
async def test_a_server_that_cancels_the_response(
    endings: Endings, stops: bool, reason: str
) -> None:
    app = application(one_chunk_then_nothing)

    async with exchange(app) as request:
        await first_chunk(request)
        app.state.streams.draining = stops
        request.response.cancel()
        await asyncio.wait([request.response])

    assert request.response.cancelled()
    assert endings.only == f"stream ended route=/stream lines=1 bytes=4 reason={reason}"


async def test_the_first_reason_stands() -> None:
    streams = Streams(send_timeout=10, max_seconds=0, max_per_client=1, grace=10)

    with streams.admit("192.0.2.1", endless=True) as stream:
        async with stream.running():
            stream.stop(Reason.CLIENT_DISCONNECT)
            stream.stop(Reason.SHUTDOWN)
            await asyncio.Event().wait()
        stream.stop(Reason.SHUTDOWN)

    assert stream.reason is Reason.CLIENT_DISCONNECT


async def test_a_stream_outside_of_a_route_is_logged_too(endings: Endings) -> None:
    owner = application(two_chunks)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await FileResponse(two_chunks())({**scope, "app": owner}, receive, send)

    async with exchange(app) as request:
        await request.head()

        assert await request.body() == b"one\ntwo\nthree\n"
    assert endings.only == "stream ended route=- lines=3 bytes=14 reason=complete"


async def test_the_first_end_of_a_stream_stands() -> None:
    stream = OpenStream(endless=True, send_timeout=1, max_seconds=0)

    async with stream.running():
        stream.stop(Reason.SHUTDOWN)
        stream.fail(ValueError("too late"))
        await asyncio.Event().wait()

    assert stream.reason is Reason.SHUTDOWN


async def test_a_stream_that_is_complete_is_not_stopped_any_more() -> None:
    stream = OpenStream(endless=True, send_timeout=1, max_seconds=0)

    async with stream.running():
        stream.reason = Reason.COMPLETE
        stream.stop(Reason.SHUTDOWN)
        await asyncio.sleep(0)

    assert stream.reason is Reason.COMPLETE


class WithTaskResponse(FileResponse):
    """A stream with a task for later, which would run after a disconnect too."""

    def __init__(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        super().__init__(chunks)
        self.background = BackgroundTask(pytest.fail)


async def test_a_stream_runs_no_background_task() -> None:
    async with exchange(application(two_chunks, WithTaskResponse)) as request:
        assert await request.body() == b"one\ntwo\nthree\n"
