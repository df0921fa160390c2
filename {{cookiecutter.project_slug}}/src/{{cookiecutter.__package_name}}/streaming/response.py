"""One response that owns a stream's life, from the first chunk to the last log line."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import ClassVar

from anyio import CancelScope, move_on_after
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

#{% if cookiecutter.request_id %}
from ..middleware.request_id import request_id
#{% endif %}
from .connection import abort_connection
from .registry import Chunk, OpenStream, Reason, Streams

logger = logging.getLogger(__name__)

FAREWELL_SECONDS = 1.0
RETRY_LATER = {"Retry-After": "5"}
LAST_CHUNK = Chunk(b"", 0)


class SlowReader(Exception):
    """The client takes less than it is sent."""


class StreamAborted(Exception):
    """A transfer that has to fail, on a server whose connection cannot be reached."""


class StreamResponse(Response):
    """Sends `chunks` as they come, and closes them in the task that ran them, whatever happens.

    The first chunk is made before the headers leave, so that a failure up to there is a status
    (503) and not a broken body. From then on a stream ends in order or the transfer fails: it is
    never silently short. One log line tells how it ended.
    """

    items_name: ClassVar[str] = "items"
    """What the log calls the items of a chunk."""
    endless: ClassVar[bool] = False
    """Whether the stream waits for things to happen, and so ends as soon as the server stops."""

    def __init__(
        self, chunks: AsyncGenerator[Chunk, None], headers: Mapping[str, str] | None = None
    ) -> None:
        self.chunks = chunks
        self.status_code = 200
        self.background = None
        # With buffering on, nginx takes in a whole stream for a client that reads nothing.
        self.init_headers({"X-Accel-Buffering": "no", **(headers or {})})

    def farewell(self, reason: Reason) -> bytes | None:
        """Return the bytes that end the stream early but in order; `None` fails the transfer."""
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await send(self._start())
            await send({"type": "http.response.body"})
            return
        streams: Streams = scope["app"].state.streams
        client = scope["client"][0] if scope.get("client") else "unknown"
        failure: Exception | None = None
        with streams.admit(client, endless=self.endless) as stream:
            try:
                await self._run(stream, receive, send)
            except SlowReader:
                stream.reason = Reason.SLOW_READER
            except Exception as error:
                stream.reason = Reason.ERROR
                failure = error
            except asyncio.CancelledError:
                stream.reason = Reason.SHUTDOWN if streams.draining else Reason.CLIENT_DISCONNECT
                raise
            finally:
                self._log_end(scope, stream, failure)
            await self._close(stream, receive, send, failure)

    async def send_all(self, stream: OpenStream, receive: Receive, send: Send) -> None:
        """Send all chunks. Raises what making them raises, and `SlowReader`."""
        listener = asyncio.create_task(stop_on_disconnect(receive, stream))
        try:
            async for chunk in self.chunks:
                stream.raise_if_stopped()
                await self.send_chunk(stream, send, chunk)
            # From here on the server reports its own end of the response as a disconnect.
            listener.cancel()
            await self.send_chunk(stream, send, LAST_CHUNK)
            stream.reason = Reason.COMPLETE
        finally:
            listener.cancel()
            with CancelScope(shield=True):
                await asyncio.wait([listener])

    async def send_chunk(self, stream: OpenStream, send: Send, chunk: Chunk) -> None:
        """Send one chunk, after the headers if it is the first. Raises `SlowReader`."""
        # Sending to a client that left returns at once: without this, chunks that are made
        # without waiting would keep the event loop to themselves.
        await asyncio.sleep(0)
        more = chunk is not LAST_CHUNK
        try:
            async with asyncio.timeout(stream.send_timeout):
                if not stream.started:
                    stream.started = True
                    await send(self._start())
                await send({"type": "http.response.body", "body": chunk.data, "more_body": more})
        except TimeoutError:
            raise SlowReader from None
        stream.count(chunk)

    async def _run(self, stream: OpenStream, receive: Receive, send: Send) -> None:
        try:
            async with stream.running():
                await self.send_all(stream, receive, send)
        finally:
            with CancelScope(shield=True):
                await self.chunks.aclose()

    async def _close(
        self, stream: OpenStream, receive: Receive, send: Send, failure: Exception | None
    ) -> None:
        """End a stream that did not end by itself: in order if the format can, else visibly."""
        if stream.reason in (Reason.COMPLETE, Reason.CLIENT_DISCONNECT):
            return
        if not stream.started:
            if isinstance(failure, HTTPException):
                raise failure
            raise HTTPException(503, "The stream could not start.", RETRY_LATER) from failure
        farewell = self.farewell(stream.reason)
        if farewell is not None:
            with move_on_after(FAREWELL_SECONDS), suppress(Exception):
                await send({"type": "http.response.body", "body": farewell})
                return
        if not abort_connection(receive):
            raise failure or StreamAborted(stream.reason)
        # A server that is not told of the end yet takes a return for a mistake.
        with move_on_after(FAREWELL_SECONDS):
            await until_disconnected(receive)

    def _start(self) -> Message:
        return {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }

    def _log_end(self, scope: Scope, stream: OpenStream, failure: Exception | None) -> None:
        # What was raised to be answered, a 404 for example, is no fault of this service.
        fault = None if isinstance(failure, HTTPException) else failure
        logger.log(
            logging.ERROR if fault else logging.INFO,
#{% if cookiecutter.request_id %}
            "stream ended request_id=%s route=%s %s=%d bytes=%d seconds=%.3f reason=%s",
            request_id.get(),
#{% else %}
            "stream ended route=%s %s=%d bytes=%d seconds=%.3f reason=%s",
#{% endif %}
            getattr(scope.get("route"), "path", "-"),
            self.items_name,
            stream.items,
            stream.bytes,
            stream.seconds,
            stream.reason,
            exc_info=fault,
        )


async def until_disconnected(receive: Receive) -> None:
    """Return once the client is gone, whatever is left of its request."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def stop_on_disconnect(receive: Receive, stream: OpenStream) -> None:
    """End `stream` when its client leaves, or when something is wrong with the rest of its request."""
    try:
        await until_disconnected(receive)
    except Exception as failure:
        stream.fail(failure)
    else:
        stream.stop(Reason.CLIENT_DISCONNECT)
