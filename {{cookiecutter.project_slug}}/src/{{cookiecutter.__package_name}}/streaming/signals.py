"""Hearing of a stop before the server waits for the streams to end."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_signals(callback: Callable[[], object]) -> Iterator[None]:
    """Run `callback` on the event loop at SIGTERM and SIGINT, then whoever handled them before.

    A server waits for open responses before it runs the lifespan's teardown, so a stream that
    waited for the teardown would never end. Outside of the main thread, where no signal arrives,
    this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    earlier = {
        number: handler
        for number in (signal.SIGTERM, signal.SIGINT)
        if callable(handler := signal.getsignal(number))
    }

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback)
        earlier[signal.Signals(number)](number, frame)

    for number in earlier:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
