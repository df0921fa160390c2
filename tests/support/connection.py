"""An HTTP/1.1 client for tests that control when it reads, stalls or resets the connection."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

RECEIVE_BUFFER = 4096
"""Size of the receive buffer, in bytes, of a connection that is to stall early."""


class TransferFailed(Exception):
    """The connection ended before the body did."""


class Connection:
    """A response with a chunked body, read chunk by chunk, and the responses after it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        """The headers of the response, by lower-case name."""
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
        """Send a request to a port of the loopback interface.

        With `small` the receive buffer is small, so that the server stalls early. Requests for the
        paths `then` are sent at once (pipelining): the server has read them when it responds.
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
        """Read the headers. Raises `TransferFailed`."""
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
        """Close the connection."""
        self._writer.transport.abort()

    async def head(self) -> None:
        """Read the status and the headers of the next response. Raises `TransferFailed`."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise TransferFailed from error
        line, *fields = head.decode().rstrip().split("\r\n")
        self.status = int(line.split()[1])
        pairs = (field.partition(":") for field in fields)
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}

    async def whole(self) -> bytes:
        """Return a body with a `Content-Length`. Raises `TransferFailed`."""
        try:
            return await self._reader.readexactly(int(self.headers["content-length"]))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise TransferFailed from error

    async def chunk(self) -> bytes:
        """Return the next chunk of the body, empty at its end. Raises `TransferFailed`."""
        try:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            return (await self._reader.readexactly(size + 2))[:-2]
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise TransferFailed from error

    async def rest(self) -> bytes:
        """Return the rest of the body. Raises `TransferFailed`."""
        chunks = []
        while chunk := await self.chunk():
            chunks.append(chunk)
        return b"".join(chunks)

    def reset(self) -> None:
        """Close the connection with a reset (RST)."""
        client = self._writer.get_extra_info("socket")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


@asynccontextmanager
async def opened(port: int, path: str, number: int = 1) -> AsyncIterator[list[Connection]]:
    """Open streams with small buffers, and read the first chunk of each."""
    async with AsyncExitStack() as stack:
        connections = []
        for _ in range(number):
            connection = await Connection.open(port, path, small=True)
            connections.append(await stack.enter_async_context(connection))
            assert connection.status == 200
            assert await connection.chunk()
        yield connections
