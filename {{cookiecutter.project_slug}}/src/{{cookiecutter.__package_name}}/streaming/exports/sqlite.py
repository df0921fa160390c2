"""SQLite: reading with the driver's cursor."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from threading import Lock
from typing import Any

from sqlalchemy import Connection, CursorResult, MetaData, Select, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from .database import Database, Samples

BUSY_SECONDS = 10
"""Time that a writer waits for another."""


class SQLite(Database):
    """A SQLite file, in write-ahead mode: readers and a writer do not block each other."""

    def __init__(self, url: str, metadata: MetaData, samples: Samples) -> None:
        # Waiting for a connection would block the reader for the streams that could return one.
        engine = create_engine(url, max_overflow=-1)
        event.listen(engine, "connect", configure_connection)
        event.listen(engine, "begin", begin_transaction)
        # sqlite3 releases the interpreter lock at every row: four threads that read at once are
        # at best as fast as one, and down to a third as fast.
        super().__init__(engine, metadata, samples, readers=1)

    @contextmanager
    def cursor(self, statement: Select[Any]) -> Iterator["SQLiteCursor"]:
        with self.connect() as connection, closing(SQLiteCursor(connection, statement)) as cursor:
            yield cursor

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with self.engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
            yield connection


class SQLiteCursor:
    """A cursor of `sqlite3`, whose query begins with the first rows that are fetched."""

    def __init__(self, connection: Connection, statement: Select[Any]) -> None:
        self._connection = connection
        self._statement = statement
        self._driver_connection: Any = connection.connection.driver_connection
        self._result: CursorResult[Any] | None = None
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


def configure_connection(connection: DBAPIConnection, _: object) -> None:
    """Enable write-ahead logging, and leave transactions to `begin_transaction`."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    connection.execute("PRAGMA synchronous = NORMAL")
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            # SQLite does not wait for this lock, so two first starts can collide.
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.01)


def begin_transaction(connection: Connection) -> None:
    """Begin the transaction; `sqlite3` alone would wait for a write."""
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))
