"""The database: its tables, samples and health check."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

import sqlalchemy as sa
from anyio import to_thread

from ..problems import Unavailable
from .columns import Convert

Row = Sequence[Any]
Samples = Mapping[sa.Table, Callable[[int], Mapping[str, Any]]]
"""For each table a function that returns the sample row of a number from 1 on."""

SEED_BATCH = 5000


class Database(ABC):
    """A database with the tables of `metadata`, and the threads that read it for all exports."""

    def __init__(
        self, engine: sa.Engine, metadata: sa.MetaData, samples: Samples, readers: int
    ) -> None:
        self.engine = engine
        self.readers = ThreadPoolExecutor(readers, "reader")
        self._metadata = metadata
        self._samples = samples

    @abstractmethod
    def select(self, column: sa.ColumnElement[Any]) -> tuple[sa.ColumnElement[Any], Convert | None]:
        """Return the expression to select, and the conversion of the driver's values, if any."""

    @abstractmethod
    def comparable(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Return the expression by which rows are ordered and compared."""

    @abstractmethod
    def text_bytes(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bytes]:
        """Return the expression for the text of a column as it is stored."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[sa.Connection]:
        """Return a connection in a transaction that reads one snapshot."""

    @abstractmethod
    def rows(self, connection: sa.Connection, statement: sa.Select[Any]) -> Any:
        """Return an iterator with `close()`: rows of the driver, which are read on demand.

        SQLAlchemy's rows would cost more than reading and encoding them.
        """

    @abstractmethod
    def interrupt(self, connection: sa.Connection) -> None:
        """Abort the query that another thread runs."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[sa.Connection]:
        """Return a connection in a transaction that excludes other writers."""

    @property
    def name(self) -> str:
        """The URL without secrets."""
        return self.engine.url.set(query={}).render_as_string()

    def ping(self) -> None:
        """Return if the database has all tables. Raises `Unavailable` or its own exception."""
        with self.engine.connect() as connection:
            connection.execute(sa.select(1))
            missing = self._missing(connection)
        if missing:
            names = ", ".join(table.fullname for table in missing)
            raise Unavailable(f"Missing tables: {names}.")

    async def check(self) -> None:
        """Do as `ping` does, in a thread."""
        await to_thread.run_sync(self.ping)

    def count_rows(self) -> dict[str, int]:
        """Return the numbers of rows that `seed` would replace, by table."""
        count = sa.select(sa.func.count())
        with self.engine.connect() as connection:
            missing = self._missing(connection)
            return {
                table.fullname: connection.scalars(count.select_from(table)).one()
                for table in self._samples
                if table not in missing
            }

    def seed(self, rows: int) -> Generator[int, None, None]:
        """Create missing tables, and replace all rows of each table that has samples.

        Yields the number of rows of each batch. Other connections see the change when it is
        complete.
        """
        with self.writing() as connection:
            self._metadata.create_all(connection, tables=self._missing(connection))
            tables = [table for table in self._metadata.sorted_tables if table in self._samples]
            for table in reversed(tables):
                connection.execute(table.delete())
            for table in tables:
                yield from self.insert_samples(connection, table, rows)

    def insert_samples(
        self, connection: sa.Connection, table: sa.Table, rows: int
    ) -> Iterator[int]:
        """Insert samples; yield the number of rows of each batch."""
        samples = map(self._samples[table], range(1, rows + 1))
        while batch := list(islice(samples, SEED_BATCH)):
            connection.execute(table.insert(), batch)
            yield len(batch)

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        self.engine.dispose()

    def _missing(self, connection: sa.Connection) -> list[sa.Table]:
        """Return the tables for which there is no relation of any kind."""
        exists = sa.inspect(connection).has_table
        tables = self._metadata.sorted_tables
        return [table for table in tables if not exists(table.name, schema=table.schema)]
