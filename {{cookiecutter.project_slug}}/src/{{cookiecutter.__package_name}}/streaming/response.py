"""The response class of all streams: from the first chunk to the line in the log."""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from time import monotonic
from typing import Any, ClassVar

from anyio import CancelScope, move_on_after
from fastapi.routing import _get_scope_effective_route_context
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from .generators import ItemFormat
from .registry import UNKNOWN, Chunk, Reason, SlowReader, Stream, Streams

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 1.0
"""Time limit for the last bytes of a stream that ends early, and for its disconnect."""
LAST_CHUNK = Chunk(b"", 0)
MAX_PIECE = 256 * 1024
"""Maximum number of bytes to send within `send_timeout`."""
SERVER_RECEIVE = "server_receive"
"""The key of a scope for the `receive` of the server."""


class StreamAborted(Exception):
    """A transfer has to fail, on a server whose connection cannot be reached."""


class StreamResponse(Response):
    """Sends `chunks` as they are generated, and closes the generator in the task that ran it.

    The first chunk is generated before the headers are sent; a failure up to there is a 503. After
    that a stream ends in order or the transfer fails, but is never truncated silently. The end is
    logged with its reason. Background tasks run after a complete stream only. A subclass that has
    no chunks overrides `send_body`.
    """

    items_name = "items"
    """What the log calls the items of a chunk."""
    raised: type[Exception] = HTTPException
    """The failures before the first chunk that are raised instead of a 503."""
    endless: bool = False
    """Whether the stream waits for events, and so ends as soon as the server shuts down."""
    own_headers: ClassVar[Mapping[str, str]] = {}
    """The headers of every response of the class."""
    chunks: AsyncGenerator[Chunk, None]

    def __init__(
        self,
        chunks: AsyncGenerator[Chunk, None] | None = None,
        headers: Mapping[str, str] | None = None,
        status_code: int = 200,
    ) -> None:
        if chunks:
            self.chunks = chunks
        self.status_code = status_code
        self.background = None
        # With buffering on, nginx reads a whole stream ahead of a client that reads nothing.
        self.init_headers({"X-Accel-Buffering": "no", **self.own_headers, **(headers or {})})

    def closing(self, reason: Reason | None) -> bytes | None:
        """Return the bytes that end the stream early but in order; `None` aborts the transfer."""
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await send(self._start())
            await send({"type": "http.response.body"})
            return
        with admit(scope, endless=self.endless) as stream:
            stream.connection = connection_of(scope, receive)
            limit_silence(stream.connection, stream.send_timeout)
            try:
                async with stream.running():
                    await self.send_body(stream, receive, send)
            finally:
                self._log_end(scope, stream)
            await self._close(stream, receive, send)
        if stream.reason is Reason.COMPLETE and self.background:
            await self.background()
        if (failure := stream.failure) and (stack := scope.get("fastapi_inner_astack")):
            # Dependencies that `yield` would take the stream for complete. It has been logged.
            await stack.pop_all().__aexit__(type(failure), failure, failure.__traceback__)

    async def send_body(self, stream: Stream, receive: Receive, send: Send) -> None:
        """Send all chunks. Raises the exceptions of the generator, and `SlowReader`."""
        listener = asyncio.create_task(end_on_disconnect(receive, stream))
        try:
            async for chunk in self.chunks:
                await self.send_chunk(stream, send, chunk)
            # From here on the server reports the end of the response as a disconnect.
            listener.cancel()
            await self.send_chunk(stream, send, LAST_CHUNK)
        finally:
            stream.disarm()
            listener.cancel()
            with CancelScope(shield=True):
                await asyncio.wait([listener])
                await self.chunks.aclose()

    async def send_chunk(self, stream: Stream, send: Send, chunk: Chunk) -> None:
        """Send a chunk, after the headers if it is the first. Raises `SlowReader`."""
        # Sending to a client that has left returns at once: without this, a generator that never
        # waits would block the event loop.
        await asyncio.sleep(0)
        stream.raise_if_ended()
        for piece in pieces(chunk):
            stream.is_cut |= piece.is_partial
            try:
                async with asyncio.timeout(stream.send_timeout):
                    if not stream.started:
                        stream.started = True
                        await send(self._start())
                    await send(body_message(piece))
            except TimeoutError:
                raise SlowReader from None
            stream.count(piece)

    async def _close(self, stream: Stream, receive: Receive, send: Send) -> None:
        """Close a stream that has not ended by itself: in order if the format can, else visibly."""
        if stream.reason in (None, Reason.COMPLETE, Reason.CLIENT_DISCONNECT):
            return
        if not stream.started:
            if isinstance(stream.failure, self.raised):
                raise stream.failure
            detail = "The stream could not be started."
            raise HTTPException(503, detail, {"Retry-After": "5"}) from stream.failure
        closing = None if stream.is_cut else self.closing(stream.reason)
        if closing is not None:
            with move_on_after(CLOSE_SECONDS), suppress(Exception):
                await send({"type": "http.response.body", "body": closing})
                return
        if stream.connection is None:
            raise stream.failure or StreamAborted(stream.reason)
        # ASGI has no message for this: what was not sent is discarded.
        stream.connection.transport.abort()
        # A server that does not know of the disconnect yet reports a return as an error.
        with move_on_after(CLOSE_SECONDS):
            await until_disconnected(receive)

    def _start(self) -> Message:
        headers = self.raw_headers
        return {"type": "http.response.start", "status": self.status_code, "headers": headers}

    def _log_end(self, scope: Scope, stream: Stream) -> None:
        # An exception that is raised becomes an answer, a 404 for example, or is logged elsewhere.
        is_raised = not stream.started and isinstance(stream.failure, self.raised)
        fault = None if is_raised else stream.failure
        logger.log(
            logging.ERROR if fault else logging.INFO,
            "stream ended route=%s %s=%d bytes=%d seconds=%.3f reason=%s",
            getattr(_get_scope_effective_route_context(scope) or scope.get("route"), "path", "-"),
            self.items_name,
            stream.items,
            stream.bytes,
            monotonic() - stream.opened_at,
            stream.reason,
            exc_info=fault,
        )


def admit(scope: Scope, *, endless: bool) -> AbstractContextManager[Stream]:
    """Admit the stream of a request. Raises `HTTPException` as `Streams.admit` does, or 505."""
    if scope.get("http_version") == "1.0":
        # Its only sign of a failed transfer is the length, which a stream does not have.
        raise HTTPException(505, "A stream expects HTTP/1.1 or later.")
    streams: Streams = scope["app"].state.streams
    client = scope["client"][0] if scope.get("client") else UNKNOWN
    return streams.admit(client, endless=endless)


class ItemsResponse(StreamResponse):
    """A stream that a path operation can yield, item by item."""

    media_type: str
    item_format: ClassVar[type[ItemFormat]]


def body_message(chunk: Chunk) -> Message:
    """Return the ASGI message that sends `chunk`."""
    return {"type": "http.response.body", "body": chunk.data, "more_body": chunk is not LAST_CHUNK}


def pieces(chunk: Chunk) -> Iterator[Chunk]:
    """Yield the parts of a chunk, each of which has the time limit of a send."""
    last = max(len(chunk.data) - 1, 0) // MAX_PIECE * MAX_PIECE
    for start in range(0, last, MAX_PIECE):
        yield Chunk(chunk.data[start : start + MAX_PIECE], 0, is_partial=True)
    yield Chunk(chunk.data[last:], chunk.items) if last else chunk


async def until_disconnected(receive: Receive) -> None:
    """Return once the client has disconnected, whatever is left of its request."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def end_on_disconnect(receive: Receive, stream: Stream) -> None:
    """End `stream` when its client disconnects, or when the rest of its request is invalid."""
    try:
        await until_disconnected(receive)
        stream.end(Reason.CLIENT_DISCONNECT)
    except Exception as failure:
        stream.end(Reason.ERROR, failure)


def connection_of(scope: Scope, receive: Receive) -> Any:
    """Return the server's object of a request, which has the `transport`; `None` if unknown."""
    # uvicorn's `receive` is a method of it. Middleware and FastAPI wrap it.
    owner = getattr(scope.get(SERVER_RECEIVE, receive), "__self__", None)
    return owner if hasattr(owner, "transport") else None


def limit_silence(connection: Any, seconds: float) -> None:
    """Close the connection to a client that vanishes and acknowledges nothing (Linux)."""
    # Otherwise TCP repeats what it sent for 15 minutes.
    milliseconds = round(min(seconds * 1000, 2**31 - 1))
    with suppress(AttributeError, OSError):
        connection.transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds
        )
