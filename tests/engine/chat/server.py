"""A server that behaves as OpenAI-compatible ones do, well or not."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

STALL = b""
"""A step of a response: send nothing until the client disconnects."""
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: close\r\n\r\n"
)
END = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    """Return bytes as a chunk of a response."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
    """Return an event with a delta."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return data_of({"choices": [choice], **more})


def data_of(members: dict[str, Any]) -> bytes:
    """Return an event with members of a chunk."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    return f"data: {json.dumps({**head, **members}, ensure_ascii=False)}\n\n".encode()


def refusal(status: int, message: str, **headers: str) -> list[bytes]:
    """Return a response with an error, which clients do not repeat."""
    body = json.dumps({"error": {"message": message, "type": "", "param": None, "code": None}})
    headers = {"Content-Length": str(len(body)), "x-should-retry": "false", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return [f"HTTP/1.1 {status} Error\r\nConnection: close\r\n{lines}\r\n{body}".encode()]


class Upstream:
    """Sends one response after the other, step by step."""

    def __init__(self, *responses: Sequence[bytes]) -> None:
        self.url = ""
        self.requests: list[Any] = []
        self.heads: list[str] = []
        self.disconnected = asyncio.Event()
        self._responses = list(responses)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r")[0])
        self.heads.append(head)
        self.requests.append(json.loads(await reader.readexactly(length)))
        for step in self._responses.pop(0):
            if step is STALL:
                assert await reader.read() == b""
                self.disconnected.set()
            else:
                writer.write(step)
                await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def serving(*responses: Sequence[bytes]) -> AsyncIterator[Upstream]:
    """Run a server with these responses."""
    upstream = Upstream(*responses)
    server = await asyncio.start_server(upstream.handle, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        yield upstream
