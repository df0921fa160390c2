"""The database: its tables, its sample rows, and reading it in batches."""

#{% if cookiecutter.database == "sqlite" %}
import sqlite3
import time
#{% endif %}
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
#{% if cookiecutter.database == "sqlite" %}
from contextlib import closing, contextmanager
#{% else %}
from contextlib import closing, contextmanager, suppress
#{% endif %}
from itertools import islice
#{% if cookiecutter.database == "sqlite" %}
from threading import Lock
#{% else %}
from threading import BoundedSemaphore, Lock
#{% endif %}
#{% if cookiecutter.database == "sqlite" %}
from typing import Any, Protocol

#{% else %}
from typing import Any, Protocol, cast

import psycopg
#{% endif %}
#{% if cookiecutter.database == "sqlite" %}
from sqlalchemy import (
    Connection,
    CursorResult,
    Integer,
    MetaData,
    Select,
    Table,
    create_engine,
    event,
    inspect,
    select,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
#{% else %}
from sqlalchemy import (
    BigInteger,
    Connection,
    MetaData,
    Select,
    Table,
    create_engine,
    func,
    inspect,
    select,
)
#{% endif %}

metadata = MetaData()
"""The tables; `info["sample"]` of each makes the sample row of a number from 1 on."""

#{% if cookiecutter.database == "sqlite" %}
Key = Integer
#{% else %}
Key = BigInteger
#{% endif %}

SAMPLE_ROWS = 1000
SEED_BATCH = 5000
#{% if cookiecutter.database == "sqlite" %}
BUSY_SECONDS = 10
"""How long one writer waits for another."""
#{% else %}
WRITER_LOCK = 0x5EED
"""The advisory lock that writers of samples take; a number of nobody else's."""
CANCEL_SECONDS = 5
ROWS_AT_A_TIME = 32
"""How many rows wait in memory, however wide they are; more are hardly any faster."""
#{% endif %}


#{% if cookiecutter.database == "postgresql" %}
class TooManyExports(Exception):
    """As many exports as there may be are being read."""


#{% endif %}
class Cursor(Protocol):
    """The rows of a query that is being run."""

    def fetchmany(self, size: int, /) -> Sequence[Sequence[Any]]:
        """Return the next rows, at most `size`; none at the end."""

    def interrupt(self) -> None:
        """End the query, from another thread: `fetchmany` fails."""


class Database:
#{% if cookiecutter.database == "sqlite" %}
    """The engine, and the threads that read it for all exports."""
#{% else %}
    """The engine, and the threads that read it for all exports.

    At most `max_exports` read at once, each on a connection of its own. One for which the server
    takes `statement_timeout` seconds fails; 0 is no limit.
    """
#{% endif %}

#{% if cookiecutter.database == "sqlite" %}
    def __init__(self, url: str) -> None:
        # Waiting for a connection would keep the reader from the streams that could give one back.
        self.engine = create_engine(url, max_overflow=-1)
        event.listen(self.engine, "connect", configure_connection)
        event.listen(self.engine, "begin", begin_transaction)
        # sqlite3 hands the interpreter lock over at every row: four threads that read at once are
        # at best as fast as one, and down to a third as fast.
        self.readers = ThreadPoolExecutor(1, "reader")
#{% else %}
    def __init__(self, url: str, *, max_exports: int = 50, statement_timeout: float = 0) -> None:
        self.engine = create_engine(
            url,
            max_overflow=-1,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 5, "options": "-c timezone=UTC"},
        )
        # One snapshot for a whole export, whatever it asks for, and nothing that it could change.
        self._reading = self.engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._statement_timeout = round(statement_timeout * 1000)
        self.readers = ThreadPoolExecutor(4, "reader")
        self._turns = BoundedSemaphore(max_exports)
#{% endif %}
        self._preparing = Lock()
        self._prepared = False

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Yield a connection to a database that has its tables."""
        self.prepare()
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def cursor(self, statement: Select[Any]) -> Iterator[Cursor]:
        """Yield the rows of `statement` as the driver has them, read when they are asked for.

        SQLAlchemy's rows would cost more than reading and encoding them. So a value arrives as the
        driver returns it: what SQLAlchemy would convert is not.
#{% if cookiecutter.database == "postgresql" %}
        Raises `TooManyExports`.
#{% endif %}
        """
#{% if cookiecutter.database == "sqlite" %}
        with self.connect() as connection, closing(DriverCursor(connection, statement)) as cursor:
            yield cursor
#{% else %}
        # Waiting for a turn would keep a reader from the streams that could give one back.
        if not self._turns.acquire(blocking=False):
            raise TooManyExports
        try:
            self.prepare()
            with self._reading.connect() as connection:
                # As for a cursor of its own, the server prefers an index, which has the first row
                # at once.
                connection.exec_driver_sql(
                    "SET LOCAL enable_sort = off;"
                    f"SET LOCAL statement_timeout = {self._statement_timeout}"
                )
                with closing(DriverCursor(connection, statement)) as cursor:
                    yield cursor
        finally:
            self._turns.release()
#{% endif %}

    def ping(self) -> None:
        """Return when the database answers, from every table; raise what is wrong otherwise."""
        with self.connect() as connection:
            for table in metadata.sorted_tables:
                connection.execute(select(table).limit(1))

    def prepare(self) -> None:
        """Create the tables that are missing, with sample rows. Does nothing the second time."""
        with self._preparing:
            if self._prepared:
                return
            with self._writing() as connection:
                existing = inspect(connection).get_table_names()
                missing = [table for table in metadata.sorted_tables if table.name not in existing]
                metadata.create_all(connection, tables=missing)
                for table in missing:
                    for _ in insert_samples(connection, table, SAMPLE_ROWS):
                        pass
            self._prepared = True

    def seed(self, rows: int) -> Generator[int, None, None]:
        """Replace all rows by `rows` samples in each table; yield the size of every batch written.

        Other connections see nothing of it before it is complete.
        """
        self.prepare()
        with self._writing() as connection:
            for table in metadata.sorted_tables:
                connection.execute(table.delete())
                yield from insert_samples(connection, table, rows)

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        self.engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that no other writer shares."""
#{% if cookiecutter.database == "sqlite" %}
        with self.engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
            yield connection
#{% else %}
        with self.engine.begin() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(WRITER_LOCK)))
            yield connection
#{% endif %}


#{% if cookiecutter.database == "sqlite" %}
class DriverCursor:
    """A cursor of `sqlite3`, whose query begins with the first rows that are asked for."""

    def __init__(self, connection: Connection, statement: Select[Any]) -> None:
        self._connection = connection
        self._statement = statement
        self._driver_connection: Any = connection.connection.driver_connection
        self._result: CursorResult[Any] | None = None
        self._closing = Lock()
        self._closed = False

    def fetchmany(self, size: int, /) -> Sequence[Sequence[Any]]:
        """Implement `Cursor.fetchmany`."""
        if self._result is None:
            self._result = self._connection.execute(self._statement)
        rows: Sequence[Sequence[Any]] = self._result.cursor.fetchmany(size)
        return rows

    def interrupt(self) -> None:
        """Implement `Cursor.interrupt`. What is closed is left alone: its connection has others."""
        with self._closing:
            if not self._closed:
                self._driver_connection.interrupt()

    def close(self) -> None:
        """End the query."""
        with self._closing:
            self._closed = True
        if self._result is not None:
            self._result.close()


def configure_connection(connection: DBAPIConnection, _: object) -> None:
    """Let readers go on while one writes, and leave transactions to `begin_transaction`."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    connection.execute("PRAGMA synchronous = NORMAL")
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            # SQLite does not wait for its lock here, so that two first starts are in the way of
            # each other.
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.01)


def begin_transaction(connection: Connection) -> None:
    """Start the transaction that SQLAlchemy takes for started: `sqlite3` would wait for a write."""
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


#{% else %}
class DriverCursor:
    """A cursor of psycopg's, which the server sends rows to as it finds them."""

    def __init__(self, connection: Connection, statement: Select[Any]) -> None:
        compiled = statement.compile(
            dialect=connection.dialect, compile_kwargs={"render_postcompile": True}
        )
        self._connection = cast(psycopg.Connection[Any], connection.connection.driver_connection)
        self._cursor = self._connection.cursor()
        self._closing = Lock()
        self._closed = False
        # A generator, although psycopg promises no more than an iterator.
        self._rows: Any = self._cursor.stream(str(compiled), compiled.params, size=ROWS_AT_A_TIME)

    def fetchmany(self, size: int, /) -> Sequence[Sequence[Any]]:
        """Implement `Cursor.fetchmany`."""
        return list(islice(self._rows, size))

    def interrupt(self) -> None:
        """Implement `Cursor.interrupt`. What is closed is left alone: its connection has others."""
        with self._closing, suppress(psycopg.Error):
            if not self._closed:
                self._connection.cancel_safe(timeout=CANCEL_SECONDS)

    def close(self) -> None:
        """End the query, on the server too."""
        with self._closing:
            self._closed = True
        self._rows.close()
        self._cursor.close()


#{% endif %}
def insert_samples(connection: Connection, table: Table, rows: int) -> Iterator[int]:
    """Insert `rows` samples into `table`; yield the size of every batch."""
    samples = map(table.info["sample"], range(1, rows + 1))
    while batch := list(islice(samples, SEED_BATCH)):
        connection.execute(table.insert(), batch)
        yield len(batch)
#{% if cookiecutter.database == "postgresql" %}
    # Samples bring their keys: whoever inserts a row without one gets the next.
    for key in table.primary_key:
        sequence = func.pg_get_serial_sequence(table.name, key.name)
        connection.execute(select(func.setval(sequence, rows + 1, False)))
#{% endif %}
