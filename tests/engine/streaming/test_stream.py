"""`Stream`: one reason for its end, and one cancellation of its body."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from streaming_api.streaming import Chunk, Reason
from streaming_api.streaming.registry import SlowReader, Stream, Streams

pytestmark = pytest.mark.anyio


@contextmanager
def open_stream(*, max_seconds: float = 0) -> Iterator[Stream]:
    """Admit a stream."""
    streams = Streams(send_timeout=10, max_seconds=max_seconds, max_per_client=1, grace=10)
    with streams.admit("192.0.2.1", endless=True) as stream:
        yield stream


async def test_stream_whose_body_returns_is_complete() -> None:
    with open_stream() as stream:
        async with stream.running():
            stream.count(Chunk(b"one\n", 1))
            stream.count(Chunk(b"two\nthree\n", 2))

    assert stream.reason is Reason.COMPLETE
    assert (stream.items, stream.bytes) == (3, 14)


async def test_end_while_running_cancels_body() -> None:
    with open_stream() as stream:
        async with stream.running():
            stream.end(Reason.SHUTDOWN)
            await asyncio.Event().wait()

    assert stream.reason is Reason.SHUTDOWN
    assert stream.failure is None


async def test_end_twice_keeps_first_reason() -> None:
    with open_stream() as stream:
        async with stream.running():
            stream.end(Reason.CLIENT_DISCONNECT)
            stream.end(Reason.SHUTDOWN)
            await asyncio.Event().wait()
        stream.end(Reason.TIMEOUT)

    assert stream.reason is Reason.CLIENT_DISCONNECT


async def test_end_twice_keeps_first_failure() -> None:
    first, second = OSError("first"), OSError("second")

    with open_stream() as stream:
        stream.end(Reason.CLIENT_DISCONNECT)
        stream.end(Reason.ERROR, first)
        stream.end(Reason.ERROR, second)

    assert stream.reason is Reason.CLIENT_DISCONNECT
    assert stream.failure is first


async def test_end_before_running_is_raised_in_body() -> None:
    with open_stream() as stream:
        stream.end(Reason.SHUTDOWN)
        async with stream.running():
            stream.raise_if_ended()
            pytest.fail("the stream has ended")

    assert stream.reason is Reason.SHUTDOWN


async def test_end_after_running_does_not_cancel_caller() -> None:
    with open_stream() as stream:
        async with stream.running():
            pass
        stream.end(Reason.SHUTDOWN)
        await asyncio.sleep(0.001)

    assert stream.reason is Reason.COMPLETE


async def test_end_within_cleanup_does_not_cancel_again() -> None:
    cleaned = False

    with open_stream() as stream:
        async with stream.running():
            try:
                stream.end(Reason.CLIENT_DISCONNECT)
                await asyncio.Event().wait()
            finally:
                stream.end(Reason.SHUTDOWN)
                await asyncio.sleep(0.001)
                cleaned = True

    assert cleaned
    assert stream.reason is Reason.CLIENT_DISCONNECT


async def test_disarmed_stream_is_not_cancelled() -> None:
    with open_stream(max_seconds=0.002) as stream:
        async with stream.running():
            stream.end(Reason.SHUTDOWN)
            stream.disarm()
            await asyncio.sleep(0.004)
            stream.count(Chunk(b"last\n", 1))

    assert (stream.reason, stream.failure) == (Reason.SHUTDOWN, None)
    assert stream.items == 1


async def test_end_after_timeout_within_cleanup_is_recorded() -> None:
    with open_stream(max_seconds=0.001) as stream:
        async with stream.running():
            try:
                await asyncio.Event().wait()
            finally:
                stream.end(Reason.CLIENT_DISCONNECT)

    assert stream.reason is Reason.CLIENT_DISCONNECT


async def test_failure_of_cleanup_keeps_reason() -> None:
    failure = OSError("already closed")

    with open_stream() as stream:
        async with stream.running():
            try:
                stream.end(Reason.CLIENT_DISCONNECT)
                await asyncio.Event().wait()
            finally:
                raise failure

    assert stream.reason is Reason.CLIENT_DISCONNECT
    assert stream.failure is failure


@pytest.mark.parametrize(("max_seconds", "reason"), [(0, Reason.SHUTDOWN), (1e-3, Reason.TIMEOUT)])
async def test_suppressed_cancellation_is_raised_again(max_seconds: float, reason: Reason) -> None:
    with open_stream(max_seconds=max_seconds) as stream:
        async with stream.running():
            if not max_seconds:
                stream.end(reason)
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            with pytest.raises(TimeoutError):
                stream.raise_if_ended()
            stream.raise_if_ended()

    assert stream.reason is reason


@pytest.mark.parametrize("failure", [OSError("gone"), TimeoutError("of the body")])
async def test_failure_of_body_is_an_error(failure: Exception) -> None:
    with open_stream() as stream:
        async with stream.running():
            raise failure

    assert (stream.reason, stream.failure) == (Reason.ERROR, failure)


async def test_slow_reader_is_no_failure() -> None:
    with open_stream() as stream:
        async with stream.running():
            raise SlowReader

    assert (stream.reason, stream.failure) == (Reason.SLOW_READER, None)
