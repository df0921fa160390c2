"""PostgreSQL: reading with psycopg, one snapshot per export."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from itertools import islice
from threading import BoundedSemaphore, Lock
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import INTERVAL
from sqlalchemy.types import NumericCommon, TypeEngine

from .columns import (
    Binary,
    Selected,
    duration,
    each,
    is_converted,
    json_document,
    processed,
    stored_type,
    timestamps,
    undecorated,
)
from .database import Database, Samples

WRITER_LOCK = 0x5EED
"""The advisory lock of writers; an arbitrary number."""
CANCEL_SECONDS = 5
FETCH_ROWS = 16
"""Number of rows that wait in memory, however wide they are; more are hardly faster."""
CONNECTION = {
    "connect_timeout": 5,
    # A database in SQL_ASCII has text in any encoding; what is not UTF-8 fails.
    "client_encoding": "utf8",
    # A statement that is prepared belongs to a connection, which PgBouncer exchanges.
    "prepare_threshold": None,
}
"""Parameters of connections, unless the URL has others."""
TIME = re.compile(r"(?:(\d{4,}-\d\d-\d\d) )?(\d\d:\d\d:\d\d)(?:\.(\d+))?([+-]\d\d)?(:\d\d)?")


class TooManyExports(Exception):
    """The maximum number of concurrent exports is reached."""


class PostgreSQL(Database):
    """A PostgreSQL database.

    At most `max_exports` run at once, each on a connection of its own. One that takes more than
    `statement_timeout` seconds in the server fails; 0: no limit but that of the role.
    """

    def __init__(
        self,
        url: str,
        metadata: sa.MetaData,
        samples: Samples,
        *,
        max_exports: int = 50,
        statement_timeout: float = 0,
    ) -> None:
        given = sa.make_url(url).query
        defaults = {name: value for name, value in CONNECTION.items() if name not in given}
        engine = sa.create_engine(url, max_overflow=-1, pool_pre_ping=True, connect_args=defaults)
        super().__init__(engine, metadata, samples, readers=4)
        # One read-only snapshot for a whole export.
        self._reading = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._begin = (
            # Values are read as text in these forms.
            "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO';"
            "SET LOCAL intervalstyle = 'iso_8601';"
            # As for a server-side cursor, prefer an index, which has the first row at once.
            "SET LOCAL enable_sort = off"
        )
        if statement_timeout:
            self._begin += f"; SET LOCAL statement_timeout = {round(statement_timeout * 1000)}"
        self._exports = BoundedSemaphore(max_exports)

    def select(self, column: sa.ColumnElement[Any]) -> Selected:
        """Select as text what psycopg would convert with a loss, or could not convert at all."""
        dialect = self.engine.dialect
        kind = stored_type(column.type, dialect)
        if isinstance(kind, sa.Interval):
            # Stored as a time: `Interval(native=False)`.
            load: Any = kind.result_processor(dialect, None)
            return Selected(column, each(lambda value: duration(load(value))))
        converts_items = isinstance(kind, sa.ARRAY) and is_converted(kind.item_type)
        if is_converted(kind) or converts_items or isinstance(kind, sa.Uuid):
            selected = Selected(column, processed(kind, dialect))
            if isinstance(undecorated(kind), INTERVAL):
                # psycopg reads no interval in the form of ISO 8601.
                return seconds_of(selected)
            return selected
        if isinstance(kind, sa.LargeBinary):
            return Selected(column, each(Binary))
        if is_native(kind) or (isinstance(kind, sa.ARRAY) and is_native(kind.item_type)):
            return Selected(column)
        text = sa.cast(column, sa.Text)
        if isinstance(kind, sa.DateTime | sa.Time):
            zones = ("+00", "Z") if kind.timezone else ("", "")
            return Selected(text, timestamps(*zones, rfc3339))
        if isinstance(kind, sa.Date | sa.Enum | INTERVAL):
            return Selected(text)
        # PostgreSQL knows the type of an expression of which SQLAlchemy does not.
        document = text if isinstance(kind, sa.JSON) else sa.cast(sa.func.to_json(column), sa.Text)
        return Selected(document, each(json_document))

    @contextmanager
    def cursor(
        self, statement: sa.Select[Any], *, raw: bool = False
    ) -> Iterator["PostgreSQLCursor"]:
        """Raises `TooManyExports` in addition."""
        # Waiting here would block a reader for the streams that could make room.
        if not self._exports.acquire(blocking=False):
            raise TooManyExports
        try:
            with self._reading.connect() as connection:
                connection.exec_driver_sql(self._begin)
                if raw:
                    # An encoding from which neither the server nor psycopg decodes.
                    connection.exec_driver_sql("SET LOCAL client_encoding = 'SQL_ASCII'")
                with closing(PostgreSQLCursor(connection, statement)) as cursor:
                    yield cursor
        finally:
            self._exports.release()

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        with self.engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(WRITER_LOCK)))
            yield connection

    def insert_samples(
        self, connection: sa.Connection, table: sa.Table, rows: int
    ) -> Iterator[int]:
        """Set sequences, too: they continue after the samples."""
        yield from super().insert_samples(connection, table, rows)
        name = sa.func.concat_ws(".", *map(sa.func.quote_ident, (table.schema, table.name)))
        for key in table.primary_key:
            sequence = sa.func.pg_get_serial_sequence(name, key.name)
            connection.execute(sa.select(sa.func.setval(sequence, rows + 1, False)))


class PostgreSQLCursor:
    """A cursor of psycopg, to which the server sends rows as it finds them."""

    def __init__(self, connection: sa.Connection, statement: sa.Select[Any]) -> None:
        compiled: Any = statement.compile(dialect=connection.dialect)
        # The parameters of `IN` become as many as there are values.
        expanded = compiled.construct_expanded_state()
        processors = {**compiled._bind_processors, **expanded.processors}
        parameters = {
            name: processors[name](value) if name in processors else value
            for name, value in expanded.parameters.items()
        }
        self._connection = cast(psycopg.Connection[Any], connection.connection.driver_connection)
        self._cursor = self._connection.cursor()
        self._closing = Lock()
        self._closed = False
        # A generator, although psycopg documents an iterator.
        self._rows: Any = self._cursor.stream(expanded.statement, parameters, size=FETCH_ROWS)

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


def seconds_of(selected: Selected) -> Selected:
    """Return the selection of an interval as seconds, of which a `timedelta` is converted."""
    convert: Any = selected.convert
    read = each(lambda seconds: timedelta(microseconds=int(seconds * 10**6)))
    seconds = sa.extract("epoch", selected.expression)
    return Selected(seconds, lambda values: convert(read(values)))


def is_native(kind: TypeEngine[Any]) -> bool:
    """Return whether psycopg's values are exported as they are."""
    native: Any = sa.Boolean | sa.Integer | sa.LargeBinary | NumericCommon | sa.String | sa.Uuid
    return isinstance(kind, native) and not isinstance(kind, sa.Enum)


def rfc3339(text: str) -> str:
    """Return `2026-07-01 12:00:00.5+00` as `2026-07-01T12:00:00.500000Z`; else `text`."""
    found = TIME.fullmatch(text)
    if not found:
        return text
    day, clock, fraction, hours, minutes = found.groups()
    fraction = f".{fraction:0<6}" if fraction else ""
    zone = "Z" if hours == "+00" and not minutes else hours + (minutes or ":00") if hours else ""
    return (f"{day}T" if day else "") + clock + fraction + zone
