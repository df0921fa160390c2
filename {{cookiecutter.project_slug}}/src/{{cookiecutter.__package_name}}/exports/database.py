"""The database: its tables, its sample rows, and reading it in batches."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from threading import Lock
from typing import Any, Protocol

#{% if cookiecutter.database == "sqlite" %}
from sqlalchemy import (
    Connection,
    Integer,
    MetaData,
    Select,
    Table,
    create_engine,
    event,
    inspect,
    select,
)
from sqlalchemy.dialects.sqlite import DATETIME
from sqlalchemy.engine.interfaces import DBAPIConnection
#{% else %}
from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
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
# Text in the form of RFC 3339, which is the form it has in an export.
Timestamp = DATETIME(  # type: ignore[no-untyped-call]
    storage_format="%(year)04d-%(month)02d-%(day)02dT%(hour)02d:%(minute)02d:%(second)02dZ",
    regexp=r"(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)Z",
)
#{% else %}
Key = BigInteger
Timestamp = DateTime(timezone=True)
#{% endif %}

SAMPLE_ROWS = 1000
SEED_BATCH = 5000
#{% if cookiecutter.database == "postgresql" %}
WRITER_LOCK = 0x5EED
"""The advisory lock that writers of samples take; a number of nobody else's."""
#{% endif %}


class Cursor(Protocol):
    """The part of a driver's cursor (PEP 249) that an export needs."""

    def fetchmany(self, size: int, /) -> Sequence[Sequence[Any]]:
        """Return the next rows, at most `size`; none at the end."""

    def close(self) -> None:
        """Give back what the cursor holds."""


class Database:
    """The engine, and the threads that read it for all exports."""

    def __init__(self, url: str) -> None:
#{% if cookiecutter.database == "sqlite" %}
        self.engine = create_engine(url)
        event.listen(self.engine, "connect", configure_connection)
        event.listen(self.engine, "begin", begin_transaction)
        # sqlite3 hands the interpreter lock over at every row: four threads that read at once
        # get a quarter of the rows that one gets.
        self.readers = ThreadPoolExecutor(1, "reader")
#{% else %}
        self.engine = create_engine(
            url,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 5, "options": "-c timezone=UTC"},
        )
        self.readers = ThreadPoolExecutor(4, "reader")
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
        """Run `statement` and yield the driver's own cursor on the server's side.

        SQLAlchemy's rows would cost more than reading and encoding them.
        """
        with self.connect() as connection:
#{% if cookiecutter.database == "sqlite" %}
            result = connection.execute(statement)
            try:
                yield result.cursor
            finally:
                result.close()
#{% else %}
            compiled = statement.compile(
                dialect=connection.dialect, compile_kwargs={"render_postcompile": True}
            )
            with connection.connection.cursor(name="export") as cursor:
                cursor.execute(str(compiled), compiled.params)
                yield cursor
#{% endif %}

    def ping(self) -> None:
        """Return when the database answers; raise what is wrong otherwise."""
        with self.connect() as connection:
            connection.execute(select(1))

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

    def seed(self, rows: int) -> Iterator[int]:
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
def configure_connection(connection: DBAPIConnection, _: object) -> None:
    """Let readers go on while one writes, and leave transactions to `begin_transaction`."""
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 10000"):
        connection.execute(f"PRAGMA {pragma}")


def begin_transaction(connection: Connection) -> None:
    """Start the transaction that SQLAlchemy takes for started: `sqlite3` would wait for a write."""
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


#{% endif %}
def insert_samples(connection: Connection, table: Table, rows: int) -> Iterator[int]:
    """Insert `rows` samples into `table`; yield the size of every batch."""
    samples = map(table.info["sample"], range(1, rows + 1))
    while batch := list(islice(samples, SEED_BATCH)):
        connection.execute(table.insert(), batch)
        yield len(batch)
