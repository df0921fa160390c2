"""What both databases have in common: tables, samples, the health check."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from threading import Lock
from typing import Any

from anyio import to_thread
from sqlalchemy import Connection, Engine, MetaData, Select, Table, inspect, select

Samples = Mapping[Table, Callable[[int], Mapping[str, Any]]]
"""For each table a function that returns the sample row of a number from 1 on."""

SAMPLE_ROWS = 1000
SEED_BATCH = 5000


class Database(ABC):
    """The tables of `metadata`, and the threads that read them for all exports."""

    def __init__(self, engine: Engine, metadata: MetaData, samples: Samples, readers: int) -> None:
        self.engine = engine
        self.readers = ThreadPoolExecutor(readers, "reader")
        self._tables = metadata.sorted_tables
        self._metadata = metadata
        self._samples = samples
        self._preparing = Lock()
        self._prepared = False

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Yield a connection to a database that has its tables."""
        self.prepare()
        with self.engine.connect() as connection:
            yield connection

    @abstractmethod
    def cursor(self, statement: Select[Any]) -> AbstractContextManager[Any]:
        """Return a cursor with `fetchmany(size)` and, for other threads, `interrupt()`.

        Rows are read on demand, as the driver returns them: SQLAlchemy's rows would cost more than
        reading and encoding them.
        """

    @abstractmethod
    def writing(self) -> AbstractContextManager[Connection]:
        """Return a connection in a transaction that excludes other writers."""

    def ping(self) -> None:
        """Return if all tables can be read. Raises the exception of the database otherwise."""
        with self.connect() as connection:
            for table in self._tables:
                connection.execute(select(table).limit(1))

    async def check(self) -> None:
        """Do as `ping` does, in a thread."""
        await to_thread.run_sync(self.ping)

    def prepare(self) -> None:
        """Create missing tables, with sample rows; once per process."""
        with self._preparing:
            if self._prepared:
                return
            with self.writing() as connection:
                exists = inspect(connection).has_table
                missing = [each for each in self._tables if not exists(each.name, each.schema)]
                self._metadata.create_all(connection, tables=missing)
                for table in missing:
                    for _ in self.insert_samples(connection, table, SAMPLE_ROWS):
                        pass
            self._prepared = True

    def seed(self, rows: int) -> Generator[int, None, None]:
        """Replace all rows of each table with samples; yield the number of rows of each batch.

        Other connections see the change when it is complete.
        """
        self.prepare()
        with self.writing() as connection:
            for table in reversed(self._tables):
                if table in self._samples:
                    connection.execute(table.delete())
            for table in self._tables:
                yield from self.insert_samples(connection, table, rows)

    def insert_samples(self, connection: Connection, table: Table, rows: int) -> Iterator[int]:
        """Insert samples if `table` has any; yield the number of rows of each batch."""
        if table not in self._samples:
            return
        samples = map(self._samples[table], range(1, rows + 1))
        while batch := list(islice(samples, SEED_BATCH)):
            connection.execute(table.insert(), batch)
            yield len(batch)

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        self.engine.dispose()
