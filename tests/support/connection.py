"""One HTTP connection with no library in between: it reads when it is told to, or vanishes."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import Self

RECEIVE_BUFFER = 4096
"""What a connection that stalls takes at most, in bytes, before the server has to wait."""


class TransferFailed(Exception):
    """The connection ended before the body did."""


class Connection:
    """A response that arrives in chunks, each read when it is asked for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.status = 0
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(
        cls, port: int, path: str, headers: Mapping[str, str] | None = None, *, small: bool = False
    ) -> Self:
        """Ask the server on a port of the loopback interface; `small` buffers stall it early."""
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
        writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\n{''.join(lines)}\r\n".encode())
        return connection

    async def __aenter__(self) -> Self:
        """Wait for the headers. Raises `TransferFailed`."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self._writer.transport.abort()
            raise TransferFailed from error
        self.status = int(head.split()[1])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Hang up."""
        self._writer.transport.abort()

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
