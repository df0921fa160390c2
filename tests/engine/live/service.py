"""The application with streams that do not end by themselves, for a process of its own."""

import asyncio
from collections.abc import AsyncGenerator

from {{ cookiecutter.__package_name }}.main import create_app
from {{ cookiecutter.__package_name }}.streaming import (
    Chunk,
    Reason,
    StreamResponse,
)

app = create_app()


class FileResponse(StreamResponse):
    """A stream that is whole, or a failed transfer."""

    media_type = "application/octet-stream"


class TickerResponse(FileResponse):
    """A stream that says goodbye."""

    endless = True

    def farewell(self, reason: Reason) -> bytes | None:
        return b"bye"


async def one_chunk() -> AsyncGenerator[Chunk, None]:
    yield Chunk(b"hello\n", 1)
    await asyncio.Event().wait()


async def many_chunks() -> AsyncGenerator[Chunk, None]:
    while True:
        yield Chunk(b"x" * 65536, 1)


@app.get("/ticker")
async def ticker() -> TickerResponse:
    return TickerResponse(one_chunk())


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse(many_chunks())
