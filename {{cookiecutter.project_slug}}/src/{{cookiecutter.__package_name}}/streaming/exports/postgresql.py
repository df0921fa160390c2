"""PostgreSQL: reading with psycopg, one snapshot per export."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import islice
from threading import BoundedSemaphore, Lock
from typing import Any, cast

import psycopg
from sqlalchemy import Connection, MetaData, Select, Table, create_engine, func, select

from .database import Database, Samples

WRITER_LOCK = 0x5EED
"""The advisory lock of writers; an arbitrary number."""
CANCEL_SECONDS = 5
FETCH_ROWS = 32
"""Number of rows that wait in memory, however wide they are; more are hardly faster."""


class TooManyExports(Exception):
    """The maximum number of concurrent exports is reached."""


class PostgreSQL(Database):
    """A PostgreSQL database.

    At most `max_exports` run at once, each on a connection of its own. One that takes more than
    `statement_timeout` seconds in the server fails; 0: no limit.
    """

    def __init__(
        self,
        url: str,
        metadata: MetaData,
        samples: Samples,
        *,
        max_exports: int = 50,
        statement_timeout: float = 0,
    ) -> None:
        engine = create_engine(
            url,
            max_overflow=-1,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 5, "options": "-c timezone=UTC"},
        )
        super().__init__(engine, metadata, samples, readers=4)
        # One read-only snapshot for a whole export.
        self._reading = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._statement_timeout = round(statement_timeout * 1000)
        self._exports = BoundedSemaphore(max_exports)

    @contextmanager
    def cursor(self, statement: Select[Any]) -> Iterator["PostgreSQLCursor"]:
        """Raises `TooManyExports` in addition."""
        # Waiting here would block a reader for the streams that could make room.
        if not self._exports.acquire(blocking=False):
            raise TooManyExports
        try:
            self.prepare()
            with self._reading.connect() as connection:
                # As for a server-side cursor, prefer an index, which has the first row at once.
                connection.exec_driver_sql(
                    "SET LOCAL enable_sort = off;"
                    f"SET LOCAL statement_timeout = {self._statement_timeout}"
                )
                with closing(PostgreSQLCursor(connection, statement)) as cursor:
                    yield cursor
        finally:
            self._exports.release()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(WRITER_LOCK)))
            yield connection

    def insert_samples(self, connection: Connection, table: Table, rows: int) -> Iterator[int]:
        """Set sequences, too: they continue after the samples."""
        yield from super().insert_samples(connection, table, rows)
        name = func.concat_ws(".", *map(func.quote_ident, (table.schema, table.name)))
        for key in table.primary_key:
            sequence = func.pg_get_serial_sequence(name, key.name)
            connection.execute(select(func.setval(sequence, rows + 1, False)))


class PostgreSQLCursor:
    """A cursor of psycopg, to which the server sends rows as it finds them."""

    def __init__(self, connection: Connection, statement: Select[Any]) -> None:
        compiled = statement.compile(
            dialect=connection.dialect, compile_kwargs={"render_postcompile": True}
        )
        self._connection = cast(psycopg.Connection[Any], connection.connection.driver_connection)
        self._cursor = self._connection.cursor()
        self._closing = Lock()
        self._closed = False
        # A generator, although psycopg documents an iterator.
        self._rows: Any = self._cursor.stream(str(compiled), compiled.params, size=FETCH_ROWS)

    def fetchmany(self, size: int, /) -> Sequence[Sequence[Any]]:
        """Return the next rows, at most `size`; none at the end."""
        return list(islice(self._rows, size))

    def interrupt(self) -> None:
        """Abort the query; not after `close`, when the connection may run another."""
        with self._closing, suppress(psycopg.Error):
            if not self._closed:
                self._connection.cancel_safe(timeout=CANCEL_SECONDS)

    def close(self) -> None:
        """Close the query, in the server too."""
        with self._closing:
            self._closed = True
        self._rows.close()
        self._cursor.close()
