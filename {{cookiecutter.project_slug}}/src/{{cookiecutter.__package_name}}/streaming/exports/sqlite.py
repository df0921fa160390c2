"""SQLite: reading with the driver's cursor."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import DATETIME, TIME

from ..settings import database_path
from .columns import Binary, Convert, converts, each, exported_type, json_document, layers, loaded
from .database import Database, Samples

SAMPLE_ROWS = 1000
BUSY_SECONDS = 10
"""Time that a writer waits for another."""


def with_zone(value: Any) -> Any:
    """Return a time with its zone, or with UTC if it has none; `None` as it is."""
    return value.replace(tzinfo=UTC) if value is not None and not value.tzinfo else value


class Zoned:
    """Reads times with a zone if the type has `timezone`; SQLAlchemy drops the zone."""

    timezone: bool

    def result_processor(self, dialect: Any, coltype: object) -> Any:
        """Return the function that returns the time of a stored text."""
        parent: Any = super()
        parse = parent.result_processor(dialect, coltype)
        return (lambda text: with_zone(parse(text))) if self.timezone else parse


class UTCDateTime(Zoned, DATETIME):
    """A time, stored in UTC if it has a zone."""

    def bind_processor(self, dialect: Any) -> Any:
        """Return the function that returns the text to store."""
        store: Any = super().bind_processor(dialect)
        return lambda value: store(value.astimezone(UTC) if value and value.tzinfo else value)


class ZonedTime(Zoned, TIME):
    """A time of day, stored with its zone."""

    def bind_processor(self, dialect: Any) -> Any:
        """Return the function that returns the text to store."""
        store: Any = super().bind_processor(dialect)  # type: ignore[no-untyped-call]
        return (lambda value: value and with_zone(value).isoformat()) if self.timezone else store


class SQLite(Database):
    """A SQLite file, in write-ahead mode: readers and a writer do not block each other."""

    def __init__(self, url: str, metadata: sa.MetaData, samples: Samples) -> None:
        self.file = database_path(url)
        # Each use opens the file: another that takes its place is followed.
        engine = sa.create_engine(url, creator=self._open, poolclass=sa.NullPool)
        # SQLAlchemy has another implementation of TIMESTAMP.
        types: Any = dict.fromkeys((sa.DateTime, sa.TIMESTAMP), UTCDateTime) | {sa.Time: ZonedTime}
        engine.dialect.colspecs = {**engine.dialect.colspecs, **types}
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

    def select(self, column: sa.ColumnElement[Any]) -> tuple[sa.ColumnElement[Any], Convert | None]:
        """Convert values as SQLAlchemy does, unless the stored ones are exported."""
        dialect = self.engine.dialect
        kind = exported_type(column.type.dialect_impl(dialect))
        load: Any = kind.result_processor(dialect, None)
        convert: Convert | None = None
        if converts(kind):
            convert = loaded(kind, dialect)
        elif isinstance(kind, sa.JSON):
            # A number can be stored as one.
            convert = each(lambda value: json_document(value) if isinstance(value, str) else value)
        elif isinstance(kind, sa.LargeBinary):
            # SQLite stores text as text, whatever the type of the column.
            column, convert = self.text_bytes(column), each(Binary)
        elif isinstance(kind, sa.Numeric):
            convert = each(partial(decimal, kind.scale))
        elif isinstance(kind, sa.DateTime) and kind.timezone:
            convert = partial(utc_times, load)
        elif load and not isinstance(kind, sa.Enum | sa.Float):
            convert = each(load)
        return column, convert

    def comparable(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        # SQLAlchemy stores a fraction of a second always, CURRENT_TIMESTAMP never.
        is_time = any(isinstance(layer, sa.DateTime | sa.Time) for layer in layers(column.type))
        return sa.func.replace(column, ".000000", "") if is_time else column

    def text_bytes(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bytes]:
        return sa.cast(column, sa.LargeBinary)

    def reading(self) -> AbstractContextManager[sa.Connection]:
        return self.engine.connect()

    def rows(self, connection: sa.Connection, statement: sa.Select[Any]) -> Any:
        return connection.execute(statement).cursor

    def interrupt(self, connection: sa.Connection) -> None:
        driver_connection: Any = connection.connection.driver_connection
        driver_connection.interrupt()

    def count_rows(self) -> dict[str, int]:
        return super().count_rows() if self.file.exists() else {}

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        self.file.touch()
        with self.engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
            yield connection

    def _open(self) -> sqlite3.Connection:
        """Open the file, in write-ahead mode unless it is read-only."""
        if self.is_default:
            self.create(with_samples=True)
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
        # While another program writes to a file without a log, the next connection adds it.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
        return connection


def utc_times(load: Callable[[str], datetime], texts: Sequence[str]) -> Sequence[datetime]:
    """Return stored times: all in one go, unless one is NULL or has a zone."""
    try:
        # `replace(tzinfo=UTC)` takes several times as long.
        parse = datetime.fromisoformat
        return [parse(f"{text}Z") for text in texts]
    except ValueError:
        return list(map(load, texts))


def decimal(scale: int | None, value: float) -> Decimal:
    """Return a stored number, all digits of an integer, with `scale` or its own decimal places."""
    number: Any = Decimal(repr(value)) if scale is None or isinstance(value, int) else value
    return Decimal(f"{number:f}" if scale is None else f"{number:.{scale}f}")


def begin_transaction(connection: sa.Connection) -> None:
    """Begin the transaction; `sqlite3` alone would wait for a write."""
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))
