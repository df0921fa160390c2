"""The limits on open streams."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from streaming_api.streaming import Chunk
from streaming_api.streaming.registry import Streams

from .exchange import Exchange, application, exchange

pytestmark = pytest.mark.anyio


async def one_chunk() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one\n", 1)


async def wait_after_chunk() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one\n", 1)
    await asyncio.Event().wait()


async def many_chunks() -> AsyncGenerator[Chunk, None]:
    for _ in range(10_000):
        yield Chunk(b"one\n", 1)


async def fail_after_chunk() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"one\n", 1)
    raise OSError


async def failure() -> AsyncGenerator[Chunk, None]:
    raise OSError
    yield Chunk(b"", 0)


async def test_too_many_streams_of_client_return_429() -> None:
    app = application(wait_after_chunk, max_per_client=2)

    async with exchange(app) as first, exchange(app) as second, exchange(app) as third:
        assert (await first.start())[0] == 200
        assert (await second.start())[0] == 200
        status, headers = await third.start()

    assert status == 429
    assert headers["content-type"] == "application/problem+json"
    assert headers["retry-after"] == "5"


async def test_limit_of_client_does_not_affect_another() -> None:
    app = application(wait_after_chunk, max_per_client=1)

    async with exchange(app) as first, exchange(app, client="192.0.2.2") as second:
        assert (await first.start())[0] == 200
        assert (await second.start())[0] == 200


@pytest.mark.parametrize(
    ("first_client", "second_client", "expected"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", 429),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", 200),
        ("fe80::1%eth0", "fe80::2", 429),
        ("::ffff:192.0.2.1", "192.0.2.1", 429),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", 200),
        ("testclient", "testclient", 429),
        ("unknown", "unknown", 200),
    ],
)
async def test_client_is_an_address_or_a_network_of_64_bits(
    first_client: str, second_client: str, expected: int
) -> None:
    app = application(wait_after_chunk, max_per_client=1)

    async with exchange(app, client=first_client) as first:
        assert (await first.start())[0] == 200
        async with exchange(app, client=second_client) as second:
            assert (await second.start())[0] == expected


async def test_client_of_socket_file_has_no_limit_of_its_own() -> None:
    inner = application(wait_after_chunk, max_per_client=1)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await inner({**scope, "client": None}, receive, send)

    async with exchange(app) as first, exchange(app) as second:
        assert (await first.start())[0] == 200
        assert (await second.start())[0] == 200


async def test_too_many_streams_of_all_clients_return_503() -> None:
    app = application(wait_after_chunk, max_streams=2)

    async with exchange(app, client="192.0.2.1") as first, exchange(app, client="unknown"):
        assert (await first.start())[0] == 200
        async with exchange(app, client="192.0.2.3") as third:
            status, headers = await third.start()
        assert status == 503
        assert headers["content-type"] == "application/problem+json"
        assert headers["retry-after"] == "5"
        first.disconnect()
        await asyncio.wait([first.response])
        async with exchange(app, client="192.0.2.4") as fourth:
            assert (await fourth.start())[0] == 200


@pytest.mark.parametrize(
    ("chunks", "end"),
    [
        pytest.param(one_chunk, None, id="complete"),
        pytest.param(failure, None, id="not-started"),
        pytest.param(fail_after_chunk, None, id="error"),
        pytest.param(wait_after_chunk, Exchange.disconnect, id="client-disconnect"),
        pytest.param(many_chunks, Exchange.stall, id="slow-reader"),
    ],
)
async def test_ended_stream_is_not_counted(
    chunks: Callable[[], AsyncGenerator[Chunk, None]], end: Callable[[Exchange], None] | None
) -> None:
    app = application(chunks, max_per_client=1, send_timeout=0.01)
    async with exchange(app) as first:
        await first.start()
        if end:
            end(first)
        await asyncio.wait([first.response])

    async with exchange(app) as second:
        status, _ = await second.start()

    assert status != 429


async def test_draining_server_admits_no_stream() -> None:
    app = application(one_chunk)
    app.state.streams.drain()

    async with exchange(app) as request:
        status, headers = await request.start()

    assert status == 503
    assert headers["retry-after"] == "1"


async def test_clients_without_open_streams_take_no_memory() -> None:
    streams = Streams(send_timeout=10, max_seconds=0, max_per_client=2, grace=10)

    with streams.admit("192.0.2.1", endless=True), streams.admit("192.0.2.1", endless=True):
        assert streams._clients == {"192.0.2.1": 2}

    assert not streams._clients
    assert not streams._open


@pytest.mark.parametrize(
    "settings", [{"max_streams": 3, "max_streams_per_client": 2}], indirect=True
)
async def test_limits_are_settings(app: FastAPI) -> None:
    streams: Streams = app.state.streams

    assert (streams.max_streams, streams.max_per_client) == (3, 2)
