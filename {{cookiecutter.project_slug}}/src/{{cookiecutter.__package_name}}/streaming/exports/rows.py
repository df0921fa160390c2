"""The rows of a query as chunks of bytes."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol, TypeVar

from anyio import CancelScope, to_thread
from sqlalchemy import ColumnElement, Select

from ..registry import Chunk
from .database import Database

T = TypeVar("T")

FIRST_BATCH = 10
MAX_BATCH = 1000
CHUNK_BYTES = 64 * 1024
INTERRUPT_SECONDS = 0.1
CHUNKS_AHEAD = 4
"""Number of chunks that a reader encodes before it turns to another export."""


class Encoder(Protocol):
    """Encodes rows in a format."""

    @property
    def header(self) -> bytes:
        """What precedes the first row."""

    def encode(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Return `rows`, at least one, in the format."""


@dataclass(frozen=True)
class Rows:
    """The rows of `statement`, ordered by `key`, which is unique."""

    database: Database
    statement: Select[Any]
    key: ColumnElement[Any]

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return [str(column.key) for column in self.statement.selected_columns]

    def page(self, after: Any, limit: int | None) -> "Rows":
        """Return the rows with a greater key than `after`, unless it is `None`, at most `limit`."""
        statement = self.statement.order_by(self.key).limit(limit)
        if after is not None:
            statement = statement.where(self.key > after)
        return replace(self, statement=statement)

    async def chunks(self, encoder: Encoder) -> AsyncGenerator[Chunk, None]:
        """Yield the rows in chunks of some 64 KiB, read and encoded while others are sent.

        A connection is taken for the first chunk, and returned in every outcome.
        """
        reading = Reading(self.database, self.statement, encoder)
        ahead = reading.read(1)
        try:
            while chunks := await asyncio.shield(ahead):
                # The hop between threads takes as long as sending a chunk, so several share it.
                ahead = reading.read(CHUNKS_AHEAD)
                for chunk in chunks:
                    yield chunk
        finally:
            # Shielded from scopes of anyio, and from cancellation by asyncio.
            with CancelScope(shield=True):
                await asyncio.shield(reading.close(ahead))


class Reading:
    """A running query, in the threads that read."""

    def __init__(self, database: Database, statement: Select[Any], encoder: Encoder) -> None:
        self._database = database
        self._cursor: Any = None
        self._chunks = self._encoded(statement, encoder)

    def read(self, number: int) -> asyncio.Future[list[Chunk]]:
        """Return a future of up to `number` chunks; of none at the end."""
        return self._run(lambda: list(islice(self._chunks, number)))

    async def close(self, ahead: asyncio.Future[list[Chunk]]) -> None:
        """Interrupt the query and `ahead` with it, and return the connection."""
        while not ahead.done():
            # An interrupt before the query begins has no effect: repeat it.
            if self._cursor:
                await to_thread.run_sync(self._cursor.interrupt)
            await asyncio.wait([ahead], timeout=INTERRUPT_SECONDS)
        # The failure of a chunk that is not sent is not that of the stream.
        await asyncio.gather(ahead, return_exceptions=True)
        await self._run(self._chunks.close)

    def _run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._database.readers, work)

    def _encoded(self, statement: Select[Any], encoder: Encoder) -> Generator[Chunk, None, None]:
        header = encoder.header
        size = FIRST_BATCH
        with self._database.cursor(statement) as self._cursor:
            while rows := self._cursor.fetchmany(size):
                data = header + encoder.encode(rows)
                header = b""
                yield Chunk(data, len(rows))
                size = max(1, min(MAX_BATCH, len(rows) * CHUNK_BYTES // len(data)))
        if header:
            yield Chunk(header, 0)
