"""Clients of event streams that reconnect and record the events."""

import asyncio
import json

from support.connection import Connection

Event = tuple[str, str, int]
"""The id of an event, its topic and its number: its data, or a part of it."""


class Follower:
    """Follows several topics until the event `last`, and resumes by `Last-Event-ID`."""

    def __init__(self, path: str) -> None:
        self.seen: list[list[Event]] = [[]]
        """The events in the order of arrival; `reset` starts the next list."""
        self.ready = asyncio.Event()
        """Set when a stream has begun."""
        self.streams = 0
        """The number of streams so far."""
        self.connection: Connection | None = None
        """The open stream."""
        self._path = path
        self._position: str | None = None

    async def follow(self, port: int) -> bool:
        """Follow one stream to its end; return whether the event `last` has arrived.

        Raises `TransferFailed` and `OSError` if the connection is lost.
        """
        headers = {"Last-Event-ID": self._position} if self._position else {}
        async with await Connection.open(port, self._path, headers) as connection:
            if connection.status != 200:
                self.rejected(connection.status)
                return False
            self.streams += 1
            self.connection = connection
            return await self._read(connection)

    def leaves(self) -> bool:
        """Return whether to disconnect; called after every event."""
        return False

    def rejected(self, status: int) -> None:
        """Handle a response without a stream; fail unless it is expected now."""
        raise AssertionError(status)

    def failed(self) -> None:
        """Handle `stream-error`; fail unless it is expected now."""
        raise AssertionError("stream-error")

    async def _read(self, connection: Connection) -> bool:
        pending = b""
        while chunk := await connection.chunk():
            *blocks, pending = (pending + chunk).split(b"\n\n")
            for block in blocks:
                if b"\ndata: " in block and self._record(block.decode()):
                    return True
                if b"\nevent: ready" not in block and self.leaves():
                    return False
        assert not pending
        return False

    def _record(self, block: str) -> bool:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        self._position = fields.get("id", self._position)
        name = fields.get("event")
        if name == "ready":
            self.ready.set()
        elif name == "reset":
            self.seen.append([])
        elif name == "stream-error":
            self.failed()
        else:
            assert name in (None, "last")
            datum = json.loads(fields["data"])
            data = datum["data"]
            number = data["number"] if isinstance(data, dict) else data
            self.seen[-1].append((fields["id"], datum["topic"], number))
        return name == "last"
