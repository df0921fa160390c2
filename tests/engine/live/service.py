"""The application with streams that do not end by themselves."""

import asyncio
from collections.abc import AsyncGenerator

from streaming_api.main import create_app
from streaming_api.streaming import Chunk, Reason, StreamResponse

app = create_app()


class FileResponse(StreamResponse):
    """A finite stream: complete, or a failed transfer."""

    media_type = "application/octet-stream"


class TickerResponse(FileResponse):
    """An endless stream, which ends in order."""

    endless = True

    def closing(self, reason: Reason | None) -> bytes | None:
        """Return the last bytes of the stream."""
        return b"closing"


async def wait_after_chunk() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"hello\n", 1)
    await asyncio.Event().wait()


async def many_chunks() -> AsyncGenerator[Chunk, None]:
    while True:
        yield Chunk(b"x" * 65536, 1)


@app.get("/ticker")
async def ticker() -> TickerResponse:
    return TickerResponse(wait_after_chunk())


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse(many_chunks())
