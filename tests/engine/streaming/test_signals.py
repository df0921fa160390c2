"""The signals that stop a server end its streams first."""

import asyncio
import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from {{ cookiecutter.__package_name }}.streaming import stop_signals

pytestmark = pytest.mark.anyio


@pytest.fixture
def server_saw() -> Iterator[list[int]]:
    """The signals that reach who handled them before, as a server does."""
    seen: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        seen.append(number)

    earlier = {each: signal.signal(each, handle) for each in (signal.SIGTERM, signal.SIGINT)}
    yield seen
    for number, handler in earlier.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_reaches_the_streams_and_the_server(
    server_saw: list[int], number: signal.Signals
) -> None:
    drained = asyncio.Event()

    with stop_signals(drained.set):
        signal.raise_signal(number)
        await drained.wait()

    assert server_saw == [number]


async def test_the_handlers_of_before_are_restored(server_saw: list[int]) -> None:
    drained = asyncio.Event()
    with stop_signals(drained.set):
        pass

    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0)

    assert server_saw == [signal.SIGTERM]
    assert not drained.is_set()


async def test_a_signal_that_nobody_handled_is_left_alone(server_saw: list[int]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    with stop_signals(lambda: None):
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


async def test_outside_of_the_main_thread_there_are_no_signals() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def watch() -> None:
        with stop_signals(lambda: None):
            assert signal.getsignal(signal.SIGTERM) is before

    await asyncio.to_thread(watch)
