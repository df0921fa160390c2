"""A stream under full control: an application around a generator, and a client in raw ASGI."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Response
from starlette.types import ASGIApp, Message, Scope

from streaming_api.streaming import Chunk, Reason, StreamResponse
from streaming_api.streaming.problems import problem_handlers
from streaming_api.streaming.registry import Streams

Chunks = Callable[[], AsyncGenerator[Chunk, None]]


class FileResponse(StreamResponse):
    """A finite stream: complete, or a failed transfer."""

    media_type = "text/plain"
    items_name = "lines"


class TickerResponse(FileResponse):
    """An endless stream, which sends the reason of its end."""

    endless = True

    def closing(self, reason: Reason | None) -> bytes | None:
        """Return the last bytes of the stream."""
        return f"closing: {reason}".encode()


def application(
    chunks: Chunks,
    response: Callable[[AsyncGenerator[Chunk, None]], StreamResponse] = FileResponse,
    **limits: Any,
) -> FastAPI:
    """Return an application that streams `chunks()` at `/stream`."""
    app = FastAPI(exception_handlers=problem_handlers)
    defaults = {"send_timeout": 10, "max_seconds": 0, "max_per_client": 1, "grace": 10}
    app.state.streams = Streams(**defaults | limits)

    @app.api_route("/stream", methods=["GET", "HEAD"])
    async def stream() -> Response:
        return response(chunks())

    return app


class Exchange:
    """A request and its response at the server; the client reads, stalls or disconnects."""

    def __init__(
        self, app: ASGIApp, method: str, client: str, body: bytes | HTTPException, version: str
    ) -> None:
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self._body: bytes | HTTPException | None = body
        self._disconnected = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        self._stall_after: int | None = None
        self.waiting = 0
        """The number of sends that wait for the client."""
        scope: Scope = {
            "type": "http",
            "http_version": version,
            "method": method,
            "path": "/stream",
            "raw_path": b"/stream",
            "query_string": b"",
            "headers": [],
            "client": (client, 50000),
        }
        self.response = asyncio.create_task(self._respond(app, scope))

    async def _respond(self, app: ASGIApp, scope: Scope) -> None:
        await app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        body, self._body = self._body, None
        if isinstance(body, HTTPException):
            raise body
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        await self._disconnected.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._stall_after == 0:
            self._reading.clear()
        self.waiting += 1
        try:
            await self._reading.wait()
        finally:
            self.waiting -= 1
        if self._stall_after:
            self._stall_after -= 1
        if not self._disconnected.is_set():
            self.sent.put_nowait(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            # A server reports the end of its response as a disconnect, and middleware may wait
            # before it returns.
            self._disconnected.set()
            for _ in range(5):
                await asyncio.sleep(0)

    async def start(self) -> tuple[int, dict[str, str]]:
        """Wait for the status and the headers."""
        message = await self.sent.get()
        headers = {name.decode(): value.decode() for name, value in message["headers"]}
        return message["status"], headers

    async def chunk(self) -> bytes:
        """Wait for the next chunk of the body."""
        body: bytes = (await self.sent.get()).get("body", b"")
        return body

    async def body(self) -> bytes:
        """Wait for the end, and return the rest of the body."""
        await self.response
        chunks = []
        while not self.sent.empty():
            chunks.append(self.sent.get_nowait().get("body", b""))
        return b"".join(chunks)

    def stall(self) -> None:
        """Read nothing from now on."""
        self._reading.clear()

    def stall_after(self, chunks: int) -> None:
        """Read nothing after so many more chunks."""
        self._stall_after = chunks

    def read(self) -> None:
        """Read again."""
        self._stall_after = None
        self._reading.set()

    def disconnect(self) -> None:
        """Close the connection."""
        self._disconnected.set()
        self._reading.set()


@asynccontextmanager
async def exchange(
    app: ASGIApp,
    *,
    method: str = "GET",
    client: str = "192.0.2.1",
    body: bytes | HTTPException = b"",
    version: str = "1.1",
) -> AsyncIterator[Exchange]:
    """Send a request, and disconnect at the end of the block.

    A `body` that is an exception is raised by `receive`, as by a limit on request bodies.
    """
    request = Exchange(app, method, client, body, version)
    try:
        async with asyncio.timeout(10):
            yield request
    finally:
        request.disconnect()
        await asyncio.wait([request.response])
