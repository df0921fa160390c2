"""Signals that stop the server drain the streams first."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from types import FrameType, ModuleType

import pytest

from streaming_api.streaming.registry import stop_signals

pytestmark = pytest.mark.anyio


@pytest.fixture
def server_signals() -> Iterator[list[int]]:
    """The signals that the handlers of the server received."""
    received: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        received.append(number)

    previous = {each: signal.signal(each, handle) for each in (signal.SIGTERM, signal.SIGINT)}
    yield received
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_calls_callback_and_previous_handler(
    server_signals: list[int], number: signal.Signals
) -> None:
    drained = asyncio.Event()

    with stop_signals(drained.set):
        signal.raise_signal(number)
        await drained.wait()

    assert server_signals == [number]


async def test_previous_handlers_are_restored(server_signals: list[int]) -> None:
    drained = asyncio.Event()
    with stop_signals(drained.set):
        pass

    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0)

    assert server_signals == [signal.SIGTERM]
    assert not drained.is_set()


async def test_ignored_signal_stays_ignored(server_signals: list[int]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    with stop_signals(lambda: None):
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


async def test_other_threads_handle_no_signals() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def enter() -> None:
        with stop_signals(lambda: None):
            assert signal.getsignal(signal.SIGTERM) is before

    await asyncio.to_thread(enter)


@pytest.mark.parametrize("server", ["granian", "hypercorn"])
async def test_unsupported_server_is_named_in_the_log(
    server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, server, ModuleType(server))

    with stop_signals(lambda: None):
        pass

    assert f"Unsupported server {server}: " in caplog.text


async def test_uvicorn_is_supported(caplog: pytest.LogCaptureFixture) -> None:
    with stop_signals(lambda: None):
        pass

    assert not caplog.records
