"""The rows of a query as chunks of bytes."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from typing import Any, Protocol, TypeVar

from anyio import CancelScope, to_thread
from sqlalchemy import ColumnElement, Connection, Select, String

from ..registry import CHUNK_BYTES, Chunk
from .columns import exported_type
from .database import Database, Row

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_BATCH = 10
MAX_BATCH = 1000
GROWTH = 4
"""How many times more rows a batch has than the one before, at most: they may become wide."""
FETCH_ROWS = 31
"""Number of rows that are fetched together, however wide they are.

It is prime: the last rows, which show the width, are not always the same of a repeated pattern.
"""
SIZED = (str, bytes, list)
WIDE_CELL = 8 * 1024
INTERRUPT_SECONDS = 0.1
CHUNKS_AHEAD = 4
"""Number of chunks that a reader encodes before it turns to another export."""


class Encoder(Protocol):
    """Encodes rows in a format; `header` precedes the first."""

    @property
    def header(self) -> bytes: ...

    def encode(self, rows: Iterable[Row]) -> bytes:
        """Return `rows`, at least one, in the format."""


class Rows:
    """The rows of `statement`, of which `columns` are read, once; `key` identifies one."""

    def __init__(
        self,
        database: Database,
        statement: Select[Any],
        columns: Mapping[str, ColumnElement[Any]],
        key: Sequence[ColumnElement[Any]] = (),
    ) -> None:
        selected = [database.select(column) for column in columns.values()]
        expressions = [expression for expression, _ in selected]
        self._database = database
        self._columns = columns
        self._key = key
        self._statement = statement.with_only_columns(*expressions, maintain_column_froms=True)
        self._converts = [convert for _, convert in selected]
        self._connection: Connection | None = None
        self._open = ExitStack()

    async def chunks(self, encoder: Encoder) -> AsyncGenerator[Chunk, None]:
        """Yield the rows in chunks of some 64 KiB, read and encoded while others are sent.

        A connection is taken for the first chunk, and returned in every outcome.
        """
        chunks = self._encoded(encoder)
        ahead = self._run(lambda: list(islice(chunks, 1)))
        try:
            while ready := await asyncio.shield(ahead):
                # The hop between threads takes as long as sending a chunk, so several share it.
                ahead = self._run(lambda: list(islice(chunks, CHUNKS_AHEAD)))
                for chunk in ready:
                    yield chunk
        finally:
            # Shielded from scopes of anyio, and from cancellation by asyncio.
            with CancelScope(shield=True):
                await asyncio.shield(self._close(ahead))

    async def _close(self, ahead: asyncio.Future[list[Chunk]]) -> None:
        """Interrupt the query and `ahead` with it, then return the connection."""
        while not ahead.done():
            # An interrupt before the query begins has no effect: repeat it.
            if self._connection:
                await to_thread.run_sync(self._database.interrupt, self._connection)
            await asyncio.wait([ahead], timeout=INTERRUPT_SECONDS)
        # The failure of a chunk that is not sent is not that of the stream.
        await asyncio.gather(ahead, return_exceptions=True)
        await self._run(self._open.close)

    def _run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._database.readers, work)

    def _encoded(self, encoder: Encoder) -> Iterator[Chunk]:
        header = encoder.header
        size = FIRST_BATCH
        try:
            self._connection = self._open.enter_context(self._database.reading())
            found = self._database.rows(self._connection, self._statement)
            self._open.enter_context(closing(found))
            while rows := take(found, size):
                step = 1 if is_wide(rows[-1]) else len(rows)
                for start in range(0, len(rows), step):
                    data = header + encoder.encode(self._converted(rows[start : start + step]))
                    header = b""
                    yield Chunk(data, step)
                size = max(1, min(MAX_BATCH, GROWTH * size, step * CHUNK_BYTES // len(data)))
        except Exception as error:
            if "utf8" in str(error).lower().replace("-", ""):
                self._open.close()
                self._log_unreadable()
            raise
        if header:
            yield Chunk(header, 0)

    def _log_unreadable(self) -> None:
        """Log table, column and key of the first text that is not UTF-8."""
        columns = self._columns.items()
        texts = [each for each in columns if isinstance(exported_type(each[1].type), String)]
        cells: Any = map(self._database.text_bytes, (*self._key, *(each for _, each in texts)))
        statement: Select[Any]
        statement = self._statement.with_only_columns(*cells, maintain_column_froms=True)
        number = len(self._key)
        with self._database.reading() as connection:
            for row in self._database.rows(connection, statement):
                key = ",".join(cell.decode(errors="backslashreplace") for cell in row[:number])
                for (name, column), cell in zip(texts, row[number:], strict=True):
                    if cell and cell.decode(errors="ignore").encode() != cell:
                        place = (getattr(column, "table", None), name, key)
                        logger.error("text is not UTF-8 table=%s column=%s key=%s", *place)
                        return

    def _converted(self, rows: Sequence[Row]) -> Iterable[Row]:
        """Return rows with the values that are exported."""
        if not any(self._converts):
            return rows
        columns = [
            convert(column) if convert else column
            for column, convert in zip(zip(*rows, strict=True), self._converts, strict=True)
        ]
        return zip(*columns, strict=True)


def take(rows: Iterator[Row], size: int) -> list[Row]:
    """Return the next rows, up to `size`; fewer where they become wide."""
    taken: list[Row] = []
    while len(taken) < size:
        fetched = list(islice(rows, min(FETCH_ROWS, size - len(taken))))
        taken += fetched
        if not fetched or is_wide(fetched[-1]):
            break
    return taken


def is_wide(row: Row) -> bool:
    """Return whether a cell of `row` is so long that the row is a chunk of its own."""
    for cell in row:  # noqa: SIM110 - `any` would take twice as long
        if isinstance(cell, SIZED) and len(cell) > WIDE_CELL:
            return True
    return False
