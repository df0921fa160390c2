"""A stream under full control: an application around any iterator, and a client by raw ASGI."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Response
from starlette.types import ASGIApp, Message, Scope

from {{ cookiecutter.__package_name }}.problems import problem_handlers
from {{ cookiecutter.__package_name }}.streaming import (
    Chunk,
    Reason,
    StreamResponse,
    Streams,
)

Chunks = Callable[[], AsyncGenerator[Chunk, None]]


class FileResponse(StreamResponse):
    """A stream that ends by itself: whole, or a failed transfer."""

    media_type = "text/plain"
    items_name = "lines"


class TickerResponse(FileResponse):
    """A stream that goes on until it is told to end, and then says goodbye."""

    endless = True

    def farewell(self, reason: Reason) -> bytes | None:
        return f"bye: {reason}".encode()


def application(
    chunks: Chunks, response: type[StreamResponse] = FileResponse, **limits: Any
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
    """One request, as a server sees it: its client takes what it is sent, stalls, or leaves."""

    def __init__(self, app: ASGIApp, method: str, client: str, body: bytes | HTTPException) -> None:
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self._body: bytes | HTTPException | None = body
        self._left = asyncio.Event()
        self._taking = asyncio.Event()
        self._taking.set()
        scope: Scope = {
            "type": "http",
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
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self._taking.wait()
        if not self._left.is_set():
            self.sent.put_nowait(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            # A server reports the end of its response as a disconnect, and whatever stands
            # between it and the application may take its time.
            self._left.set()
            for _ in range(5):
                await asyncio.sleep(0)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Wait for the status and the headers."""
        message = await self.sent.get()
        headers = {name.decode(): value.decode() for name, value in message["headers"]}
        return message["status"], headers

    async def chunk(self) -> bytes:
        """Wait for the next piece of the body."""
        body: bytes = (await self.sent.get()).get("body", b"")
        return body

    async def body(self) -> bytes:
        """Wait for the end, and return all of the body that nobody took."""
        await self.response
        pieces = []
        while not self.sent.empty():
            pieces.append(self.sent.get_nowait().get("body", b""))
        return b"".join(pieces)

    def stall(self) -> None:
        """Take nothing from now on."""
        self._taking.clear()

    def leave(self) -> None:
        """Close the connection."""
        self._left.set()
        self._taking.set()


@asynccontextmanager
async def exchange(
    app: ASGIApp,
    *,
    method: str = "GET",
    client: str = "192.0.2.1",
    body: bytes | HTTPException = b"",
) -> AsyncIterator[Exchange]:
    """Make a request, whose `body` may be refused, and leave before the end if it has no end."""
    request = Exchange(app, method, client, body)
    try:
        async with asyncio.timeout(10):
            yield request
    finally:
        request.leave()
        await asyncio.wait([request.response])
