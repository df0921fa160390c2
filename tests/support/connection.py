"""One HTTP connection with no library in between: it reads when it is told to, or vanishes."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

RECEIVE_BUFFER = 4096
"""What a connection that stalls takes at most, in bytes, before the server has to wait."""


class TransferFailed(Exception):
    """The connection ended before the body did."""


class Connection:
    """A response that arrives in chunks, each read when it is asked for, and those after it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        """The headers of the response, by their names in lower case."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(
        cls,
        port: int,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        small: bool = False,
        then: Sequence[str] = (),
    ) -> Self:
        """Ask the server on a port of the loopback interface; `small` buffers stall it early.

        The paths `then` are asked for in the same breath: when the first answer begins, the server
        has read them too.
        """
        client = socket.socket()
        try:
            if small:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
            reader, writer = await asyncio.open_connection(sock=client)
        except BaseException:
            client.close()
            raise
        connection = cls(reader, writer)
        lines = [f"{name}: {value}\r\n" for name, value in (headers or {}).items()]
        rest = f"HTTP/1.1\r\nHost: test\r\n{''.join(lines)}\r\n"
        writer.write("".join(f"GET {path} {rest}" for path in (path, *then)).encode())
        return connection

    async def __aenter__(self) -> Self:
        """Wait for the headers. Raises `TransferFailed`."""
        try:
            await self.head()
        except TransferFailed:
            self._writer.transport.abort()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Hang up."""
        self._writer.transport.abort()

    async def head(self) -> None:
        """Take the status and the headers of the next response. Raises `TransferFailed`."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise TransferFailed from error
        line, *fields = head.decode().rstrip().split("\r\n")
        self.status = int(line.split()[1])
        pairs = (field.partition(":") for field in fields)
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}

    async def whole(self) -> bytes:
        """Return a body that says its length. Raises `TransferFailed`."""
        try:
            return await self._reader.readexactly(int(self.headers["content-length"]))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise TransferFailed from error

    async def chunk(self) -> bytes:
        """Return the next chunk of the body; none at its end. Raises `TransferFailed`."""
        try:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            return (await self._reader.readexactly(size + 2))[:-2]
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise TransferFailed from error

    async def rest(self) -> bytes:
        """Return what is left of the body. Raises `TransferFailed`."""
        chunks = []
        while chunk := await self.chunk():
            chunks.append(chunk)
        return b"".join(chunks)

    def vanish(self) -> None:
        """Leave with a reset (RST) in place of a goodbye."""
        client = self._writer.get_extra_info("socket")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


@asynccontextmanager
async def opened(port: int, path: str, number: int = 1) -> AsyncIterator[list[Connection]]:
    """Open streams of which the first chunk has arrived and the rest waits to be read."""
    async with AsyncExitStack() as stack:
        connections = []
        for _ in range(number):
            connection = await Connection.open(port, path, small=True)
            connections.append(await stack.enter_async_context(connection))
            assert connection.status == 200
            assert await connection.chunk()
        yield connections
