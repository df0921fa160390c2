"""Faults: slow and cut links, clock steps, stalled and slow readers, invalid events."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Self

import httpx

from support.connection import Connection, TransferFailed

PIECE = 65536
CLOCK = """
import time
from pathlib import Path

file = Path({file!r})
real = time.time_ns


def time_ns() -> int:
    return real() + int(file.read_text() or "0") * 1_000_000_000


time.time_ns = time_ns
time.time = lambda: time_ns() / 1_000_000_000
"""
INVALID = [
    ("/events/news", {"data": 1, "event": "ready"}, 422),
    ("/events/news", {"data": 1, "event": "two\nlines"}, 422),
    ("/events/news", {"data": 1, "event": "\x1b[2J"}, 422),
    ("/events/no%20topic", {"data": 1}, 422),
    ("/events/news", {"datum": 1}, 422),
    ("/events/news", {"data": "x" * 2_000_000}, 413),
]
"""Paths and bodies of events that cannot be published, and the statuses of the responses."""


class Link:
    """A link to a port of this machine, which can be slow or cut."""

    def __init__(self, port: int) -> None:
        self.seconds = 0.0
        """The time that it takes for 64 KiB."""
        self._server_port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_cut = False

    async def __aenter__(self) -> Self:
        """Accept connections at `port`."""
        self._listener = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port: int = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        self._listener.close()
        self._close()

    async def cut(self, seconds: float) -> None:
        """Close all connections, and new ones for some time."""
        self._is_cut = True
        self._close()
        await asyncio.sleep(seconds)
        self._is_cut = False

    async def slow(self, seconds: float) -> None:
        """Be slow for some time."""
        self.seconds = 0.2
        await asyncio.sleep(seconds)
        self.seconds = 0.0

    def _close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError):
            if self._is_cut:
                return
            server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
            await asyncio.gather(self._forward(reader, to_server), self._forward(server, writer))

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError), closing(writer):
            while data := await reader.read(PIECE):
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(self.seconds)
        self._writers.discard(writer)


class SteppedClock:
    """The clock of Python programs that have `env`, which is set forward and back."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._file.write_text("0")
        (folder / "sitecustomize.py").write_text(CLOCK.format(file=str(self._file)))
        self.env = {"PYTHONPATH": str(folder)}

    async def step(self, random: Random) -> None:
        """Set the clock, until cancelled."""
        while True:
            new = self._file.with_suffix(".new")
            new.write_text(str(random.randint(-86_400, 86_400)))
            new.replace(self._file)
            await asyncio.sleep(0.2)


@contextmanager
def running(*faults: "asyncio.Task[None]") -> Iterator[None]:
    """Cancel tasks after the block; fail if one has failed."""
    try:
        yield
    finally:
        for fault in faults:
            fault.cancel()
    for fault in faults:
        assert not fault.done() or fault.cancelled() or not fault.exception(), fault


async def read_slowly(port: int, path: str, seconds: float) -> None:
    """Open streams that read a chunk each time after `seconds`, until cancelled."""
    while True:
        with suppress(TransferFailed, OSError):
            async with await Connection.open(port, path, small=True) as connection:
                while connection.status == 200 and await connection.chunk():
                    await asyncio.sleep(seconds)
        await asyncio.sleep(0.1)


async def publish_invalid(url: str, seconds: float) -> None:
    """Publish an invalid event each time after `seconds`, until cancelled."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        while True:
            for path, body, status in INVALID:
                with suppress(httpx.TransportError):
                    response = await client.post(path, json=body)
                    assert response.status_code in (status, 502, 503), response.text
                await asyncio.sleep(seconds)


@asynccontextmanager
async def faults(port: int, path: str, readers: int, seconds: float = 1.0) -> AsyncIterator[None]:
    """Run readers that stall or are slow, and a publisher of invalid events, for the block."""
    stalled = [read_slowly(port, path, 3600) for _ in range(readers)]
    slow = [read_slowly(port, path, 0.1) for _ in range(readers)]
    invalid = publish_invalid(f"http://127.0.0.1:{port}", seconds)
    with running(*map(asyncio.ensure_future, (*stalled, *slow, invalid))):
        yield
