"""The rows of a query as chunks of bytes."""

import asyncio
import logging
from collections.abc import (
    AsyncGenerator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Protocol, TypeVar

from anyio import CancelScope, to_thread
from sqlalchemy import ColumnElement, Select, String

from ..registry import Chunk
from .columns import undecorated
from .database import Database

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_BATCH = 10
MAX_BATCH = 1000
CHUNK_BYTES = 64 * 1024
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


class Columns:
    """Rows that are stored by columns. Their iteration makes tuples one by one."""

    def __init__(self, columns: Sequence[Sequence[Any]]) -> None:
        self._columns = columns

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return zip(*self._columns, strict=True)


Batch = Iterable[Sequence[Any]]
"""Rows that can be iterated over more than once."""


class Encoder(Protocol):
    """Encodes rows in a format."""

    @property
    def header(self) -> bytes:
        """What precedes the first row."""

    def encode(self, rows: Batch) -> bytes:
        """Return `rows`, at least one, in the format."""


@dataclass(frozen=True)
class Rows:
    """The rows of `statement`, of which `columns` are read. `key` identifies a row in the log."""

    database: Database
    statement: Select[Any]
    columns: Mapping[str, ColumnElement[Any]]
    key: Sequence[ColumnElement[Any]] = ()

    async def chunks(self, encoder: Encoder) -> AsyncGenerator[Chunk, None]:
        """Yield the rows in chunks of some 64 KiB, read and encoded while others are sent.

        A connection is taken for the first chunk, and returned in every outcome.
        """
        reading = Reading(self, encoder)
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

    def __init__(self, rows: Rows, encoder: Encoder) -> None:
        self._rows = rows
        self._database = rows.database
        self._cursor: Any = None
        selected = [rows.database.select(column) for column in rows.columns.values()]
        expressions = [each.expression for each in selected]
        statement = rows.statement.with_only_columns(*expressions, maintain_column_froms=True)
        self._converts = [each.convert for each in selected]
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
        try:
            with self._database.cursor(statement) as self._cursor:
                while rows := self._batch(size):
                    step = 1 if is_wide(rows[-1]) else len(rows)
                    for start in range(0, len(rows), step):
                        data = header + encoder.encode(self._converted(rows[start : start + step]))
                        header = b""
                        yield Chunk(data, step)
                    fitting = step * CHUNK_BYTES // len(data)
                    size = max(1, min(MAX_BATCH, GROWTH * size, fitting))
        except Exception as error:
            if "utf8" in str(error).lower().replace("-", ""):
                log_unreadable(self._rows)
            raise
        if header:
            yield Chunk(header, 0)

    def _batch(self, size: int) -> Sequence[Sequence[Any]]:
        """Return up to `size` rows; fewer where rows become wide, which the last fetched shows."""
        rows: list[Sequence[Any]] = []
        while len(rows) < size:
            number = min(FETCH_ROWS, size - len(rows))
            fetched = self._cursor.fetchmany(number)
            rows += fetched
            if len(fetched) < number or is_wide(fetched[-1]):
                break
        return rows

    def _converted(self, rows: Sequence[Sequence[Any]]) -> Batch:
        """Return rows with the values that are exported."""
        if not any(self._converts):
            return rows
        columns = [
            convert(column) if convert else column
            for column, convert in zip(zip(*rows, strict=True), self._converts, strict=True)
        ]
        return Columns(columns)


def log_unreadable(rows: Rows) -> None:
    """Log table, column and key of the first text that is not UTF-8."""
    columns = rows.columns.items()
    texts = {name: each for name, each in columns if isinstance(undecorated(each.type), String)}
    statement = rows.statement.with_only_columns(*rows.key, *texts.values())
    with rows.database.cursor(statement, raw=True) as cursor:
        for row in chain.from_iterable(iter(lambda: cursor.fetchmany(FETCH_ROWS), [])):
            for (name, column), cell in zip(texts.items(), row[len(rows.key) :], strict=True):
                if isinstance(cell, bytes) and not is_utf8(cell):
                    key = ",".join(map(readable, row[: len(rows.key)]))
                    table = getattr(column, "table", None)
                    logger.error("text is not UTF-8 table=%s column=%s key=%s", table, name, key)
                    return


def readable(cell: Any) -> str:
    """Return a cell of a key as text."""
    return cell.decode(errors="backslashreplace") if isinstance(cell, bytes) else str(cell)


def is_utf8(data: bytes) -> bool:
    """Return whether `data` is text in UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_wide(row: Sequence[Any]) -> bool:
    """Return whether a cell of `row` is so long that the row is a chunk of its own."""
    for cell in row:  # noqa: SIM110 - `any` would take twice as long
        if isinstance(cell, SIZED) and len(cell) > WIDE_CELL:
            return True
    return False
