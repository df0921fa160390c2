"""The open streams of a process: admission, limits and graceful shutdown."""

import asyncio
import logging
import signal
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from time import monotonic
from types import FrameType
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException

logger = logging.getLogger(__name__)

UNSUPPORTED_SERVERS = {"granian", "hypercorn"}
CHUNK_BYTES = 64 * 1024
"""The size of a chunk of many items, about."""
UNKNOWN = "unknown"
"""The client of a Unix domain socket, whose address a proxy may know."""


class Reason(StrEnum):
    """Why a stream ended."""

    COMPLETE = "complete"
    CLIENT_DISCONNECT = "client-disconnect"
    SHUTDOWN = "shutdown"
    SLOW_READER = "slow-reader"
    TIMEOUT = "timeout"
    ERROR = "error"


class Chunk(NamedTuple):
    """Bytes to send in one message, and the number of items in them."""

    data: bytes
    items: int
    is_partial: bool = False
    """Whether the data ends within an item, which the next chunk continues."""


class SlowReader(Exception):
    """The client reads more slowly than the stream sends."""


class Stream:
    """An open stream: its counters, its timeouts and the reason of its end."""

    def __init__(self, streams: "Streams", *, endless: bool) -> None:
        self.endless = endless
        self.send_timeout = streams.send_timeout
        self.started = False
        """Whether the headers have been sent."""
        self.is_cut = False
        """Whether what was sent may end within an item."""
        self.items = 0
        self.bytes = 0
        self.reason: Reason | None = None
        self.failure: Exception | None = None
        self.connection: Any = None
        """The server's object of the request, if it is known."""
        self.opened_at = monotonic()
        self._streams = streams
        self._timeout = asyncio.timeout(streams.max_seconds or None)
        self._is_armed = True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the body until it returns, `end` is called or `max_seconds` have passed.

        The body is cancelled once, as asyncio does and anyio does not: what it awaits in `finally`
        is not cancelled again. Exceptions of the body end the stream and are not raised.
        """
        try:
            async with self._timeout:
                yield
            self.end(Reason.COMPLETE)
        except SlowReader:
            self.end(Reason.SLOW_READER)
        except asyncio.CancelledError:
            draining = self._streams.draining
            self.end(Reason.SHUTDOWN if draining else Reason.CLIENT_DISCONNECT)
            raise
        except Exception as error:
            if isinstance(error, TimeoutError) and (self.reason or self._timeout.expired()):
                self.end(Reason.TIMEOUT)
            else:
                self.end(Reason.ERROR, error)

    def end(self, reason: Reason, failure: Exception | None = None) -> None:
        """Record why the stream ends, and cancel its body. The first reason wins."""
        self.failure = self.failure or failure
        if not self.reason:
            self.reason = reason
            self._reschedule(0)

    def disarm(self) -> None:
        """Stop cancelling the body, which cleans up from here on."""
        self._reschedule(None)
        self._is_armed = False

    def _reschedule(self, when: float | None) -> None:
        # A timeout that has expired, or whose block has been left, cannot be changed.
        with suppress(RuntimeError):
            if self._is_armed:
                self._timeout.reschedule(when)

    def raise_if_ended(self) -> None:
        """Raise `TimeoutError` if a library on the way has swallowed the cancellation."""
        self.detect_disconnect()
        if self.reason or self._timeout.expired():
            raise TimeoutError

    def detect_disconnect(self) -> None:
        """End the stream if its connection is closed and the server has not said so.

        uvicorn reports a disconnect to the last request of a connection only, which may be waiting
        for the end of this stream (pipelining).
        """
        if self.connection is not None and self.connection.transport.is_closing():
            self.connection.disconnected = True
            self.end(Reason.CLIENT_DISCONNECT)

    def count(self, chunk: Chunk) -> None:
        """Add a chunk that was sent."""
        self.items += chunk.items
        self.bytes += len(chunk.data)
        self.is_cut = chunk.is_partial


@dataclass(eq=False, kw_only=True)
class Streams:
    """Admits streams, and drains them on shutdown.

    A client is an IPv4 address or an IPv6 network of 64 bits, of which one customer has all.
    `send_timeout`, `max_seconds` (0: no limit) and `grace` are in seconds.
    """

    send_timeout: float
    max_seconds: float
    max_per_client: int
    max_streams: int = 10_000
    grace: float
    draining: bool = field(default=False, init=False)
#{% if cookiecutter.__uses.sse %}
    body_bytes: int = field(default=0, init=False)
    """Size of all request bodies that are received or handled."""
#{% endif %}
    deadline: float = field(default=0.0, init=False)
    _open: set[Stream] = field(default_factory=set, init=False)
    _clients: Counter[str] = field(default_factory=Counter, init=False)

    @contextmanager
    def admit(self, client: str, *, endless: bool) -> Iterator[Stream]:
        """Yield a new stream of `client`, the address of a client or `UNKNOWN`.

        Raises `HTTPException`: 503 while draining or with too many open streams, 429 if `client`
        has too many.
        """
        if self.draining:
            raise HTTPException(503, "The server is shutting down.", {"Retry-After": "1"})
        if len(self._open) >= self.max_streams:
            detail = f"Too many open streams: the limit is {self.max_streams}."
            raise HTTPException(503, detail, {"Retry-After": "5"})
        client = network_of(client)
        if client != UNKNOWN and self._clients[client] >= self.max_per_client:
            detail = f"Too many open streams: the limit is {self.max_per_client} per client."
            raise HTTPException(429, detail, {"Retry-After": "5"})
        stream = Stream(self, endless=endless)
        self._clients[client] += 1
        self._open.add(stream)
        try:
            yield stream
        finally:
            self._open.discard(stream)
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    def drain(self) -> None:
        """Admit no more streams; end endless ones now, and the others after `grace` seconds."""
        self.draining = True
        self.deadline = monotonic() + self.grace
        asyncio.get_running_loop().call_later(self.grace, self._end, self._open)
        self._end({stream for stream in self._open if stream.endless})

    @staticmethod
    def _end(streams: set[Stream]) -> None:
        for stream in list(streams):
            stream.end(Reason.SHUTDOWN)


def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that `host` is; `None` for a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def network_of(client: str) -> str:
    """Return the network that a client has: its IPv4 address, or 64 bits of its IPv6 address."""
    address = parse_address(client)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), 64), strict=False))
    return str(address or client)


@contextmanager
def stop_signals(callback: Callable[[], object]) -> Iterator[None]:
    """Call `callback` on the event loop at SIGTERM and SIGINT, then the previous handlers.

    A server waits for open responses before it shuts the lifespan down, which would be too late for
    endless streams. Outside of the main thread, which gets no signals, this does nothing.
    """
    for server in UNSUPPORTED_SERVERS & sys.modules.keys():
        message = "Unsupported server %s: its shutdown cuts streams or hangs. Use uvicorn."
        logger.warning(message, server)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    previous = {
        number: handler
        for number in (signal.SIGTERM, signal.SIGINT)
        if callable(handler := signal.getsignal(number))
    }

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback)
        previous[signal.Signals(number)](number, frame)

    for number in previous:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
