"""SQLite: reading with the driver's cursor."""

import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from threading import Lock
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import DATE, DATETIME, TIME
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from ..settings import database_path
from .columns import (
    Binary,
    Selected,
    duration,
    each,
    is_converted,
    json_document,
    processed,
    stored_type,
    timestamp,
    timestamps,
    undecorated,
)
from .database import Database, Samples

logger = logging.getLogger(__name__)

SAMPLE_ROWS = 1000
BUSY_SECONDS = 10
"""Time that a writer waits for another."""


class UTCDateTime(DATETIME):
    """A time with a zone, stored in UTC: SQLite stores none, and SQLAlchemy drops it."""

    def bind_processor(self, dialect: Any) -> Any:
        """Return the function that returns the text to store."""
        store: Any = super().bind_processor(dialect)
        return lambda value: store(value.astimezone(UTC) if value and value.tzinfo else value)

    def result_processor(self, dialect: Any, coltype: object) -> Any:
        """Return the function that returns the time of a stored text."""
        parse: Any = super().result_processor(dialect, coltype)

        def load(text: str | None) -> datetime | None:
            value: datetime | None = parse(text)
            return value.replace(tzinfo=UTC) if value and not value.tzinfo else value

        return load if self.timezone else parse


class SQLite(Database):
    """A SQLite file, in write-ahead mode: readers and a writer do not block each other."""

    def __init__(self, url: str, metadata: sa.MetaData, samples: Samples) -> None:
        self.file = database_path(url)
        # Waiting for a connection would block the reader for the streams that could return one.
        engine = sa.create_engine(url, creator=self._open, max_overflow=-1)
        # SQLAlchemy has another implementation of TIMESTAMP.
        types: dict[Any, Any] = dict.fromkeys((sa.DateTime, sa.TIMESTAMP), UTCDateTime)
        engine.dialect.colspecs = {**engine.dialect.colspecs, **types}
        sa.event.listen(engine, "connect", self._remember_file)
        sa.event.listen(engine, "checkout", self._follow_file)
        sa.event.listen(engine, "begin", begin_transaction)
        # sqlite3 releases the interpreter lock at every row: four threads that read at once are
        # at best as fast as one, and down to a third as fast.
        super().__init__(engine, metadata, samples, readers=1)

    is_default = False
    """Whether the file is created with samples on first use, also before the start-up."""

    def create(self, with_samples: bool) -> None:
        """Create the file with its tables, unless it exists. It appears when it is complete."""
        if self.file.exists():
            return
        new = self.file.with_name(f"{self.file.name}.{uuid4().hex}.new")
        new.touch()
        try:
            samples = self._samples if with_samples else {}
            with closing(SQLite(f"sqlite:///{new}", self._metadata, samples)) as database:
                for _ in database.seed(SAMPLE_ROWS):
                    pass
            # Another process may have been first.
            with suppress(FileExistsError):
                os.link(new, self.file)
        finally:
            new.unlink()

    def select(self, column: sa.ColumnElement[Any]) -> Selected:
        """Return the stored text where that is exported, else values converted by SQLAlchemy."""
        dialect = self.engine.dialect
        kind = stored_type(column.type, dialect)
        load: Any = kind.result_processor(dialect, None)
        if isinstance(kind, sa.Interval):
            return Selected(column, each(lambda text: duration(load(text))))
        if is_converted(kind) or isinstance(undecorated(column.type), DATE | DATETIME | TIME):
            # A dialect's own type can have a format of its own.
            return Selected(column, processed(kind, dialect))
        if isinstance(kind, sa.Enum | sa.Date):
            return Selected(column)
        if isinstance(kind, sa.DateTime | sa.Time):
            zone = "Z" if isinstance(kind, sa.DateTime) and kind.timezone else ""
            parse = lambda text: timestamp(load(text))  # noqa: E731
            return Selected(column, timestamps(".000000", zone, parse))
        if isinstance(kind, sa.JSON):
            return Selected(column, each(json_document))
        if isinstance(kind, sa.LargeBinary):
            return Selected(column, each(Binary))
        if isinstance(kind, sa.Numeric):
            return Selected(column, each(lambda value: decimal(value, kind.scale)))
        return Selected(column, each(load) if load and not isinstance(kind, sa.Float) else None)

    @contextmanager
    def cursor(self, statement: sa.Select[Any], *, raw: bool = False) -> Iterator["SQLiteCursor"]:
        if self.is_default:
            self.create(with_samples=True)
        with (
            self.engine.connect() as connection,
            closing(SQLiteCursor(connection, statement, bytes if raw else str)) as cursor,
        ):
            yield cursor

    def count_rows(self) -> dict[str, int]:
        return super().count_rows() if self.file.exists() else {}

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        self.file.touch()
        with self.engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
            yield connection

    def _open(self) -> sqlite3.Connection:
        """Open the file, which is not created, in write-ahead mode unless it is read-only."""
        folder = self.file.parent
        writable = all(
            not each.exists() or os.access(each, os.W_OK) for each in (self.file, folder)
        )
        # Without a log nobody writes; SQLite would create its files to look for one.
        has_log = self.file.with_name(f"{self.file.name}-wal").exists()
        mode = "mode=rw" if writable else "mode=ro" if has_log else "mode=ro&immutable=1"
        connection = sqlite3.connect(
            f"file:{quote(str(self.file))}?{mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA synchronous = NORMAL")
        if writable:
            enable_write_ahead_log(connection)
        return connection

    def _remember_file(self, _: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        record.info["file"] = self._identity()

    def _follow_file(self, _: object, record: ConnectionPoolEntry, __: object) -> None:
        """Open the file again if another has taken its place."""
        if record.info["file"] != self._identity():
            logger.warning("The file of the database was replaced: %s", self.file)
            raise DisconnectionError

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self.file.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino


class SQLiteCursor:
    """A cursor of `sqlite3`, whose query begins with the first rows that are fetched."""

    def __init__(
        self, connection: sa.Connection, statement: sa.Select[Any], text: type[str | bytes] = str
    ) -> None:
        self._connection = connection
        self._statement = statement
        driver_connection: Any = connection.connection.driver_connection
        driver_connection.text_factory = text
        self._driver_connection = driver_connection
        self._result: sa.CursorResult[Any] | None = None
        self._closing = Lock()
        self._closed = False

    def fetchmany(self, size: int, /) -> Sequence[Sequence[Any]]:
        """Return the next rows, at most `size`; none at the end."""
        if self._result is None:
            self._result = self._connection.execute(self._statement)
        rows: Sequence[Sequence[Any]] = self._result.cursor.fetchmany(size)
        return rows

    def interrupt(self) -> None:
        """Abort the query; not after `close`, when the connection may run another."""
        with self._closing:
            if not self._closed:
                self._driver_connection.interrupt()

    def close(self) -> None:
        """Close the query."""
        with self._closing:
            self._closed = True
        if self._result is not None:
            self._result.close()
        self._driver_connection.text_factory = str


def decimal(value: float, scale: int | None) -> Decimal:
    """Return a stored number with `scale` digits after the point, or with those that it has."""
    return Decimal(f"{Decimal(repr(value)):f}" if scale is None else f"{value:.{scale}f}")


def enable_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Set the journal mode. SQLite does not wait for the lock that a first start needs."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)


def begin_transaction(connection: sa.Connection) -> None:
    """Begin the transaction; `sqlite3` alone would wait for a write."""
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))
