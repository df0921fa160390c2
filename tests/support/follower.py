"""Clients of event streams that are cut off, come back and keep what they saw."""

import asyncio
import json

from support.connection import Connection

Event = tuple[str, str, int]
"""The id of an event, its topic and its number."""


class Follower:
    """Follows a path of several topics, and resumes by `Last-Event-ID` until the event `last`."""

    def __init__(self, path: str) -> None:
        self.seen: list[list[Event]] = [[]]
        """The events, in the order of their arrival; a `reset` starts the next list."""
        self.ready = asyncio.Event()
        """Whether a stream has begun."""
        self.streams = 0
        """How many streams it took."""
        self.connection: Connection | None = None
        """The stream that it follows."""
        self._path = path
        self._position: str | None = None

    async def follow(self, port: int) -> bool:
        """Follow one stream to its end; tell whether the last event of all is there.

        Raises `TransferFailed` and `OSError` when it is cut off.
        """
        headers = {"Last-Event-ID": self._position} if self._position else {}
        async with await Connection.open(port, self._path, headers) as connection:
            if connection.status != 200:
                self.refused(connection.status)
                return False
            self.streams += 1
            self.connection = connection
            return await self._read(connection)

    def leaves(self) -> bool:
        """Tell whether it hangs up now, whatever else has arrived; asked after every event."""
        return False

    def refused(self, status: int) -> None:
        """Insist that a stream may be refused now with this status."""
        raise AssertionError(status)

    def failed(self) -> None:
        """Insist that a stream may fail now."""
        raise AssertionError("stream-error")

    async def _read(self, connection: Connection) -> bool:
        pending = b""
        while chunk := await connection.chunk():
            *blocks, pending = (pending + chunk).split(b"\n\n")
            for block in blocks:
                if b"\ndata: " in block and self._take(block.decode()):
                    return True
                if b"\nevent: ready" not in block and self.leaves():
                    return False
        assert not pending
        return False

    def _take(self, block: str) -> bool:
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
            self.seen[-1].append((fields["id"], datum["topic"], datum["data"]))
        return name == "last"
