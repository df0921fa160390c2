"""A query's rows as chunks of bytes."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

from anyio import CancelScope
from sqlalchemy import ColumnElement, Select

from ..streaming import Chunk
from .database import Database

Chunks = Generator[Chunk, None, None]

FIRST_BATCH = 10
LARGEST_BATCH = 1000
CHUNK_BYTES = 64 * 1024
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
        loop = asyncio.get_running_loop()
        source = self._encoded(encoder)
        step = loop.run_in_executor(self.database.readers, take, source, 1)
        try:
            while chunks := await asyncio.shield(step):
                # Handing over takes as long as a chunk's way to the client: it is done for several.
                step = loop.run_in_executor(self.database.readers, take, source, CHUNKS_AT_A_TIME)
                for chunk in chunks:
                    yield chunk
        finally:
            # Held up by no scope of anyio, and not ended by a cancellation of asyncio.
            with CancelScope(shield=True):
                await asyncio.shield(self._close(source, step))

    async def _close(self, source: Chunks, step: asyncio.Future[list[Chunk]]) -> None:
        # A failure that nobody waits for any more was not the end of this stream.
        await asyncio.gather(step, return_exceptions=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.database.readers, source.close)

    def _encoded(self, encoder: Encoder) -> Chunks:
        header = encoder.header
        size = FIRST_BATCH
        with self.database.cursor(self.statement) as cursor:
            while rows := cursor.fetchmany(size):
                data = header + encoder.encode(rows)
                header = b""
                yield Chunk(data, len(rows))
                size = max(1, min(LARGEST_BATCH, len(rows) * CHUNK_BYTES // len(data)))
        if header:
            yield Chunk(header, 0)


def take(chunks: Chunks, number: int) -> list[Chunk]:
    """Return the next `number` of `chunks`, or those that there are."""
    return list(islice(chunks, number))
