"""All open streams of one process: how many there may be, and how they are told to end."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from time import monotonic

from anyio import CancelScope
from starlette.exceptions import HTTPException


class Reason(StrEnum):
    """Why a stream ended."""

    COMPLETE = "complete"
    CLIENT_DISCONNECT = "client-disconnect"
    SHUTDOWN = "shutdown"
    SLOW_READER = "slow-reader"
    TIMEOUT = "timeout"
    ERROR = "error"


class OpenStream:
    """One stream: the scope that its response runs in, and what it has sent."""

    def __init__(self, endless: bool, send_timeout: float, max_seconds: float) -> None:
        self.endless = endless
        self.send_timeout = send_timeout
        self.opened_at = monotonic()
        self.scope = CancelScope()
        if max_seconds:
            self.scope.deadline = asyncio.get_running_loop().time() + max_seconds
        self.started = False
        # What stands if nothing else ends the stream before its deadline.
        self.reason = Reason.TIMEOUT
        self.items = 0
        self.bytes = 0

    @property
    def seconds(self) -> float:
        """How long the stream has been open."""
        return monotonic() - self.opened_at

    def stop(self, reason: Reason) -> None:
        """End the stream at its next await; the first reason stands."""
        if not self.scope.cancel_called:
            self.reason = reason
            self.scope.cancel()


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
        stream = OpenStream(endless, self.send_timeout, self.max_seconds)
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
        if self.draining:
            return
        self.draining = True
        asyncio.get_running_loop().call_later(self.grace, self._stop, self._open)
        self._stop({stream for stream in self._open if stream.endless})

    @staticmethod
    def _stop(streams: set[OpenStream]) -> None:
        for stream in list(streams):
            stream.stop(Reason.SHUTDOWN)
