"""The end of a stream: its reason in the log, and a body that is complete or visibly not."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest
from fastapi import FastAPI
from starlette.background import BackgroundTask
from starlette.types import Receive, Scope, Send

from streaming_api.streaming import Chunk, response
from streaming_api.streaming.registry import SlowReader, Stream
from streaming_api.streaming.response import LAST_CHUNK, MAX_PIECE, StreamAborted

from .conftest import EndLog
from .exchange import Exchange, FileResponse, TickerResponse, application, exchange

pytestmark = pytest.mark.anyio

STARTED = "stream ended route=/stream lines=1 bytes=4"


async def two_chunks() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one\ntwo\n", 2)
    yield Chunk(b"three\n", 1)


async def wait_after_chunk() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one\n", 1)
    await asyncio.Event().wait()


async def fail_after_chunk() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one\n", 1)
    raise OSError("the database is gone")


async def overflow_after_chunk() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one\n", 1)
    raise SlowReader


async def never_wait() -> AsyncGenerator[Chunk, None]:
    for _ in range(10_000):
        yield Chunk(b"", 0)


async def first_chunk(request: Exchange) -> None:
    """Wait until the stream has started."""
    await request.start()
    assert await request.chunk() == b"one\n"


async def test_all_chunks_sent_is_complete(end_log: EndLog) -> None:
    async with exchange(application(two_chunks)) as request:
        await request.start()

        assert await request.body() == b"one\ntwo\nthree\n"
    assert end_log.line == "stream ended route=/stream lines=3 bytes=14 reason=complete"


async def test_client_disconnect_ends_waiting_stream(end_log: EndLog) -> None:
    async with exchange(application(wait_after_chunk)) as request:
        await first_chunk(request)
        request.disconnect()
        await request.response

    assert end_log.line == f"{STARTED} reason=client-disconnect"


async def test_client_disconnect_ends_stream_that_never_waits(end_log: EndLog) -> None:
    async with exchange(application(never_wait)) as request:
        await request.start()
        request.disconnect()
        await request.response

    assert end_log.line == "stream ended route=/stream lines=0 bytes=0 reason=client-disconnect"


async def test_shutdown_ends_endless_stream_in_order(end_log: EndLog) -> None:
    app = application(wait_after_chunk, TickerResponse)

    async with exchange(app) as request:
        await first_chunk(request)
        app.state.streams.drain()

        assert await request.body() == b"closing: shutdown"
    assert end_log.line == f"{STARTED} reason=shutdown"


async def test_shutdown_lets_finite_stream_complete(end_log: EndLog) -> None:
    app = application(two_chunks)

    async with exchange(app) as request:
        await request.start()
        app.state.streams.drain()

        assert await request.body() == b"one\ntwo\nthree\n"
    assert end_log.line == "stream ended route=/stream lines=3 bytes=14 reason=complete"


async def test_shutdown_aborts_finite_stream_after_grace(end_log: EndLog) -> None:
    app = application(wait_after_chunk, grace=0)

    async with exchange(app) as request:
        await first_chunk(request)
        app.state.streams.drain()

        with pytest.raises(StreamAborted):
            await request.response
    assert end_log.line == f"{STARTED} reason=shutdown"


async def test_stalled_reader_is_disconnected(end_log: EndLog) -> None:
    async with exchange(application(never_wait, send_timeout=0.01)) as request:
        await request.start()
        request.stall()

        with pytest.raises(StreamAborted):
            await request.response
    assert end_log.line == "stream ended route=/stream lines=0 bytes=0 reason=slow-reader"


async def test_large_chunk_is_sent_in_pieces(end_log: EndLog) -> None:
    size = 2 * MAX_PIECE + 1

    async def one_large_chunk() -> AsyncGenerator[Chunk, None]:
        yield Chunk(b"x" * size, 7)

    async with exchange(application(one_large_chunk)) as request:
        await request.start()
        sizes = [len(await request.chunk()) for _ in range(3)]

        assert await request.body() == b""
    assert sizes == [MAX_PIECE, MAX_PIECE, 1]
    assert end_log.line == f"stream ended route=/stream lines=7 bytes={size} reason=complete"


async def test_silence_of_the_client_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    limited: list[object] = []
    monkeypatch.setattr(response, "limit_silence", lambda *limits: limited.append(limits))

    async with exchange(application(two_chunks, send_timeout=7)) as request:
        await request.body()

    assert limited == [(None, 7)]


@pytest.mark.parametrize("sent", [0, 1, 2])
async def test_piece_is_not_followed_by_closing_bytes(end_log: EndLog, sent: int) -> None:
    async def large_chunk() -> AsyncGenerator[Chunk, None]:
        yield Chunk(b"one\n", 1)
        await continued.wait()
        yield Chunk(b"x" * (2 * MAX_PIECE + 1), 1)

    continued = asyncio.Event()
    app = application(large_chunk, TickerResponse)
    async with exchange(app) as request:
        await first_chunk(request)
        request.stall_after(sent)
        continued.set()
        while not request.waiting:
            await asyncio.sleep(0)
        app.state.streams.drain()
        while request.waiting:
            await asyncio.sleep(0)
        request.read()

        with pytest.raises(StreamAborted):
            await request.response
    assert end_log.line.endswith("reason=shutdown")


async def test_large_chunk_is_followed_by_closing_bytes(end_log: EndLog) -> None:
    async def large_chunk() -> AsyncGenerator[Chunk, None]:
        yield Chunk(b"x" * (2 * MAX_PIECE + 1), 1)
        await asyncio.Event().wait()

    app = application(large_chunk, TickerResponse)
    async with exchange(app) as request:
        await request.start()
        for _ in range(3):
            await request.chunk()
        app.state.streams.drain()

        assert await request.body() == b"closing: shutdown"


async def test_lagging_reader_gets_closing_bytes(end_log: EndLog) -> None:
    async with exchange(application(overflow_after_chunk, TickerResponse)) as request:
        await first_chunk(request)

        assert await request.body() == b"closing: slow-reader"
    assert end_log.line == f"{STARTED} reason=slow-reader"


async def test_reader_stalled_at_closing_bytes_is_disconnected(
    end_log: EndLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming_api.streaming.response.CLOSE_SECONDS", 0.01)
    app = application(wait_after_chunk, TickerResponse)

    async with exchange(app) as request:
        await first_chunk(request)
        request.stall()
        app.state.streams.drain()

        with pytest.raises(StreamAborted):
            await request.response
    assert end_log.line == f"{STARTED} reason=shutdown"


async def test_stream_older_than_limit_times_out(end_log: EndLog) -> None:
    app = application(wait_after_chunk, TickerResponse, max_seconds=0.01)

    async with exchange(app) as request:
        await first_chunk(request)

        assert await request.body() == b"closing: timeout"
    assert end_log.line == f"{STARTED} reason=timeout"


async def test_failed_finite_stream_is_failed_transfer(end_log: EndLog) -> None:
    async with exchange(application(fail_after_chunk)) as request:
        await first_chunk(request)

        with pytest.raises(OSError, match="the database is gone"):
            await request.response
    assert end_log.line == f"{STARTED} reason=error"
    assert isinstance(end_log.failure, OSError)


async def test_failed_endless_stream_gets_closing_bytes(end_log: EndLog) -> None:
    async with exchange(application(fail_after_chunk, TickerResponse)) as request:
        await first_chunk(request)

        assert await request.body() == b"closing: error"
    assert end_log.line == f"{STARTED} reason=error"


@pytest.mark.parametrize(("draining", "reason"), [(True, "shutdown"), (False, "client-disconnect")])
async def test_response_cancelled_by_server_is_logged(
    end_log: EndLog, draining: bool, reason: str
) -> None:
    app = application(wait_after_chunk)

    async with exchange(app) as request:
        await first_chunk(request)
        app.state.streams.draining = draining
        request.response.cancel()
        await asyncio.wait([request.response])

    assert request.response.cancelled()
    assert end_log.line == f"{STARTED} reason={reason}"


@pytest.mark.parametrize("scope_of", [dict, lambda scope: {**scope, "client": None}])
async def test_stream_without_route_is_logged(
    end_log: EndLog, scope_of: Callable[[Scope], Scope]
) -> None:
    owner: FastAPI = application(two_chunks)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await FileResponse(two_chunks())({**scope_of(scope), "app": owner}, receive, send)

    async with exchange(app) as request:
        await request.start()

        assert await request.body() == b"one\ntwo\nthree\n"
    assert end_log.line == "stream ended route=- lines=3 bytes=14 reason=complete"


class BytesResponse(FileResponse):
    """A stream without chunks, which sends its body itself."""

    async def send_body(self, stream: Stream, receive: Receive, send: Send) -> None:
        """Send two chunks."""
        await self.send_chunk(stream, send, Chunk(b"one\n", 1))
        await self.send_chunk(stream, send, LAST_CHUNK)


async def test_response_that_overrides_send_body_needs_no_chunks(end_log: EndLog) -> None:
    app = application(two_chunks, lambda _: BytesResponse())

    async with exchange(app) as request:
        await request.start()

        assert await request.body() == b"one\n"
    assert end_log.line == f"{STARTED} reason=complete"


class WithTaskResponse(FileResponse):
    """A stream with a background task."""

    ran = False

    def __init__(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        super().__init__(chunks)
        self.background = BackgroundTask(self.run)

    async def run(self) -> None:
        type(self).ran = True


@pytest.fixture
def with_task() -> type[WithTaskResponse]:
    """A class of streams which records whether its background task ran."""
    return type("Recorded", (WithTaskResponse,), {})


async def test_background_task_runs_after_complete_stream(
    with_task: type[WithTaskResponse],
) -> None:
    async with exchange(application(two_chunks, with_task)) as request:
        await request.start()
        assert not with_task.ran

        assert await request.body() == b"one\ntwo\nthree\n"
    assert with_task.ran


async def test_background_task_does_not_run_after_disconnect(
    with_task: type[WithTaskResponse],
) -> None:
    async with exchange(application(wait_after_chunk, with_task)) as request:
        await first_chunk(request)
        request.disconnect()
        await request.response
    assert not with_task.ran


async def test_background_task_does_not_run_after_failure(
    with_task: type[WithTaskResponse],
) -> None:
    async with exchange(application(fail_after_chunk, with_task)) as request:
        await first_chunk(request)
        with pytest.raises(OSError, match="the database is gone"):
            await request.response
    assert not with_task.ran
