"""The end of a stream that a path operation yields."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

from streaming_api.streaming import StreamRoute, generators
from streaming_api.streaming.response import StreamAborted

from ..streaming.conftest import EndLog
from ..streaming.exchange import Exchange, exchange
from ..variant import REQUEST_ID, SSE
from .formats import FORMATS, Format, Tick, application, prepare

pytestmark = pytest.mark.anyio

SECRET = "password=hunter2"  # noqa: S105


class Clock:
    """A path operation that yields until it is closed, and records it."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def __call__(self) -> AsyncIterator[Tick]:
        try:
            yield Tick(n=0)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.001)
            self.closed.set()


def endless() -> Iterator[Tick]:
    n = 0
    while True:
        yield Tick(n=n)
        n += 1


async def failing() -> AsyncIterator[Tick]:
    for n in range(3):
        yield Tick(n=n)
    raise OSError(SECRET)


async def not_found() -> AsyncIterator[Tick]:
    raise HTTPException(404, "No such clock.", {"X-Reason": "clock"})
    yield Tick(n=0)


async def broken() -> AsyncIterator[Tick]:
    raise OSError(SECRET)
    yield Tick(n=0)


def broken_in_thread() -> Iterator[Tick]:
    raise OSError(SECRET)
    yield Tick(n=0)


async def invalid() -> AsyncIterator[Tick]:
    yield "invalid"  # type: ignore[misc]


async def test_background_tasks_run_after_complete_stream(format: Format) -> None:
    done: list[int] = []

    async def endpoint(tasks: BackgroundTasks) -> AsyncIterator[Tick]:
        tasks.add_task(done.append, 1)
        yield Tick(n=0)
        assert not done

    async with exchange(application(endpoint, format)) as request:
        await request.start()
        assert format.read((await request.body()).decode()) == [0]
    assert done == [1]


async def test_complete_stream_is_logged_with_its_path(format: Format, end_log: EndLog) -> None:
    async def endpoint() -> AsyncIterator[Tick]:
        for n in range(1000):
            yield Tick(n=n)

    router = APIRouter(route_class=StreamRoute)
    router.get("/stream", response_class=format.response_class)(endpoint)
    outer = APIRouter()
    outer.include_router(router, prefix="/two")
    app = FastAPI()
    prepare(app)
    app.include_router(outer, prefix="/one")

    response = await asyncio.to_thread(TestClient(app).get, "/one/two/stream")

    size = len(response.content)
    assert end_log.line == (
        f"stream ended route=/one/two/stream items=1000 bytes={size} reason=complete"
    )


async def test_http_exception_before_first_item_is_the_response(
    format: Format, end_log: EndLog
) -> None:
    async with exchange(application(not_found, format)) as request:
        status, headers = await request.start()

        assert status == 404
        assert headers["content-type"] == "application/problem+json"
        assert headers["x-reason"] == "clock"
    assert end_log.failure is None


@pytest.mark.parametrize("endpoint", [broken, broken_in_thread])
async def test_failure_before_first_item_is_raised(
    format: Format, end_log: EndLog, endpoint: Callable[..., Any]
) -> None:
    async with exchange(application(endpoint, format)) as request:
        assert (await request.start())[0] == 500
        assert SECRET.encode() not in await request.chunk()
        with pytest.raises(OSError, match=SECRET):
            await request.response
    # The server logs it.
    assert end_log.failure is None
    assert end_log.line.endswith("reason=error")


async def test_invalid_first_item_is_raised(format: Format, end_log: EndLog) -> None:
    async with exchange(application(invalid, format)) as request:
        assert (await request.start())[0] == 500
        with pytest.raises(ValueError, match="1 validation error"):
            await request.response
    assert end_log.line.endswith("items=0 bytes=0 reason=error")


async def test_failure_before_first_item_has_its_handler(format: Format) -> None:
    async def handle(_: Request, error: OSError) -> JSONResponse:
        return JSONResponse("gone", 410)

    app = application(broken, format)
    app.add_exception_handler(OSError, handle)  # type: ignore[arg-type]

    async with exchange(app) as request:
        assert (await request.start())[0] == 410


async def body_of(request: Exchange) -> str:
    """Return the body of a stream whose response may fail after it."""
    await asyncio.wait([request.response])
    sent = [request.sent.get_nowait() for _ in range(request.sent.qsize())]
    return b"".join(message.get("body", b"") for message in sent).decode()


async def test_failure_after_items_is_visible(format: Format, end_log: EndLog) -> None:
    async with exchange(application(failing, format)) as request:
        assert (await request.start())[0] == 200
        body = await body_of(request)
        if format.is_file:
            with pytest.raises(OSError, match=SECRET):
                await request.response
        else:
            *_, name, data, _ = body.split("\n")[:-1]
            assert name == "event: stream-error"
            problem = json.loads(data.removeprefix("data: "))
            assert problem.keys() == {"title"} | ({"request_id"} if REQUEST_ID else set())

    assert format.read(body) == [0, 1, 2]
    assert SECRET not in body
    assert isinstance(end_log.failure, OSError)
    assert "items=3 " in end_log.line
    assert end_log.line.endswith("reason=error")


if SSE:

    async def test_failure_of_dependency_after_failed_stream_is_raised() -> None:
        async def dependency() -> AsyncIterator[None]:
            try:
                yield
            except OSError:
                raise RuntimeError("no rollback") from None

        format = next(each for each in FORMATS if not each.is_file)
        app = application(failing, format, dependencies=[Depends(dependency)])

        async with exchange(app) as request:
            assert "event: stream-error" in await body_of(request)
            with pytest.raises(RuntimeError, match="no rollback"):
                await request.response


async def test_http_exception_after_items_is_a_failure(format: Format, end_log: EndLog) -> None:
    async def endpoint() -> AsyncIterator[Tick]:
        yield Tick(n=0)
        raise HTTPException(404)

    async with exchange(application(endpoint, format)) as request:
        assert (await request.start())[0] == 200
        await asyncio.wait([request.response])

    assert isinstance(end_log.failure, HTTPException)


async def disconnect(_: FastAPI, request: Exchange) -> None:
    request.disconnect()


async def cancel(_: FastAPI, request: Exchange) -> None:
    request.response.cancel()


async def drain(app: FastAPI, _: Exchange) -> None:
    app.state.streams.drain()


@pytest.mark.parametrize("end", [disconnect, cancel, drain])
async def test_generator_is_closed_before_the_response_ends(
    format: Format, end: Callable[[FastAPI, Exchange], Any]
) -> None:
    clock = Clock()
    app = application(clock, format, limits={"grace": 0})

    async with exchange(app) as request:
        await request.start()
        await request.chunk()
        await end(app, request)
        await asyncio.wait([request.response])

        assert clock.closed.is_set()


async def test_disconnect_of_endless_stream_is_no_failure(format: Format, end_log: EndLog) -> None:
    async with exchange(application(endless, format)) as request:
        await request.start()
        request.disconnect()
        await request.response

    assert end_log.line.endswith("reason=client-disconnect")
    assert end_log.failure is None


@pytest.mark.parametrize("limits", [{"grace": 0.01}, {"max_seconds": 0.3}])
async def test_stream_that_is_cut_has_visibly_not_ended(
    format: Format, end_log: EndLog, limits: dict[str, Any]
) -> None:
    app = application(Clock(), format, limits=limits)

    async with exchange(app) as request:
        await request.start()
        await request.chunk()
        app.state.streams.drain()
        if format.is_file:
            with pytest.raises(StreamAborted):
                await request.response
        else:
            assert (await request.body()).startswith(b"event: stream-error\ndata: {")

    reason = "timeout" if "max_seconds" in limits else "shutdown"
    assert end_log.line.endswith(f"reason={reason}")


async def test_shutdown_lets_stream_complete(format: Format, end_log: EndLog) -> None:
    async def endpoint() -> AsyncIterator[Tick]:
        yield Tick(n=0)
        await continues.wait()
        yield Tick(n=1)

    continues = asyncio.Event()
    app = application(endpoint, format)

    async with exchange(app) as request:
        await request.start()
        first = await request.chunk()
        app.state.streams.drain()
        continues.set()

        assert format.read((first + await request.body()).decode()) == [0, 1]
    assert end_log.line.endswith("reason=complete")


async def test_stalled_reader_is_disconnected(format: Format, end_log: EndLog) -> None:
    async with exchange(application(endless, format, limits={"send_timeout": 0.01})) as request:
        await request.start()
        request.stall()

        with pytest.raises(StreamAborted):
            await request.response
    assert end_log.line.endswith("reason=slow-reader")


async def test_streams_of_client_are_limited(format: Format) -> None:
    app = application(Clock(), format, limits={"max_per_client": 1})

    async with exchange(app) as first, exchange(app) as second:
        assert (await first.start())[0] == 200
        status, headers = await second.start()

    assert status == 429
    assert headers["retry-after"] == "5"


if SSE:
    EVENTS = next(each for each in FORMATS if not each.is_file)

    async def test_idle_event_stream_starts_and_has_heartbeats(
        monkeypatch: pytest.MonkeyPatch, end_log: EndLog
    ) -> None:
        monkeypatch.setattr(generators, "START_SECONDS", 0.002)

        async def endpoint() -> AsyncIterator[Tick]:
            await continues.wait()
            yield Tick(n=1)

        continues = asyncio.Event()
        app = application(endpoint, EVENTS, settings={"heartbeat_seconds": 0.001})

        async with exchange(app) as request:
            status, headers = await request.start()
            assert status == 200
            assert headers["cache-control"] == "no-cache, no-transform"
            for _ in range(3):
                assert await request.chunk() == b": heartbeat\n\n"
            continues.set()

            assert EVENTS.read((await request.body()).decode()) == [1]
        assert " items=1 " in end_log.line

    async def test_failure_of_idle_event_stream_is_an_event() -> None:
        async def endpoint() -> AsyncIterator[Tick]:
            await continues.wait()
            raise HTTPException(404)
            yield Tick(n=1)

        continues = asyncio.Event()
        app = application(endpoint, EVENTS, settings={"heartbeat_seconds": 0.001})

        async with exchange(app) as request:
            assert (await request.start())[0] == 200
            continues.set()

            assert b"event: stream-error\n" in await request.body()
