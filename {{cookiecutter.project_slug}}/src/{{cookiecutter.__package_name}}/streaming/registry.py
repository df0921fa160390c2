"""All open streams of one process: how many there may be, and how they are told to end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from time import monotonic
from typing import NamedTuple

from starlette.exceptions import HTTPException


class Reason(StrEnum):
    """Why a stream ended."""

    COMPLETE = "complete"
    CLIENT_DISCONNECT = "client-disconnect"
    SHUTDOWN = "shutdown"
    SLOW_READER = "slow-reader"
    TIMEOUT = "timeout"
    ERROR = "error"


class Chunk(NamedTuple):
    """Bytes to send in one piece, and how many items they hold."""

    data: bytes
    items: int


class OpenStream:
    """One stream: what it has sent, and how it is told to end."""

    def __init__(self, *, endless: bool, send_timeout: float, max_seconds: float) -> None:
        self.endless = endless
        self.send_timeout = send_timeout
        self.opened_at = monotonic()
        self.started = False
        # What stands if nothing else ends the stream before its time is over.
        self.reason = Reason.TIMEOUT
        self.items = 0
        self.bytes = 0
        self._failure: Exception | None = None
        self._time = asyncio.timeout(max_seconds or None)
        self._running = False

    @property
    def seconds(self) -> float:
        """How long the stream has been open."""
        return monotonic() - self.opened_at

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the body until `stop` is called or the stream's time is over.

        Either cancels the body once, as asyncio does and anyio does not: what the body then waits
        for in order to clean up is left alone. Raises what `fail` was given.
        """
        self._running = True
        try:
            async with self._time:
                yield
        except TimeoutError:
            if not self._time.expired():
                raise
            if self._failure:
                raise self._failure from None
        finally:
            self._running = False

    def stop(self, reason: Reason) -> None:
        """End the stream at the await it is at; the first reason stands."""
        if self._running and self.reason is not Reason.COMPLETE and not self._time.expired():
            self._running = False
            self.reason = reason
            self._time.reschedule(0)

    def fail(self, failure: Exception) -> None:
        """End the stream because of `failure`, unless it ends already."""
        if self._running:
            self._failure = failure
            self.stop(Reason.ERROR)

    def count(self, chunk: Chunk) -> None:
        """Add what was sent."""
        self.items += chunk.items
        self.bytes += len(chunk.data)

    def raise_if_stopped(self) -> None:
        """Cancel the body again if the first time was lost in a library on the way."""
        if self._time.expired():
            raise asyncio.CancelledError


class Streams:
    """Admits streams and drains them.

    `send_timeout`, `max_seconds` (0: no limit) and `grace` are seconds.
    """

    def __init__(
        self, *, send_timeout: float, max_seconds: float, max_per_client: int, grace: float
    ) -> None:
        self.send_timeout = send_timeout
        self.max_seconds = max_seconds
        self.max_per_client = max_per_client
        self.grace = grace
        self.draining = False
        self._open: set[OpenStream] = set()
        self._clients: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def admit(self, client: str, *, endless: bool) -> Iterator[OpenStream]:
        """Yield a new stream of `client`.

        Raises `HTTPException`: 503 while draining, 429 when `client` has too many streams open.
        """
        if self.draining:
            raise HTTPException(503, "The server is stopping.", {"Retry-After": "1"})
        if self._clients[client] >= self.max_per_client:
            detail = f"This client has {self.max_per_client} streams open, which is the limit."
            raise HTTPException(429, detail, {"Retry-After": "5"})
        stream = OpenStream(
            endless=endless, send_timeout=self.send_timeout, max_seconds=self.max_seconds
        )
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
        """Admit no more streams; end the endless ones now, and the others when `grace` is over."""
        self.draining = True
        asyncio.get_running_loop().call_later(self.grace, self._stop, self._open)
        self._stop({stream for stream in self._open if stream.endless})

    @staticmethod
    def _stop(streams: set[OpenStream]) -> None:
        for stream in list(streams):
            stream.stop(Reason.SHUTDOWN)
