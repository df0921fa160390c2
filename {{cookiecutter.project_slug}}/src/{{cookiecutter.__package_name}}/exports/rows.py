"""A query's rows as chunks of bytes."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol, TypeVar

from anyio import CancelScope, to_thread
from sqlalchemy import ColumnElement, Select

from ..streaming import Chunk
from .database import Cursor, Database

T = TypeVar("T")

FIRST_BATCH = 10
LARGEST_BATCH = 1000
CHUNK_BYTES = 64 * 1024
INTERRUPT_SECONDS = 0.1
CHUNKS_AT_A_TIME = 4
"""How many chunks a reader makes before another export has a turn."""


class Encoder(Protocol):
    """Turns rows into the bytes of one format."""

    @property
    def header(self) -> bytes:
        """What stands before the first row."""

    def encode(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Return `rows`, which are not none, in this format."""


@dataclass(frozen=True)
class Rows:
    """The rows of `statement` in the order of `key`, which is unique and increases."""

    database: Database
    statement: Select[Any]
    key: ColumnElement[int]

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return [str(column.key) for column in self.statement.selected_columns]

    def after(self, key: int | None, limit: int | None) -> "Rows":
        """Return those with a greater key than `key`, at most `limit` of them."""
        statement = self.statement.order_by(self.key).limit(limit)
        if key is not None:
            statement = statement.where(self.key > key)
        return replace(self, statement=statement)

    async def chunks(self, encoder: Encoder) -> AsyncGenerator[Chunk, None]:
        """Yield the rows in chunks of some 64 KiB, read and encoded while others are sent.

        The connection is taken at the first chunk and given back in every outcome.
        """
        reading = Reading(self.database, self.statement, encoder)
        ahead = reading.take(1)
        try:
            while chunks := await asyncio.shield(ahead):
                # Handing over takes as long as a chunk's way to the client: it is done for several.
                ahead = reading.take(CHUNKS_AT_A_TIME)
                for chunk in chunks:
                    yield chunk
        finally:
            # Held up by no scope of anyio, and not ended by a cancellation of asyncio.
            with CancelScope(shield=True):
                await asyncio.shield(reading.close(ahead))


class Reading:
    """One run of a query, in the threads that read."""

    def __init__(self, database: Database, statement: Select[Any], encoder: Encoder) -> None:
        self._database = database
        self._cursor: Cursor | None = None
        self._chunks = self._encoded(statement, encoder)

    def take(self, number: int) -> asyncio.Future[list[Chunk]]:
        """Begin to make the next `number` of chunks, or those that there are."""
        return self._run(lambda: list(islice(self._chunks, number)))

    async def close(self, ahead: asyncio.Future[list[Chunk]]) -> None:
        """End the query, and `ahead` with it, and give the connection back."""
        while not ahead.done():
            # What is interrupted before it begins is begun nevertheless: say it again.
            if self._cursor:
                await to_thread.run_sync(self._cursor.interrupt)
            await asyncio.wait([ahead], timeout=INTERRUPT_SECONDS)
        # A failure that nobody waits for any more was not the end of this stream.
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
                size = max(1, min(LARGEST_BATCH, len(rows) * CHUNK_BYTES // len(data)))
        if header:
            yield Chunk(header, 0)
